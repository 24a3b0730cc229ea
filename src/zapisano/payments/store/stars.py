"""What only orders in Telegram Stars need."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.payments.model import OrderId, ProviderName
from zapisano.tenancy import TenantId


async def begin_stars(
    conn: SharedConnection, order_id: OrderId, *, key: str, now: datetime, unless_after: datetime
) -> bool:
    """Write that Telegram was told to take the Stars; return False while another try is under way.

    A try is known by its `key` and may be repeated; one from before `unless_after` is over.
    """
    return bool(
        await conn.execute(
            """UPDATE shared.orders SET requested_at = $3, idempotence_key = $2, polls = 0
               WHERE id = $1 AND provider = 'stars' AND status = 'created' AND payment_id IS NULL
                   AND (requested_at IS NULL OR requested_at < $4 OR idempotence_key = $2)""",
            order_id,
            key,
            now,
            unless_after,
        )
    )


async def end_stars(conn: SharedConnection, order_id: OrderId) -> None:
    """Write that nothing was paid: the order may be paid by another try."""
    await conn.execute(
        """UPDATE shared.orders SET requested_at = NULL, polls = 0
           WHERE id = $1 AND provider = 'stars' AND payment_id IS NULL""",
        order_id,
    )


async def paid_beside(conn: SharedConnection, order_id: OrderId) -> TenantId | None:
    """Return the tenant of another order for the same thing, in roubles or in Stars, if it is paid.

    Orders are for the same thing if one stands beside the other or has taken its place, however
    many of them there are.
    """
    found: str | None = await conn.fetchval(
        """WITH RECURSIVE same (id) AS (
               SELECT $1::uuid
               UNION
               SELECT next.id FROM same CROSS JOIN LATERAL (
                   SELECT o.retry_of AS id FROM shared.orders AS o WHERE o.id = same.id
                   UNION ALL SELECT o.instead_of FROM shared.orders AS o WHERE o.id = same.id
                   UNION ALL SELECT o.id FROM shared.orders AS o WHERE o.retry_of = same.id
                   UNION ALL SELECT o.id FROM shared.orders AS o WHERE o.instead_of = same.id
               ) AS next WHERE next.id IS NOT NULL
           )
           SELECT o.tenant_id FROM same JOIN shared.orders AS o USING (id)
           WHERE o.status = 'paid' AND o.id <> $1 LIMIT 1""",
        order_id,
    )
    return TenantId(found) if found else None


async def provider_of_payment(conn: SharedConnection, payment_id: str) -> ProviderName:
    """Say whom to ask about a payment: one that is no order's yet is YooKassa's."""
    found = await conn.fetchval(
        "SELECT provider FROM shared.orders WHERE payment_id = $1", payment_id
    )
    return ProviderName(found) if found else ProviderName.YOOKASSA


async def provider_of_order(conn: SharedConnection, order_id: OrderId) -> ProviderName:
    """Say whom to ask about an order."""
    found = await conn.fetchval("SELECT provider FROM shared.orders WHERE id = $1", order_id)
    return ProviderName(found) if found else ProviderName.YOOKASSA
