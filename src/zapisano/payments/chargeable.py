"""Whether a saved method may be charged for a period: one answer for all who ask.

Asked before an order is made, in the transaction from which the request may go out, and before a
request in doubt is repeated. Locks are taken in the order: order, tenant.
"""

from dataclasses import dataclass
from datetime import datetime

from zapisano import subscriptions
from zapisano.db import SharedConnection
from zapisano.payments import methods
from zapisano.payments.model import AnyOrder, PlanOrder, SavedMethod
from zapisano.subscriptions import Subscription
from zapisano.tenancy import State, Tenant, TenantId
from zapisano.tenancy import store as tenants


@dataclass(frozen=True)
class Chargeable:
    """A tenant whose next period is unpaid, and the method that its owner has left for it."""

    tenant: Tenant
    paid: Subscription
    method: SavedMethod


def period_key(tenant_id: str, paid_until: datetime) -> str:
    """Return what the keys of all attempts for a period begin with."""
    return f"renew:{tenant_id}:{paid_until:%Y-%m-%d}:"


def is_charge(order: AnyOrder) -> bool:
    """Say whether an order is an attempt to charge a saved method."""
    return order.charge_key is not None


def is_of_period(order: PlanOrder, paid: Subscription) -> bool:
    """Say whether a charge is for the period that comes next: else that one is paid already."""
    return (order.charge_key or "").startswith(period_key(paid.tenant_id, paid.paid_until))


async def find_chargeable(conn: SharedConnection, tenant_id: TenantId) -> Chargeable | None:
    """Lock a tenant and return by what it may be charged, or None.

    Money for a bot that is closed, or that support has paused, would buy nothing now.

    Raises:
        UnknownTenant: there is no such tenant.
    """
    tenant = await tenants.get(conn, tenant_id, lock=True)
    paid = await subscriptions.find(conn, tenant.id)
    method = await methods.find(conn, tenant.id)
    if tenant.state is State.ARCHIVED or tenant.is_paused_by_operator:
        return None
    return Chargeable(tenant, paid, method) if paid and method else None


def fits(order: PlanOrder, found: Chargeable | None) -> bool:
    """Say whether this very charge is still what is owed and agreed to."""
    return (
        found is not None
        and order.is_open
        and is_of_period(order, found.paid)
        and order.method_id == found.method.method_id
        and order.amount <= found.method.agreed.amount
        and order.days >= found.method.agreed.days
    )


async def may_be_asked(conn: SharedConnection, order: AnyOrder) -> bool:
    """Say whether the provider may be asked for an order's payment; locks a charge's tenant.

    A press of a person always may. A method that was ended before is not charged, however far its
    charge had come; nor is a period that was paid meanwhile.
    """
    if not isinstance(order, PlanOrder) or order.charge_key is None:
        return True
    if order.tenant_id is None:
        return False
    return fits(order, await find_chargeable(conn, order.tenant_id))
