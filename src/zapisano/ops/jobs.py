"""`zapisano jobs …`: what waits, what is held after failing for good, and doing it again."""

from collections.abc import Sequence

from zapisano.errors import BrokenSetting, NotFound
from zapisano.jobs import store
from zapisano.jobs.store import QueuedJob
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.settings import Settings

PAGE = 500
COLUMNS = ("id", "kind", "state", "asked for (UTC)", "failures", "starts", "last error")
# PgQueuer's words for a job that is there, in ours.
STATES = {"queued": "waiting", "picked": "running", "failed": "held"}


async def show_all(settings: Settings, *, only_held: bool) -> None:
    """List jobs, in the order in which they were asked for."""
    found: list[QueuedJob] = []
    async with opened(settings) as database:
        while True:
            after = found[-1].id if found else 0
            async with database.shared() as conn:
                page = await store.page(conn, after=after, limit=PAGE, only_held=only_held)
            found.extend(page)
            if len(page) < PAGE:
                break
    if found:
        screen.table(COLUMNS, [_row(job) for job in found])
    else:
        screen.note("No job is held." if only_held else "No job waits: all are done.")


def _row(job: QueuedJob) -> tuple[str, ...]:
    return (
        str(job.id),
        job.kind,
        STATES.get(job.status, job.status),
        f"{job.created:%Y-%m-%d %H:%M:%S}",
        str(job.attempts),
        str(job.starts),
        job.error or "-",
    )


async def requeue(settings: Settings, ids: Sequence[int], kind: str) -> None:
    """Let held jobs be done again: these, or all of a kind. The others are done all the same.

    Raises:
        BrokenSetting: neither ids nor a kind are given, or both.
        NotFound: some of them are not held.
    """
    if bool(ids) == bool(kind):
        raise BrokenSetting("jobs requeue: give the ids of held jobs, or --kind and a kind")
    async with opened(settings) as database, database.shared() as conn:
        done = await store.requeue(conn, ids=ids, kind=kind)
    if done:
        screen.say(f"Queued again: {', '.join(map(str, done))}.")
    if kind and not done:
        raise NotFound(f"No job of the kind {kind} is held: see zapisano jobs list --held")
    if missed := sorted(set(ids) - set(done)):
        ids_missed = ", ".join(map(str, missed))
        raise NotFound(f"Not held: {ids_missed}. Held ones are shown by: zapisano jobs list --held")
