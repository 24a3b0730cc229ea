"""What is put before a person."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.payments.model import OrderId, Reason


async def add_review(
    conn: SharedConnection, reason: Reason, *, payment_id: str | None, order_id: OrderId | None
) -> bool:
    """Put a payment or an order before a person; return False if it is there now.

    One that was closed is opened anew: closing is not mending.
    """
    return bool(
        await conn.execute(
            """INSERT INTO shared.reviews (payment_id, order_id, reason) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING""",
            payment_id,
            order_id,
            reason,
        )
    )


async def is_reviewed(conn: SharedConnection, order_id: OrderId, reason: Reason) -> bool:
    """Say whether an order is before a person for this reason."""
    return bool(
        await conn.fetchval(
            """SELECT EXISTS (SELECT 1 FROM shared.reviews
               WHERE order_id = $1 AND reason = $2 AND closed_at IS NULL)""",
            order_id,
            reason,
        )
    )


async def close_reviews(conn: SharedConnection, payment_id: str, now: datetime) -> None:
    """Close what was open about a payment that has turned out well."""
    await conn.execute(
        "UPDATE shared.reviews SET closed_at = $2 WHERE payment_id = $1 AND closed_at IS NULL",
        payment_id,
        now,
    )


async def close_unknown_outcome(conn: SharedConnection, order_id: OrderId, now: datetime) -> None:
    """Close what was open about an order of which nobody knew whether a payment was made."""
    await conn.execute(
        """UPDATE shared.reviews SET closed_at = $3
           WHERE order_id = $1 AND reason = $2 AND payment_id IS NULL AND closed_at IS NULL""",
        order_id,
        Reason.OUTCOME_UNKNOWN,
        now,
    )
