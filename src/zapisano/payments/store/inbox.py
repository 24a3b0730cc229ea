"""The notifications that were received, and what became of them."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.jobs import Job
from zapisano.jobs.store import payload
from zapisano.payments.model import Received


async def keep_notification(
    conn: SharedConnection,
    event: str,
    object_id: str,
    body: object,
    sender: str,
    *,
    job: Job | None,
) -> Received:
    """Keep a notification once and count its deliveries; ask for `job` while it is not handled.

    One that was handled as unknown opens again: it may have come before its payment could be read.
    Row, job and the journal's line are one statement, and so one trip and one commit.
    """
    row = await conn.fetchrow(
        """WITH kept AS (
               INSERT INTO shared.notifications
                   (event, object_id, body, sender, handled_at, outcome)
               VALUES ($1, $2, $3, $4, CASE WHEN $5::text IS NULL THEN now() END,
                   CASE WHEN $5::text IS NULL THEN 'ignored' END)
               ON CONFLICT (event, object_id) DO UPDATE SET
                   deliveries = notifications.deliveries + 1,
                   handled_at = CASE WHEN notifications.outcome <> 'unknown'
                       THEN notifications.handled_at END,
                   outcome = nullif(notifications.outcome, 'unknown')
               RETURNING deliveries = 1 AS is_new, handled_at IS NULL AS is_open
           )
           SELECT is_new, is_open,
               CASE WHEN is_open AND $5::text IS NOT NULL THEN shared.enqueue_job($5, $6) END,
               shared.record_event('notification.received', $2, jsonb_build_object(
                   'event', $1::text, 'is_new', is_new,
                   'payment_id', CASE WHEN $5::text IS NOT NULL AND $1 LIKE 'payment.%'
                       THEN $2 END))
           FROM kept""",
        event,
        object_id,
        body,
        sender,
        job.kind if job else None,
        payload(job) if job else {},
    )
    assert row is not None  # noqa: S101 # RETURNING after an INSERT that always touches a row
    return Received(is_new=row["is_new"], is_open=row["is_open"])


async def close_notifications(
    conn: SharedConnection, payment_id: str, outcome: str, now: datetime
) -> int:
    """Mark everything we were told about a payment as handled; return how many rows."""
    return await conn.execute(
        """UPDATE shared.notifications SET handled_at = $3, outcome = $2
           WHERE object_id = $1 AND event LIKE 'payment.%' AND handled_at IS NULL""",
        payment_id,
        outcome,
        now,
    )


async def close_capture_notices(conn: SharedConnection, payment_id: str, now: datetime) -> None:
    """Mark as handled what speaks of a payment on its way."""
    await conn.execute(
        """UPDATE shared.notifications SET handled_at = $2, outcome = 'waiting'
           WHERE object_id = $1 AND event = 'payment.waiting_for_capture'
               AND handled_at IS NULL""",
        payment_id,
        now,
    )


async def has_open_notifications(conn: SharedConnection, payment_id: str) -> bool:
    """Say whether something we were told about a payment is not handled yet."""
    return bool(
        await conn.fetchval(
            """SELECT 1 FROM shared.notifications
               WHERE object_id = $1 AND event LIKE 'payment.%' AND handled_at IS NULL LIMIT 1""",
            payment_id,
        )
    )


async def last_notification_at(conn: SharedConnection) -> datetime | None:
    """Return when the newest notification was received."""
    at: datetime | None = await conn.fetchval("SELECT max(received_at) FROM shared.notifications")
    return at
