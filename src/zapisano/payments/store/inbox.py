"""The notifications that were received, and what became of them."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.payments.model import Received


async def keep_notification(
    conn: SharedConnection, event: str, object_id: str, body: object, sender: str, *, open_: bool
) -> Received:
    """Keep a notification once and count its deliveries.

    One that was handled as unknown opens again: it may have come before its payment could be read.
    """
    row = await conn.fetchrow(
        """INSERT INTO shared.notifications (event, object_id, body, sender, handled_at, outcome)
           VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN NULL ELSE now() END,
               CASE WHEN $5 THEN NULL ELSE 'ignored' END)
           ON CONFLICT (event, object_id) DO UPDATE SET
               deliveries = notifications.deliveries + 1,
               handled_at = CASE WHEN notifications.outcome <> 'unknown'
                   THEN notifications.handled_at END,
               outcome = nullif(notifications.outcome, 'unknown')
           RETURNING deliveries, handled_at""",
        event,
        object_id,
        body,
        sender,
        open_,
    )
    assert row is not None  # noqa: S101 # RETURNING after an INSERT that always touches a row
    return Received(is_new=row["deliveries"] == 1, is_open=row["handled_at"] is None)


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
