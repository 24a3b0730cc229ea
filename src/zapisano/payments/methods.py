"""Saved methods: kept with what was agreed to, and ended at one word."""

from datetime import datetime

from zapisano import journal, subscriptions
from zapisano.db import SharedConnection
from zapisano.payments import store
from zapisano.payments.model import Agreed, PlanOrder, SavedMethod
from zapisano.payments.provider import Payment
from zapisano.payments.request import agreed
from zapisano.settings import Plan, Settings
from zapisano.tenancy import TenantId
from zapisano.tenancy import store as tenants

# The provider's words for a method that will never be charged again.
DEAD = frozenset({"permission_revoked", "card_expired"})


async def find(conn: SharedConnection, tenant_id: TenantId) -> SavedMethod | None:
    """Return the method that a tenant may be charged by, or None."""
    return await store.find_method(conn, tenant_id)


async def next_charge(
    conn: SharedConnection, settings: Settings, tenant_id: TenantId
) -> tuple[SavedMethod, Plan] | None:
    """Return by what a tenant will be charged when its time ends, and for which plan.

    None where nothing will be: no method, or more than its owner has agreed to.
    """
    method = await store.find_method(conn, tenant_id)
    paid = await subscriptions.find(conn, tenant_id)
    if method is None or paid is None or not settings.yookassa_autopay:
        return None
    plan = settings.plans.get(subscriptions.plan_at_renewal(paid))
    return (method, plan) if plan is not None and method.agreed.covers(plan) else None


async def will_charge(settings: Settings, conn: SharedConnection, tenant_id: TenantId) -> bool:
    """Say whether a tenant's next period will be charged by itself."""
    return await next_charge(conn, settings, tenant_id) is not None


async def keep(
    conn: SharedConnection, order: PlanOrder, tenant_id: TenantId, payment: Payment, now: datetime
) -> None:
    """Keep what an order was paid with, if its payer wants that and the provider has saved it.

    A newer one takes the place of an older one.
    """
    terms, method = agreed(order), payment.method
    if not (order.saves_method and isinstance(terms, Agreed) and method and method.saved):
        return
    tenant = await tenants.get(conn, tenant_id, lock=True)
    if tenant.owner_id != order.buyer_id:
        return  # support has moved the business meanwhile: its new owner has agreed to nothing
    await end(conn, tenant_id, "replaced", by="payment", now=now)
    saved = SavedMethod(
        tenant_id=tenant_id,
        method_id=method.id,
        title=method.title,
        last4=method.last4,
        order_id=order.id,
        agreed=terms,
        receipt_contact=order.receipt_contact,
        saved_at=now,
    )
    await store.insert_method(conn, saved)
    await journal.record(
        conn,
        "method.saved",
        tenant_id,
        tenant=tenant_id,
        by="payer",
        order_id=order.id,
        amount=str(terms.amount),
        days=terms.days,
    )
    await subscriptions.look(conn, tenant_id, now)


async def agree(
    conn: SharedConnection, tenant_id: TenantId, plan: Plan, *, by: str, now: datetime
) -> None:
    """Write that a tenant's owner has chosen to be charged for this plan from now on, if at all.

    Whoever asks for it has been shown the sum and the period.
    """
    await tenants.get(conn, tenant_id, lock=True)
    method = await store.find_method(conn, tenant_id)
    if method is None or method.agreed == (chosen := Agreed(plan.price, plan.days)):
        return
    await store.set_agreed(conn, tenant_id, chosen)
    await journal.record(
        conn,
        "method.agreed",
        tenant_id,
        tenant=tenant_id,
        by=by,
        before=str(method.agreed.amount),
        after=str(chosen.amount),
        days=chosen.days,
    )
    await subscriptions.look(conn, tenant_id, now)


async def end(
    conn: SharedConnection, tenant_id: TenantId, why: str, *, by: str, now: datetime
) -> bool:
    """Forget how to charge a tenant, at once and for good; say whether there was anything."""
    await tenants.get(conn, tenant_id, lock=True)
    if not await store.end_method(conn, tenant_id, why, now):
        return False
    await journal.record(
        conn, "method.ended", tenant_id, tenant=tenant_id, by=by, before="active", reason=why
    )
    await subscriptions.look(conn, tenant_id, now)
    return True
