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
    """Return the tenant of the other order of the pair, in roubles or in Stars, if it is paid."""
    found: str | None = await conn.fetchval(
        """SELECT o.tenant_id FROM shared.orders AS o
           WHERE o.status = 'paid' AND (o.instead_of = $1
               OR o.id = (SELECT s.instead_of FROM shared.orders AS s WHERE s.id = $1))""",
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
