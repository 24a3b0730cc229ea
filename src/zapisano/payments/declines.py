"""A charge that has brought no money: what follows from its reason."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.jobs import enqueue
from zapisano.payments import methods, store
from zapisano.payments.jobs import AutopayEnded, ChargeDeclined
from zapisano.payments.model import PlanOrder
from zapisano.telemetry import get_logger
from zapisano.tenancy import TenantId

log = get_logger("zapisano.payments")

# Not YooKassa's word: it refuses to charge for this shop at all, or does not know us.
REFUSED = "refused"


def attempt_of(order: PlanOrder) -> int:
    """Return which attempt a charge is, from 0."""
    return int((order.charge_key or ":0").rpartition(":")[2])


async def declined(conn: SharedConnection, order: PlanOrder, reason: str, now: datetime) -> None:
    """Have the owner told of a canceled charge, and forget a method that is dead.

    That we may not charge is said once: the other attempts will not change it.
    """
    await store.forget_charged(conn, order.id)
    if reason in methods.DEAD and order.tenant_id and order.method_id:
        await _bury(conn, order.tenant_id, order.method_id, reason, now)
        return
    if reason == REFUSED:
        log.error("autopay_refused", order=order.id, remedy="ask YooKassa for recurring payments")
        if attempt_of(order) > 0:
            return
    await enqueue(conn, ChargeDeclined(order.id, reason))


async def _bury(
    conn: SharedConnection, tenant_id: TenantId, method_id: str, reason: str, now: datetime
) -> None:
    """End this very method; its owner may have left another one meanwhile."""
    active = await methods.find(conn, tenant_id)
    if active is None or active.method_id != method_id:
        return
    await methods.end(conn, tenant_id, reason, by="provider", now=now)
    await enqueue(conn, AutopayEnded(tenant_id, reason))
