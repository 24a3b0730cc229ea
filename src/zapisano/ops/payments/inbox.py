"""`zapisano payments inbox|replay`: what was received, what became of it, and doing it again."""

from collections.abc import Sequence

from zapisano.clock import utc_now
from zapisano.db import Database
from zapisano.errors import BrokenSetting
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.payments import rows
from zapisano.payments import desk
from zapisano.payments.store.desk import Notice
from zapisano.settings import Settings

COLUMNS = ("id", "event", "object", "state", "outcome", "age", "deliveries", "last error")
NONE_YET = "No notification yet. Where YooKassa sends them: zapisano payments webhook-register"


async def show_all(settings: Settings, state: str | None, count: int, *, as_json: bool) -> None:
    """List the newest notifications, and how many there are in each state."""
    async with opened(settings) as database, database.shared() as conn:
        found = await desk.notices(conn, state, count)
        counted = await desk.count_notices(conn)
    if as_json:
        rows.tell({"counts": counted, "notifications": found})
        return
    if not found:
        screen.note(f"No notification is {state}." if counted else NONE_YET)
        return
    rows.table("", COLUMNS, [_row(one) for one in found])
    said = ", ".join(
        f"{counted[name]} {name}" for name in ("handled", "waiting", "dead") if name in counted
    )
    screen.note(f"Received: {sum(counted.values())} ({said}).")
    if counted.get("dead"):
        screen.note("Once the cause is mended: zapisano payments replay --all-dead")


def _row(one: Notice) -> tuple[object, ...]:
    since = rows.age(utc_now() - one.received_at)
    told = (one.state, one.outcome, since, one.deliveries, one.error)
    return (one.id, one.event, one.object_id, *told)


async def replay(settings: Settings, ids: Sequence[int], *, all_dead: bool) -> None:
    """Have notifications handled again: these, or all that are dead.

    Raises:
        BrokenSetting: neither ids nor --all-dead are given, or both.
        UnknownNotice: there is none with one of these ids.
    """
    if bool(ids) == all_dead:
        raise BrokenSetting("payments replay: give the ids of notifications, or --all-dead")
    async with opened(settings) as database:
        if all_dead:
            again = await _replay_dead(database)
        else:
            async with database.shared() as conn:
                again = await desk.replay(conn, ids)
    if again:
        numbers = ", ".join(str(one.id) for one in again)
        screen.say(f"Queued again: {numbers}.")
    else:
        screen.note("No notification is dead." if all_dead else "Nothing handles such events.")


async def _replay_dead(database: Database) -> list[Notice]:
    """Go through all that are dead, in parts that commit by themselves."""
    again: list[Notice] = []
    with screen.progress("Notifications") as show_progress:
        while True:
            async with database.shared() as conn:
                left = (await desk.count_notices(conn)).get("dead", 0)
                part = await desk.replay_dead(conn)
            again.extend(part)
            show_progress(len(again), len(again) + left - len(part))
            if not part:
                return again
