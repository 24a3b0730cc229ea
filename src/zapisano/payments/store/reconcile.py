"""What the sweep compares: our paid orders and succeeded refunds, and its own findings."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from zapisano.db import SharedConnection
from zapisano.payments.model import OrderId, Reason, Status
from zapisano.payments.refund_model import RefundStatus

Orders = Mapping[str, tuple[OrderId, Status, Decimal, Decimal]]
Refunds = Mapping[str, tuple[OrderId, RefundStatus, Decimal]]


async def orders_of(conn: SharedConnection, payment_ids: Sequence[str]) -> Orders:
    """Return order, state, sum and refunded sum by payment id, of those that we know."""
    rows = await conn.fetch(
        """SELECT payment_id, id, status, amount, refunded FROM shared.orders
           WHERE payment_id = ANY ($1::text[])""",
        list(payment_ids),
    )
    return {
        row["payment_id"]: (
            OrderId(str(row["id"])),
            Status(row["status"]),
            row["amount"],
            row["refunded"],
        )
        for row in rows
    }


async def refunds_by_id(conn: SharedConnection, refund_ids: Sequence[str]) -> Refunds:
    """Return order, state and sum by the provider's refund id, of those that we know."""
    rows = await conn.fetch(
        """SELECT refund_id, order_id, status, amount FROM shared.refunds
           WHERE refund_id = ANY ($1::text[])""",
        list(refund_ids),
    )
    return {
        row["refund_id"]: (
            OrderId(str(row["order_id"])),
            RefundStatus(row["status"]),
            row["amount"],
        )
        for row in rows
    }


async def whole_until(conn: SharedConnection, kind: str) -> datetime | None:
    """Return up to when the last whole sweep has compared; `kind` is what the journal calls it."""
    until: datetime | None = await conn.fetchval(
        """SELECT coalesce((data ->> 'until')::timestamptz, at) FROM shared.journal
           WHERE kind = $1 ORDER BY at DESC LIMIT 1""",
        kind,
    )
    return until


async def paid_between(conn: SharedConnection, since: datetime, until: datetime) -> list[str]:
    """Return the payments of our orders that were paid in [since, until]."""
    rows = await conn.fetch(
        """SELECT payment_id FROM shared.orders
           WHERE status = 'paid' AND provider = 'yookassa' AND paid_at BETWEEN $1 AND $2
           ORDER BY paid_at""",
        since,
        until,
    )
    return [row["payment_id"] for row in rows]


async def refunded_between(
    conn: SharedConnection, since: datetime, until: datetime
) -> list[tuple[str, str]]:
    """Return refund and payment of our refunds that succeeded in [since, until]."""
    rows = await conn.fetch(
        """SELECT r.refund_id, o.payment_id
           FROM shared.refunds AS r JOIN shared.orders AS o ON o.id = r.order_id
           WHERE r.status = 'succeeded' AND o.provider = 'yookassa'
               AND r.finished_at BETWEEN $1 AND $2
           ORDER BY r.finished_at""",
        since,
        until,
    )
    return [(row["refund_id"], row["payment_id"]) for row in rows]


async def close_differences(
    conn: SharedConnection,
    payment_ids: Sequence[str],
    reasons: Sequence[Reason],
    now: datetime,
) -> None:
    """Close what the sweep had found about payments that agree now."""
    await conn.execute(
        """UPDATE shared.reviews SET closed_at = $2
           WHERE payment_id = ANY ($1::text[]) AND reason = ANY ($3::text[])
               AND closed_at IS NULL""",
        list(payment_ids),
        now,
        list(reasons),
    )
