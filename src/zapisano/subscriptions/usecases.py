"""What changes the time that a tenant is paid for."""

from datetime import datetime

from zapisano import journal
from zapisano.db import SharedConnection
from zapisano.jobs import schedule
from zapisano.subscriptions import store
from zapisano.subscriptions.jobs import Live
from zapisano.subscriptions.life import LONGEST_NOTICE, SoFar
from zapisano.subscriptions.model import (
    Grant,
    Period,
    Reason,
    Subscription,
    next_period,
    plan_at_renewal,
)
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
    paid = Grant(payment_id, days, Reason.PAYMENT, by="payment")
    return await give(conn, tenant_id, paid, plan=plan, now=now)


async def give(
    conn: SharedConnection, tenant_id: TenantId, grant: Grant, *, plan: str, now: datetime
) -> Subscription:
    """Add days to what is left, once per source, and lift a suspension for non-payment.

    `plan` is the one the tenant has from now on.

    Raises:
        UnknownTenant: there is no such tenant.
    """
    await tenants.get(conn, tenant_id, lock=True)
    before = await store.find(conn, tenant_id)
    period = next_period(before.paid_until if before else None, grant.days, now)
    if await store.insert_grant(conn, tenant_id, grant, period):
        await _move(conn, tenant_id, grant, before, period, plan=plan, now=now)
        await resume(conn, tenant_id, Suspension.UNPAID, by=grant.by)
    return await store.get(conn, tenant_id)


async def take(
    conn: SharedConnection, tenant_id: TenantId, grant: Grant, now: datetime
) -> Subscription:
    """Take days back, once per source: `grant.days` is negative. What is used stays used.

    Raises:
        NoSubscription: there is nothing to take from.
    """
    await tenants.get(conn, tenant_id, lock=True)
    before = await store.get(conn, tenant_id)
    period = next_period(before.paid_until, grant.days, before.paid_until)
    if await store.insert_grant(conn, tenant_id, grant, period):
        await _move(conn, tenant_id, grant, before, period, plan=before.plan, now=now)
    return await store.get(conn, tenant_id)


async def _move(
    conn: SharedConnection,
    tenant_id: TenantId,
    grant: Grant,
    before: Subscription | None,
    period: Period,
    *,
    plan: str,
    now: datetime,
) -> None:
    """Write until when the tenant is paid, who has changed that, and when it matters next.

    What was done for another end is forgotten, but not where one that is over has moved farther
    back: nothing is new then.
    """
    await store.set_paid_until(conn, tenant_id, plan=plan, paid_until=period.ends_at, now=now)
    if before is None or max(before.paid_until, period.ends_at) > now:
        await store.keep_so_far(conn, tenant_id, SoFar())
    look_at = max(now, period.ends_at - LONGEST_NOTICE)
    await schedule(conn, Live(tenant_id), at=look_at, subject=tenant_id)
    await journal.record(
        conn,
        "subscription.extended" if grant.days > 0 else "subscription.shortened",
        tenant_id,
        tenant=tenant_id,
        by=grant.by,
        reason=grant.reason,
        plan=plan,
        days=grant.days,
        before=before.paid_until if before else None,
        paid_until=period.ends_at,
        **({"payment_id": grant.source} if grant.reason is Reason.PAYMENT else {}),
    )


async def look(conn: SharedConnection, tenant_id: TenantId, now: datetime) -> None:
    """Reckon anew what is due next: something that counts for it has changed."""
    if await store.find(conn, tenant_id) is not None:
        await schedule(conn, Live(tenant_id), at=now, subject=tenant_id)


async def lift_if_paid(conn: SharedConnection, tenant_id: TenantId, now: datetime) -> bool:
    """Go on with a restored tenant: lift `unpaid` where its time is paid, and say if that was so.

    A payment that came while the tenant was archived could lift nothing then. Where nobody has
    paid, the time until it is archived again begins anew.
    """
    tenant = await tenants.get(conn, tenant_id, lock=True)
    paid = await store.find(conn, tenant_id)
    if paid is None:
        return False
    is_paused = tenant.suspended_for is Suspension.UNPAID
    if is_paused and paid.paid_until <= now:
        await store.keep_so_far(conn, tenant_id, SoFar(paused_at=now))
    await look(conn, tenant_id, now)
    if not is_paused or paid.paid_until <= now:
        return False
    await resume(conn, tenant_id, Suspension.UNPAID, by="payment")
    return True


async def plan_next(
    conn: SharedConnection, tenant_id: TenantId, plan: str | None, *, by: str
) -> Subscription:
    """Set the plan of the next renewal; None, or the one there is, takes a planned change back.

    Raises:
        NoSubscription: nothing is renewed here.
    """
    await tenants.get(conn, tenant_id, lock=True)
    before = await store.get(conn, tenant_id)
    wanted = None if plan == before.plan else plan
    if await store.set_next_plan(conn, tenant_id, wanted):
        await journal.record(
            conn,
            "subscription.plan_chosen",
            tenant_id,
            tenant=tenant_id,
            by=by,
            before=plan_at_renewal(before),
            after=wanted or before.plan,
        )
    return await store.get(conn, tenant_id)
