"""Autopay: charging a saved method for the next period, as its owner has agreed.

One order per attempt, and none while an earlier one of the same period may still bring money. The
order, its request and its key are committed before the provider is asked, and are reckoned from the
method, the period and the attempt: even a database that was restored from yesterday asks the same.
"""

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from zapisano import journal, subscriptions
from zapisano.db import Database, SharedConnection
from zapisano.jobs import enqueue, schedule
from zapisano.payments import methods, store
from zapisano.payments.chargeable import (
    Chargeable,
    find_chargeable,
    fits,
    is_of_period,
    period_key,
)
from zapisano.payments.checkout import keep, new_order, start_payment
from zapisano.payments.jobs import AutopayEnded
from zapisano.payments.model import OrderClosed, OrderId, PlanOrder, SavedMethod, Status
from zapisano.payments.provider import Provider, ProviderRefused
from zapisano.payments.request import request_body
from zapisano.settings import Plan, Settings
from zapisano.subscriptions import Charge, Subscription, plan_at_renewal
from zapisano.telemetry import get_logger
from zapisano.tenancy import Tenant, TenantId

__all__ = [
    "charge",
    "charge_is_under_way",
    "is_of_period",
    "period_key",
    "prepare",
]

log = get_logger("zapisano.payments")

# Somebody may be paying by hand this minute: come again when that is over.
COME_AGAIN = timedelta(hours=1)
# The schedule counts from when an attempt was due, and it reaches the provider a little later.
LATE = timedelta(hours=1)
# Why a charge was dropped before anybody was asked for money.
NOT_WANTED = "not wanted any more"


async def charge(
    database: Database, provider: Provider, settings: Settings, job: Charge, now: datetime
) -> None:
    """Charge the tenant's saved method once for this attempt, if that is still wanted.

    Raises:
        ProviderUnavailable: the outcome is unknown; the poller asks after it.
        UnknownTenant: there is no such tenant.
    """
    async with database.shared() as conn:
        order_id = await prepare(conn, settings, job, now)
    if order_id is None:
        return
    try:
        await start_payment(database, provider, order_id, now)
    except ProviderRefused as error:
        log.info("charge_not_made", order=order_id, reason=error.code)
    except OrderClosed as error:
        log.info("charge_not_made", order=order_id, reason=error.code)
        async with database.shared() as conn:
            await store.drop_charge(conn, order_id, NOT_WANTED)


async def prepare(
    conn: SharedConnection, settings: Settings, job: Charge, now: datetime
) -> OrderId | None:
    """Return the order to ask the provider for, or None where nothing is to be charged now."""
    key = period_key(job.tenant_id, job.paid_until) + str(job.attempt)
    found = await find_chargeable(conn, TenantId(job.tenant_id))
    made = await store.find_by_charge(conn, key)
    if made is not None and (made.requested_at is not None or not made.is_open):
        return None  # it has its answer, or the poller asks for it
    if (
        not settings.yookassa_autopay
        or found is None
        or found.paid.paid_until != job.paid_until
        or (made is not None and not fits(made, found))
    ):
        if made is not None:
            await store.drop_charge(conn, made.id, NOT_WANTED)
        return None
    if made is not None:
        return made.id
    if not await _is_its_time(conn, settings, job, now):
        return None
    if not await _way_is_free(conn, settings, job, now):
        return None
    return await _order(conn, settings, found, key, now)


async def _is_its_time(
    conn: SharedConnection, settings: Settings, job: Charge, now: datetime
) -> bool:
    """Say whether this attempt may be made now, however long it has waited somewhere.

    Not once the next one is due, nor long after what its owner was told. An attempt that was put
    off pushes the next one on: there are days between them.
    """
    so_far = await subscriptions.so_far(conn, TenantId(job.tenant_id))
    if so_far.charges > job.attempt + 1:
        return False
    if now >= subscriptions.charges_end_at(job.paid_until, so_far.announced_at):
        return False
    period = period_key(job.tenant_id, job.paid_until)
    last = await store.last_asked(conn, TenantId(job.tenant_id), period)
    if last is None or job.attempt == 0:
        return True
    pause = subscriptions.CHARGE_DAYS[job.attempt] - subscriptions.CHARGE_DAYS[job.attempt - 1]
    not_before = last + timedelta(days=pause)
    if now < not_before - LATE:
        await _come_again(conn, settings, job, not_before)
        return False
    return True


async def _come_again(
    conn: SharedConnection, settings: Settings, job: Charge, at: datetime
) -> None:
    """Put an attempt off, to an hour at which somebody may be charged."""
    at = subscriptions.daytime(at, subscriptions.terms_of(settings))
    await schedule(conn, job, at=at, subject=f"{job.tenant_id}:again:{job.attempt}")


async def charge_is_under_way(conn: SharedConnection, paid: Subscription) -> bool:
    """Say whether a charge for the next period may have reached the bank, and has no answer yet."""
    key = period_key(paid.tenant_id, paid.paid_until)
    return any(
        is_charge and status in {Status.CREATED, Status.PENDING}
        for _, status, is_charge in await store.in_the_way(conn, paid.tenant_id, key)
    )


async def _way_is_free(
    conn: SharedConnection, settings: Settings, job: Charge, now: datetime
) -> bool:
    """Say whether no other order can bring money for this period; come again if that may change."""
    waits = False
    for order_id, status, is_charge in await store.in_the_way(
        conn, TenantId(job.tenant_id), period_key(job.tenant_id, job.paid_until)
    ):
        if is_charge and await store.drop_charge(conn, order_id, NOT_WANTED):
            continue  # an earlier attempt that never reached the provider
        if status in {Status.PAID, Status.REVIEW}:
            return False
        waits = True
    if waits:
        await _come_again(conn, settings, job, now + COME_AGAIN)
    return not waits


async def _order(
    conn: SharedConnection,
    settings: Settings,
    found: Chargeable,
    key: str,
    now: datetime,
) -> OrderId | None:
    """Keep the order of one attempt; end autopay where it would be more than was agreed to."""
    tenant, method = found.tenant, found.method
    plan = settings.plans.get(plan_at_renewal(found.paid))
    has_receipt = method.receipt_contact is not None or not settings.yookassa_receipts
    if plan is None or not method.agreed.covers(plan) or not has_receipt:
        await methods.end(conn, tenant.id, "terms", by="system", now=now)
        await enqueue(conn, AutopayEnded(tenant.id, "terms"))
        return None
    order = _charge_order(settings, tenant, plan, method, key, now)
    if not await keep(conn, order):
        return None
    await journal.record(
        conn,
        "charge.created",
        tenant.id,
        tenant=tenant.id,
        by="system",
        order_id=order.id,
        amount=str(order.amount),
        attempt=int(key.rpartition(":")[2]),
    )
    return order.id


def _charge_order(
    settings: Settings, tenant: Tenant, plan: Plan, method: SavedMethod, key: str, now: datetime
) -> PlanOrder:
    """Make an order at today's price, which is at most the agreed one.

    An order's id is the key to its page, so only who knows the secret key can reckon it.
    """
    secret = settings.secret_key.get_secret_value().encode()
    digest = hmac.digest(secret, f"charge {key} {method.order_id}".encode(), "sha256")
    order_id = OrderId(str(UUID(bytes=digest[:16], version=4)))
    order = replace(
        new_order(plan, tenant.name, tenant.owner_id, now),
        id=order_id,
        buyer_language=tenant.owner_language,
        tenant_id=tenant.id,
        method_id=method.method_id,
        charge_key=key,
        idempotence_key=f"{key.replace(':', '.')}.{order_id[:8]}",
        receipt_contact=method.receipt_contact,
    )
    return replace(order, request_body=request_body(settings, order))
