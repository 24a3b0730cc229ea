"""What a person does about payments: hand a notification on again, close a review.

No credits and no days are given here: money enters by settle only, whoever asks for it.
"""

from collections.abc import Sequence
from datetime import datetime

from zapisano import journal
from zapisano.db import SharedConnection
from zapisano.errors import NotFound, Refused
from zapisano.jobs import enqueue
from zapisano.jobs import store as queue
from zapisano.payments import store
from zapisano.payments.inbox import HANDLING_KINDS, job_for
from zapisano.payments.model import AnyOrder, Reason
from zapisano.payments.refund_model import RefundStatus
from zapisano.payments.settle_refund import drop_refund
from zapisano.payments.store.desk import Notice, Review
from zapisano.payments.store.refunds import refunds_of

MOST_REPLAYED = 1000  # in one transaction
LONGEST_NOTE = 500
OPERATOR = "operator"


class UnknownNotice(NotFound):
    """No notification has this number."""

    code, text = "unknown_notification", "There is no such notification: zapisano payments inbox"


async def notices(conn: SharedConnection, state: str | None, limit: int) -> list[Notice]:
    """Return the newest notifications, in one state or in all."""
    return await store.notices(conn, HANDLING_KINDS, state=state, limit=limit)


async def notices_about(conn: SharedConnection, objects: Sequence[str]) -> list[Notice]:
    """Return the notifications about these payments, oldest first."""
    return await store.notices_of(conn, HANDLING_KINDS, ids=(), objects=objects)


async def count_notices(conn: SharedConnection) -> dict[str, int]:
    """Return how many notifications there are, by state."""
    return await store.count_notices(conn, HANDLING_KINDS)


async def replay(conn: SharedConnection, ids: Sequence[int]) -> list[Notice]:
    """Have notifications handled now, also those that were handled: settling again is harmless.

    Raises:
        UnknownNotice: there is none with one of these numbers.
    """
    found = await store.notices_of(conn, HANDLING_KINDS, ids=ids, objects=())
    if missing := sorted(set(ids) - {one.id for one in found}):
        raise UnknownNotice(
            f"There is no notification {', '.join(map(str, missing))}: see zapisano payments inbox"
        )
    return [one for one in found if await _hand_on(conn, one)]


async def replay_dead(conn: SharedConnection) -> list[Notice]:
    """Have the newest dead notifications handled after all, a thousand at once."""
    dead = await store.notices(conn, HANDLING_KINDS, state="dead", limit=MOST_REPLAYED)
    return [one for one in dead if await _hand_on(conn, one)]


async def _hand_on(conn: SharedConnection, notice: Notice) -> bool:
    """Queue what handles a notification; False for an event that nobody handles."""
    job = job_for(notice.event, notice.object_id)
    if job is None:
        return False
    # A held job is tried again as if for the first time, one that pauses is tried at once.
    again = await queue.requeue(conn, ids=notice.jobs)
    for job_id in set(notice.jobs) - set(again):
        await queue.hurry(conn, job_id)
    if not notice.jobs:
        await enqueue(conn, job)
    await journal.record(
        conn,
        "notification.replayed",
        notice.object_id,
        notification=notice.id,
        event=notice.event,
        before=notice.state,
        by=OPERATOR,
    )
    return True


async def close_review(conn: SharedConnection, review_id: int, note: str, now: datetime) -> Review:
    """Write that a person has dealt with a payment, and how.

    Of a refund whose outcome nobody could find out it says that there is none: its sum may be given
    back anew. If the provider tells of it after all, it counts as one made in the cabinet.

    Raises:
        Refused: the note says nothing, or too much.
        NotFound: no review with this number is open.
    """
    note = note.strip()
    if not 1 <= len(note) <= LONGEST_NOTE:
        raise Refused(f"note: say in 1 to {LONGEST_NOTE} characters what was done")
    order_id = await store.order_of_review(conn, review_id)
    order = await store.get(conn, order_id, lock=True) if order_id else None
    closed = await store.close_review(conn, review_id, note, now)
    if closed is None:
        raise NotFound(f"No review {review_id} is open: see zapisano payments review")
    await journal.record(
        conn,
        "review.closed",
        closed.payment_id or str(closed.order_id),
        review=review_id,
        reason=closed.reason,
        payment_id=closed.payment_id,
        order_id=closed.order_id,
        by=OPERATOR,
    )
    if order is not None and closed.reason == Reason.REFUND_UNKNOWN:
        await _drop_lost_refunds(conn, order, now)
    return closed


async def _drop_lost_refunds(conn: SharedConnection, order: AnyOrder, now: datetime) -> None:
    """Let go of the refunds that a person has looked for at the provider and has not found."""
    for row in await refunds_of(conn, order.id):
        if row.refund_id is None and row.status is RefundStatus.REVIEW:
            await drop_refund(conn, order, row, "not found", now)
