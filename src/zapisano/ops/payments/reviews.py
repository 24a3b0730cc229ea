"""`zapisano payments review`: what waits for a person's decision."""

from zapisano.clock import utc_now
from zapisano.db import Database
from zapisano.errors import BrokenSetting
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.payments import rows
from zapisano.payments import desk, store
from zapisano.payments.store.desk import Review
from zapisano.settings import Settings

COLUMNS = ("id", "reason", "age", "payment", "order", "amount")
NONE = "Nothing waits for a decision."


async def review(
    settings: Settings, close: int | None, note: str, count: int, *, as_json: bool
) -> None:
    """List open reviews, or close one.

    Raises:
        BrokenSetting: a note without the review that it closes.
        Refused: no note where one is needed.
        NotFound: no such review is open.
    """
    if note and close is None:
        raise BrokenSetting("--note: goes with --close ID")
    async with opened(settings) as database:
        if close is not None:
            await _close(database, close, note)
            return
        async with database.shared() as conn:
            found = await store.list_reviews(conn, subjects=None, limit=count)
    if as_json:
        rows.tell(found)
    elif found:
        rows.table("", COLUMNS, [_row(one) for one in found])
        screen.note(
            "More of each: zapisano payments show PAYMENT. When it is mended: zapisano payments "
            "settle PAYMENT. When there is nothing to mend: zapisano payments review --close ID "
            "--note WHY"
        )
    else:
        screen.note(NONE)


async def _close(database: Database, review_id: int, note: str) -> None:
    async with database.shared() as conn:
        closed = await desk.close_review(conn, review_id, note, utc_now())
    screen.say(f"{closed.id} is closed ({closed.reason}). Nothing was granted.")


def _row(one: Review) -> tuple[object, ...]:
    since = rows.age(utc_now() - one.created_at)
    return (one.id, one.reason, since, one.payment_id, one.order_id, one.amount)
