"""Enqueue, schedule, tick: the SQL of jobs. Everything commits with the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString, cast

from pydantic_core import to_jsonable_python

from zapisano.db import Connection, SharedConnection
from zapisano.jobs.model import Job

TICK_LIMIT = 500
# Jobs that are not over; without those that a bug has met, which may be tried for long.
TO_COME: LiteralString = """
    SELECT q.id FROM shared.pgqueuer AS q LEFT JOIN shared.job_starts AS s ON s.job_id = q.id
    WHERE q.status IN ('queued', 'picked') AND coalesce(s.bugs, 0) = 0 """


@dataclass(frozen=True)
class QueuedJob:
    """A job in the queue as its operator sees it: never its payload, which may name people.

    `error` is the class of what went wrong last, '' when nothing has or its log line is pruned.
    """

    id: int
    kind: str
    status: str
    created: datetime
    attempts: int
    starts: int
    error: str


def payload(job: Job) -> dict[str, Any]:
    """Return what the queue keeps of a job."""
    return cast("dict[str, Any]", to_jsonable_python(job))


async def enqueue(conn: Connection, job: Job) -> int:
    """Ask for `job` to be done as soon as this transaction commits; return the job's id."""
    return int(await conn.fetchval("SELECT shared.enqueue_job($1, $2)", job.kind, payload(job)))


async def left(conn: SharedConnection, job_ids: list[int]) -> list[int]:
    """Return those of these jobs that are still to come."""
    rows = await conn.fetch(TO_COME + "AND q.id = ANY($1::bigint[])", job_ids)
    return [row["id"] for row in rows]


async def hurry(conn: SharedConnection, job_id: int) -> None:
    """End the pause of a job, if it waits for another attempt."""
    await conn.execute(
        """UPDATE shared.pgqueuer SET execute_after = now()
           WHERE id = $1 AND status = 'queued' AND execute_after > now()""",
        job_id,
    )


async def schedule(conn: Connection, job: Job, *, at: datetime, subject: str) -> None:
    """Ask for `job` at a time; the same kind and subject again moves it."""
    await conn.execute(
        "SELECT shared.schedule_job($1, $2, $3, $4)", at, job.kind, subject, payload(job)
    )


async def unschedule(conn: Connection, kind: type[Job], *, subject: str) -> None:
    """Forget what was scheduled under this kind and subject, if anything."""
    await conn.execute("SELECT shared.unschedule_job($1, $2)", kind.kind, subject)


async def tick(conn: SharedConnection, now: datetime) -> int:
    """Turn due rows whose time has come into jobs; return how many. Safe to run twice at once."""
    return int(
        await conn.fetchval(
            """WITH ripe AS (
                DELETE FROM shared.due AS d USING (
                    SELECT tenant, kind, subject FROM shared.due
                    WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED
                ) AS r
                WHERE d.tenant = r.tenant AND d.kind = r.kind AND d.subject = r.subject
                RETURNING d.kind, d.payload
            )
            SELECT count(shared.enqueue_job(kind, payload)) FROM ripe""",
            now,
            TICK_LIMIT,
        )
    )


async def count_start(conn: SharedConnection, job_id: int) -> int:
    """Remember that a job was started; return how often it was."""
    return int(
        await conn.fetchval(
            """INSERT INTO shared.job_starts (job_id, starts) VALUES ($1, 1)
               ON CONFLICT (job_id) DO UPDATE SET starts = job_starts.starts + 1
               RETURNING starts""",
            job_id,
        )
    )


async def count_bug(conn: SharedConnection, job_id: int) -> int:
    """Remember that a job has failed for no reason that could pass; return how often it has."""
    return int(
        await conn.fetchval(
            """INSERT INTO shared.job_starts (job_id, starts, bugs) VALUES ($1, 1, 1)
               ON CONFLICT (job_id) DO UPDATE SET bugs = job_starts.bugs + 1 RETURNING bugs""",
            job_id,
        )
    )


async def prune(
    conn: SharedConnection, *, log_before: datetime, held_before: datetime, held_kinds: list[str]
) -> None:
    """Delete the queue's old log lines, and what is remembered of jobs that are gone.

    What went wrong with a job that is still there stays with it.

    Held jobs of `held_kinds` go too when they are older than `held_before`: what people have
    written is in them.
    """
    await conn.execute(
        """DELETE FROM shared.pgqueuer_log AS l WHERE created < $1 AND (traceback IS NULL
               OR NOT EXISTS (SELECT 1 FROM shared.pgqueuer AS q WHERE q.id = l.job_id))""",
        log_before,
    )
    await conn.execute("DELETE FROM shared.pgqueuer_statistics WHERE created < $1", log_before)
    await conn.execute(
        """DELETE FROM shared.pgqueuer
           WHERE status = 'failed' AND created < $1 AND entrypoint = ANY ($2::text[])""",
        held_before,
        held_kinds,
    )
    await conn.execute(
        """DELETE FROM shared.job_starts AS s
           WHERE NOT EXISTS (SELECT 1 FROM shared.pgqueuer AS q WHERE q.id = s.job_id)"""
    )


async def waiting(conn: SharedConnection) -> dict[str, int]:
    """Return the number of jobs that wait, by kind."""
    rows = await conn.fetch(
        """SELECT entrypoint, count(id) AS jobs FROM shared.pgqueuer
           WHERE status = 'queued' GROUP BY entrypoint ORDER BY entrypoint"""
    )
    return {row["entrypoint"]: row["jobs"] for row in rows}


async def oldest_waiting_seconds(conn: SharedConnection) -> float:
    """Return for how long the oldest job has been ready and not picked up; 0 when none is."""
    age = await conn.fetchval(
        """SELECT coalesce(extract(epoch FROM now() - min(execute_after)), 0)::float8
           FROM shared.pgqueuer WHERE status = 'queued' AND execute_after <= now()"""
    )
    return float(age)


async def held(conn: Connection) -> dict[str, int]:
    """Return the number of jobs that failed for good and wait for a person, by kind."""
    rows = await conn.fetch(
        """SELECT entrypoint, count(id) AS jobs FROM shared.pgqueuer
           WHERE status = 'failed' GROUP BY entrypoint ORDER BY entrypoint"""
    )
    return {row["entrypoint"]: row["jobs"] for row in rows}


async def page(
    conn: SharedConnection, *, after: int, limit: int, only_held: bool
) -> list[QueuedJob]:
    """Return jobs in the order in which they were asked for, from the first behind `after`."""
    rows = await conn.fetch(
        """SELECT q.id, q.entrypoint AS kind, q.status::text AS status, q.created, q.attempts,
                  coalesce(s.starts, 0) AS starts, coalesce((
                      SELECT l.traceback ->> 'exception_type' FROM shared.pgqueuer_log AS l
                      WHERE l.job_id = q.id AND l.traceback IS NOT NULL
                      ORDER BY l.created DESC, l.id DESC LIMIT 1
                  ), '') AS error
           FROM shared.pgqueuer AS q LEFT JOIN shared.job_starts AS s ON s.job_id = q.id
           WHERE q.id > $1 AND (q.status = 'failed' OR NOT $3) ORDER BY q.id LIMIT $2""",
        after,
        limit,
        only_held,
    )
    return [QueuedJob(**row) for row in rows]


async def requeue(conn: SharedConnection, *, ids: Sequence[int] = (), kind: str = "") -> list[int]:
    """Queue held jobs again, those with these ids or of this kind, as if never tried.

    Returns the ids of the jobs that were held. An UPDATE wakes no worker: each looks by itself
    within a second.
    """
    rows = await conn.fetch(
        """WITH again AS (
               UPDATE shared.pgqueuer
               SET status = 'queued', execute_after = now(), updated = now(), attempts = 0,
                   queue_manager_id = NULL
               WHERE status = 'failed' AND (id = ANY($1::bigint[]) OR entrypoint = $2)
               RETURNING id, entrypoint, priority
           ), forgotten AS (
               DELETE FROM shared.job_starts WHERE job_id IN (SELECT id FROM again)
           ), logged AS (
               INSERT INTO shared.pgqueuer_log (job_id, status, entrypoint, priority)
               SELECT id, 'queued', entrypoint, priority FROM again
           )
           SELECT id FROM again ORDER BY id""",
        list(ids),
        kind,
    )
    return [row["id"] for row in rows]
