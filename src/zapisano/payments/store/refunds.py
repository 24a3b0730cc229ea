"""Refunds in the shared schema."""

from datetime import datetime
from decimal import Decimal

from zapisano.db import Row, SharedConnection
from zapisano.payments.model import OrderId
from zapisano.payments.refund_model import (
    RefundId,
    RefundRow,
    RefundSource,
    RefundStatus,
    Taken,
    UnknownRefundRow,
)
from zapisano.tenancy import TenantId


def _refund(row: Row) -> RefundRow:
    return RefundRow(
        id=RefundId(str(row["id"])),
        order_id=OrderId(str(row["order_id"])),
        amount=row["amount"],
        source=RefundSource(row["source"]),
        reason=row["reason"],
        status=RefundStatus(row["status"]),
        idempotence_key=row["idempotence_key"],
        request_body=row["request_body"],
        requested_at=row["requested_at"],
        refund_id=row["refund_id"],
        polls=row["polls"],
        days_taken=row["days_taken"],
        credits_due=row["credits_due"],
        credits_taken=row["credits_taken"],
        created_at=row["created_at"],
        finished_at=row["finished_at"],
    )


async def insert_refund(conn: SharedConnection, refund: RefundRow) -> None:
    """Keep a new refund."""
    await conn.execute(
        """INSERT INTO shared.refunds (id, order_id, amount, source, reason, status,
               idempotence_key, request_body, refund_id, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)""",
        refund.id,
        refund.order_id,
        refund.amount,
        refund.source,
        refund.reason,
        refund.status,
        refund.idempotence_key,
        refund.request_body,
        refund.refund_id,
        refund.created_at,
    )


async def get_refund(conn: SharedConnection, id_: str, *, lock: bool = False) -> RefundRow:
    """Return a refund by our own id; with `lock` nobody else changes it meanwhile.

    Raises:
        UnknownRefundRow: there is none with this id.
    """
    if lock:
        await conn.execute("SELECT 1 FROM shared.refunds WHERE id = $1 FOR UPDATE", id_)
    row = await conn.fetchrow(
        """SELECT id, order_id, amount, source, reason, status, idempotence_key, request_body,
               requested_at, refund_id, polls, days_taken, credits_due, credits_taken, created_at,
               finished_at
           FROM shared.refunds WHERE id = $1""",
        id_,
    )
    if row is None:
        raise UnknownRefundRow
    return _refund(row)


async def find_refund(conn: SharedConnection, refund_id: str) -> RefundRow | None:
    """Return the refund that holds the provider's id, or None."""
    found = await conn.fetchval("SELECT id FROM shared.refunds WHERE refund_id = $1", refund_id)
    return await get_refund(conn, str(found)) if found else None


async def refunds_of(conn: SharedConnection, order_id: OrderId) -> list[RefundRow]:
    """Return an order's refunds, the oldest first."""
    rows = await conn.fetch(
        """SELECT id, order_id, amount, source, reason, status, idempotence_key, request_body,
               requested_at, refund_id, polls, days_taken, credits_due, credits_taken, created_at,
               finished_at
           FROM shared.refunds WHERE order_id = $1 ORDER BY created_at, id""",
        order_id,
    )
    return [_refund(row) for row in rows]


async def days_taken(conn: SharedConnection, tenant: TenantId) -> dict[str, int]:
    """Return how many days refunds took from a tenant, by the payment that had given them."""
    rows = await conn.fetch(
        """SELECT o.payment_id, sum(r.days_taken)::int AS days
           FROM shared.refunds AS r JOIN shared.orders AS o ON o.id = r.order_id
           WHERE o.tenant_id = $1 AND r.days_taken > 0 GROUP BY o.payment_id""",
        tenant,
    )
    return {row["payment_id"]: row["days"] for row in rows}


async def mark_refund_requested(conn: SharedConnection, id_: RefundId, now: datetime) -> None:
    """Remember when the provider was first asked under this key, and count the request."""
    await conn.execute(
        """UPDATE shared.refunds
           SET requested_at = coalesce(requested_at, $2), unanswered = unanswered + 1
           WHERE id = $1""",
        id_,
        now,
    )


async def count_refund_refusal(conn: SharedConnection, id_: RefundId) -> int | None:
    """Count a certain failure; return how many requests may still have made the refund.

    None if it is made, or is over.
    """
    left: int | None = await conn.fetchval(
        """UPDATE shared.refunds SET unanswered = unanswered - 1
           WHERE id = $1 AND refund_id IS NULL AND status = 'requested' RETURNING unanswered""",
        id_,
    )
    return left


async def set_refund_id(conn: SharedConnection, id_: RefundId, refund_id: str) -> bool:
    """Store the provider's id once; return False if there is one already."""
    return bool(
        await conn.execute(
            """UPDATE shared.refunds SET refund_id = $2,
                   status = CASE status WHEN 'requested' THEN 'pending' ELSE status END
               WHERE id = $1 AND refund_id IS NULL""",
            id_,
            refund_id,
        )
    )


async def count_refund_poll(conn: SharedConnection, id_: RefundId) -> int:
    """Count a poll; return how many there were."""
    return int(
        await conn.fetchval(
            "UPDATE shared.refunds SET polls = polls + 1 WHERE id = $1 RETURNING polls", id_
        )
    )


async def mark_refund_succeeded(
    conn: SharedConnection, refund: RefundRow, taken: Taken, now: datetime
) -> None:
    """Write that the money has gone back, and what went with it; the order counts it."""
    await conn.execute(
        """UPDATE shared.refunds SET status = 'succeeded', finished_at = $2, days_taken = $3,
               credits_due = $4, credits_taken = $5
           WHERE id = $1 AND status <> 'succeeded'""",
        refund.id,
        now,
        taken.days,
        taken.credits_due,
        taken.credits,
    )
    await conn.execute(
        "UPDATE shared.orders SET refunded = refunded + $2 WHERE id = $1",
        refund.order_id,
        refund.amount,
    )


async def mark_refund_canceled(
    conn: SharedConnection, id_: RefundId, reason: str, now: datetime
) -> None:
    """Write that the money stays."""
    await conn.execute(
        """UPDATE shared.refunds SET status = 'canceled', cancel_reason = $2, finished_at = $3
           WHERE id = $1 AND status NOT IN ('succeeded', 'canceled')""",
        id_,
        reason,
        now,
    )


async def mark_refund_review(conn: SharedConnection, id_: RefundId) -> None:
    """Write that a person has to look at the refund."""
    await conn.execute(
        """UPDATE shared.refunds SET status = 'review'
           WHERE id = $1 AND status IN ('requested', 'pending')""",
        id_,
    )


async def sum_on_its_way(conn: SharedConnection, order_id: OrderId) -> Decimal:
    """Return how much of an order is on its way back, in roubles: what is in review may be, too."""
    found: Decimal = await conn.fetchval(
        """SELECT coalesce(sum(amount), 0) FROM shared.refunds
           WHERE order_id = $1 AND status IN ('requested', 'pending', 'review')""",
        order_id,
    )
    return found


async def close_refund_notices(
    conn: SharedConnection, refund_id: str, outcome: str, now: datetime
) -> None:
    """Mark everything we were told about a refund as handled."""
    await conn.execute(
        """UPDATE shared.notifications SET handled_at = $3, outcome = $2
           WHERE object_id = $1 AND event LIKE 'refund.%' AND handled_at IS NULL""",
        refund_id,
        outcome,
        now,
    )


async def has_open_refund_notices(conn: SharedConnection, refund_id: str) -> bool:
    """Say whether something we were told about a refund is not handled yet."""
    return bool(
        await conn.fetchval(
            """SELECT 1 FROM shared.notifications
               WHERE object_id = $1 AND event LIKE 'refund.%' AND handled_at IS NULL LIMIT 1""",
            refund_id,
        )
    )
