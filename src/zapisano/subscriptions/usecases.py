"""What a payment does to a subscription."""

from datetime import datetime

from zapisano import journal
from zapisano.db import SharedConnection
from zapisano.subscriptions import store
from zapisano.subscriptions.model import Subscription, next_period
from zapisano.tenancy import Suspension, TenantId, resume
from zapisano.tenancy import store as tenants


async def extend(
    conn: SharedConnection,
    tenant_id: TenantId,
    *,
    plan: str,
    days: int,
    payment_id: str,
    now: datetime,
) -> Subscription:
    """Add paid days to what is left and lift a suspension for non-payment.

    Once per payment: repeating changes nothing. The tenant's row is locked first, so two payments
    at one instant both count in full.

    Raises:
        UnknownTenant: there is no such tenant.
    """
    await tenants.get(conn, tenant_id, lock=True)
    before = await store.find(conn, tenant_id)
    period = next_period(before.paid_until if before else None, days, now)
    if await store.insert_period(conn, payment_id, tenant_id, days, period):
        await store.set_paid_until(conn, tenant_id, plan=plan, paid_until=period.ends_at, now=now)
        await journal.record(
            conn,
            "subscription.extended",
            tenant_id,
            tenant=tenant_id,
            plan=plan,
            days=days,
            paid_until=period.ends_at,
            payment_id=payment_id,
        )
        await resume(conn, tenant_id, Suspension.UNPAID)
    return await store.get(conn, tenant_id)


async def lift_if_paid(conn: SharedConnection, tenant_id: TenantId, now: datetime) -> bool:
    """Lift `unpaid` from a tenant whose time is paid; say whether it was so.

    A payment that came while the tenant was archived could lift nothing then.
    """
    tenant = await tenants.get(conn, tenant_id, lock=True)
    paid = await store.find(conn, tenant_id)
    if tenant.suspended_for is not Suspension.UNPAID or paid is None or paid.paid_until <= now:
        return False
    await resume(conn, tenant_id, Suspension.UNPAID)
    return True
