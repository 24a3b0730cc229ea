"""Enqueue, schedule, tick: the SQL of jobs. Everything commits with the caller's transaction."""

from datetime import datetime
from typing import Any, cast

from pydantic_core import to_jsonable_python

from zapisano.db import Connection, SharedConnection
from zapisano.jobs.model import Job

TICK_LIMIT = 500


def _payload(job: Job) -> dict[str, Any]:
    return cast("dict[str, Any]", to_jsonable_python(job))


async def enqueue(conn: Connection, job: Job) -> None:
    """Ask for `job` to be done as soon as this transaction commits."""
    await conn.execute("SELECT shared.enqueue_job($1, $2)", job.kind, _payload(job))


async def schedule(conn: Connection, job: Job, *, at: datetime, subject: str) -> None:
    """Ask for `job` at a time; the same kind and subject again moves it."""
    await conn.execute(
        "SELECT shared.schedule_job($1, $2, $3, $4)", at, job.kind, subject, _payload(job)
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
            "UPDATE shared.job_starts SET bugs = bugs + 1 WHERE job_id = $1 RETURNING bugs", job_id
        )
    )


async def prune(
    conn: SharedConnection, *, log_before: datetime, held_before: datetime, held_kinds: list[str]
) -> None:
    """Delete the queue's old log lines, and what is remembered of jobs that are gone.

    Held jobs of `held_kinds` go too when they are older than `held_before`: what people have
    written is in them.
    """
    await conn.execute("DELETE FROM shared.pgqueuer_log WHERE created < $1", log_before)
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
