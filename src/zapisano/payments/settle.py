"""The only way money enters: read the payment, prove it, grant once.

Notification, poller, return page and operator all come here. The provider is asked while no
transaction is open; then one transaction locks the order and commits the money fact, the paid time
and the follow-up jobs together. Final states never regress.
"""

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from zapisano import journal, subscriptions
from zapisano.db import Database, SharedConnection
from zapisano.errors import Busy
from zapisano.jobs import enqueue, unschedule
from zapisano.payments import auto_methods, methods, store
from zapisano.payments.account import credit
from zapisano.payments.chargeable import is_charge
from zapisano.payments.checkout import legacy_order
from zapisano.payments.declines import declined
from zapisano.payments.jobs import OrderCanceled, OrderPaid, Poll
from zapisano.payments.model import (
    AnyOrder,
    CreditsOrder,
    Expected,
    Order,
    OrderId,
    PlanOrder,
    ProviderName,
    Reason,
    Source,
    Status,
    foreign,
    legacy_sale,
    mismatch,
    read_order_id,
)
from zapisano.payments.promo import forget_noted
from zapisano.payments.provider import Payment, Provider, UnknownPayment
from zapisano.payments.store.promo import has_paid_besides
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.tenancy import State, Tenant, TenantId, register
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.payments")


class Outcome(StrEnum):
    """What a settle has come to; also kept with the notifications it has handled."""

    PAID = "paid"
    CANCELED = "canceled"
    WAITING = "waiting"
    REVIEW = "review"
    UNKNOWN = "unknown"
    IGNORED = "ignored"


async def settle(
    database: Database,
    provider: Provider,
    settings: Settings,
    payment_id: str,
    now: datetime,
    via: str = "notification",
) -> Outcome:
    """Do what the payment's state asks for. Repeating changes nothing.

    Raises:
        ProviderUnavailable: ask again later; the notification's word is never taken instead.
        Busy: a notification says that the payment is final and the provider does not say so yet,
            or our own request for it has not been answered yet.
    """
    try:
        payment = await provider.get_payment(payment_id)
    except UnknownPayment:
        return await _unknown(database, payment_id, now)
    if not (payment.succeeded or payment.canceled):
        return await _waiting(database, payment_id, now)
    async with database.shared() as conn:
        outcome = await book(conn, settings, payment, now, via)
    log.info("settled", payment=payment_id, outcome=outcome, via=via)
    return outcome


async def book(
    conn: SharedConnection, settings: Settings, payment: Payment, now: datetime, via: str
) -> Outcome:
    """Do what a final payment asks for, in the caller's transaction. Repeating changes nothing.

    Raises:
        Busy: our own request for it has not been answered yet.
    """
    order = await _order_of(conn, payment)
    if payment.succeeded:
        outcome = await _succeeded(conn, settings, payment, order, now, via)
    else:
        outcome = await _canceled(conn, settings, payment, order, now, via)
    await store.close_notifications(conn, payment.id, outcome, now)
    return outcome


async def _unknown(database: Database, payment_id: str, now: datetime) -> Outcome:
    """Somebody spoke of a payment that our shop does not have: most likely a forgery."""
    async with database.shared() as conn:
        await review(conn, Reason.UNKNOWN_PAYMENT, payment_id=payment_id, order_id=None)
        await store.close_notifications(conn, payment_id, Outcome.UNKNOWN, now)
    return Outcome.UNKNOWN


async def _waiting(database: Database, payment_id: str, now: datetime) -> Outcome:
    """Nothing is final; if somebody has told us otherwise, ask again rather than believe them."""
    async with database.shared() as conn:
        await store.close_capture_notices(conn, payment_id, now)
        told_otherwise = await store.has_open_notifications(conn, payment_id)
    if told_otherwise:
        raise Busy(f"The payment {payment_id} is not final yet.")
    return Outcome.WAITING


async def _order_of(conn: SharedConnection, payment: Payment) -> AnyOrder | None:
    """Find and lock the order that holds the payment's id, else the one that it names."""
    order_id = await store.find_by_payment(conn, payment.id)
    if order_id is None:
        order_id = read_order_id(payment.metadata.get("order_id", ""))
    if order_id is None or await store.find(conn, order_id) is None:
        return None
    return await store.get(conn, order_id, lock=True)


async def _succeeded(
    conn: SharedConnection,
    settings: Settings,
    payment: Payment,
    order: AnyOrder | None,
    now: datetime,
    via: str,
) -> Outcome:
    if order is None:
        return await _succeeded_elsewhere(conn, settings, payment, now, via)
    if order.is_open and order.payment_id is None and order.requested_at is not None:
        # Faster than our own POST: its answer, or the poller's repetition, brings the id.
        raise Busy(f"The request of order {order.id} is not answered yet.")
    if order.status is Status.PAID and order.payment_id == payment.id:
        return Outcome.PAID
    order = await _found_at_last(conn, settings, payment, order, now)
    reason = mismatch(order, payment, _expected(settings, order))
    if reason is None and order.status is Status.CANCELED:
        reason = Reason.AFTER_CANCEL
    if reason is None and order.refunded > 0:
        # It was under review then; what has gone back is not for us to grant.
        reason = Reason.REFUNDED_FIRST
    if reason is not None:
        return await _distrust(conn, reason, payment, order, now)
    match order:
        case PlanOrder():
            await _prolong(conn, settings, payment, order, now, via)
        case CreditsOrder():
            reason = await credit(conn, settings, order, payment.id, now)
            if reason is not None:
                return await _distrust(conn, reason, payment, order, now)
            await _note_paid(conn, payment, order, None, now, via)
            await auto_methods.paid(conn, order, payment, now)
    return Outcome.PAID


async def _found_at_last(
    conn: SharedConnection, settings: Settings, payment: Payment, order: AnyOrder, now: datetime
) -> AnyOrder:
    """Let an order whose request was never answered have its payment, if all else is proven.

    After a day nothing repeats that request any more, and the order went before a person. A payment
    that names it can only be what the request has made.
    """
    known = replace(order, payment_id=payment.id)
    if not _is_lost(order) or foreign(known, payment, _expected(settings, order)) is not None:
        return order
    await store.set_payment(conn, order.id, payment.id, None)
    await store.close_unknown_outcome(conn, order.id, now)
    await journal.record(
        conn, "payment.created", payment.id, order_id=order.id, amount=str(payment.amount)
    )
    return known


def _is_lost(order: AnyOrder) -> bool:
    """Say whether nobody could find out what an order's request has made."""
    return order.status is Status.REVIEW and order.payment_id is None and bool(order.requested_at)


def _expected(settings: Settings, order: Order) -> Expected:
    if order.provider is ProviderName.STARS:
        return Expected(settings.stars_shop_id, test=False)
    return Expected(settings.yookassa_shop_id, settings.expects_test_payments)


async def _succeeded_elsewhere(
    conn: SharedConnection, settings: Settings, payment: Payment, now: datetime, via: str
) -> Outcome:
    """Money without an order of ours: the old sales bot's, as long as that is honoured."""
    if "order_id" in payment.metadata or "plan" not in payment.metadata:
        return await _distrust(conn, Reason.UNKNOWN_ORDER, payment, None, now)
    if not settings.honours_legacy_sales(now):
        return await _distrust(conn, Reason.LEGACY_OVER, payment, None, now)
    sale = legacy_sale(payment.metadata, settings.plans)
    if sale is None:
        return await _distrust(conn, Reason.LEGACY_DATA, payment, None, now)
    order = legacy_order(
        sale.plan,
        company_name=sale.company_name,
        buyer_id=sale.buyer_id,
        payment_id=payment.id,
        now=now,
    )
    if (reason := mismatch(order, payment, _expected(settings, order))) is not None:
        return await _distrust(conn, reason, payment, None, now)
    if await store.insert(conn, order):
        await _prolong(conn, settings, payment, order, now, via)
    return Outcome.PAID


async def _prolong(
    conn: SharedConnection,
    settings: Settings,
    payment: Payment,
    order: PlanOrder,
    now: datetime,
    via: str,
) -> None:
    """Give the time that was paid for: once, because the order is locked and not paid."""
    tenant = await _tenant_of(conn, order)
    is_new = tenant is None
    if tenant is None:
        tenant = await register(
            conn,
            name=order.company_name,
            owner_id=order.buyer_id,
            owner_language=order.buyer_language,
            by="payment",
        )
    await _note_paid(conn, payment, order, tenant.id, now, via)
    await subscriptions.extend(
        conn, tenant.id, plan=order.plan, days=order.days, payment_id=payment.id, now=now
    )
    await methods.keep(conn, order, tenant.id, payment, now)
    if order.is_switch:  # a later one that was planned is not wanted any more
        await subscriptions.plan_next(conn, tenant.id, None, by="payment")
    await forget_noted(conn, order)
    await _reward(conn, settings, order, tenant, now)
    await enqueue(conn, OrderPaid(order.id, tenant.id, is_new))
    if tenant.state is State.ARCHIVED:
        await review(conn, Reason.ARCHIVED, payment_id=payment.id, order_id=order.id)


async def _reward(
    conn: SharedConnection, settings: Settings, order: PlanOrder, tenant: Tenant, now: datetime
) -> None:
    """Give the buyer and whoever has invited her their days, if this is the first she has paid."""
    if not settings.referral_days or await has_paid_besides(conn, order.buyer_id, order.id):
        return
    await subscriptions.reward(
        conn,
        guest_id=order.buyer_id,
        tenant=tenant.id,
        plan=order.plan,
        days=settings.referral_days,
        now=now,
    )


async def _note_paid(
    conn: SharedConnection,
    payment: Payment,
    order: AnyOrder,
    tenant: TenantId | None,
    now: datetime,
    via: str,
) -> None:
    """Write that the money has come, and let nobody ask after it any more."""
    match order:
        case PlanOrder():
            sold = {"plan": order.plan}
        case CreditsOrder():
            sold = {"credits": str(order.credits)}
    last4 = payment.method.last4 if payment.method else None
    await store.mark_paid(conn, order.id, tenant=tenant, via=via, last4=last4, now=now)
    if is_charge(order):
        await store.forget_charged(conn, order.id)
    await journal.record(
        conn,
        "payment.settled",
        payment.id,
        tenant=tenant,
        order_id=order.id,
        payment_id=payment.id,
        amount=str(order.amount),
        **sold,
        via=via,
    )
    await unschedule(conn, Poll, subject=order.id)
    await store.close_reviews(conn, payment.id, now)


async def was_paid_when_closed(conn: SharedConnection, order: PlanOrder, tenant: Tenant) -> bool:
    """Say whether an order was paid though its business is closed, and a person looks at it."""
    if order.status is not Status.PAID or tenant.state is not State.ARCHIVED:
        return False
    return await store.is_reviewed(conn, order.id, Reason.ARCHIVED)


async def _tenant_of(conn: SharedConnection, order: PlanOrder) -> Tenant | None:
    """Return the tenant that the order prolongs, if any.

    The old bot's payments name no tenant: one with the same name and owner is meant. Of an order in
    roubles and its other in Stars, both paid, the second prolongs what the first has made. The
    buyer is locked first, so that of several at one instant the first makes the tenant.
    """
    if order.tenant_id is not None:
        return await tenants.get(conn, order.tenant_id, lock=True)
    await store.lock_buyer(conn, order.buyer_id)
    if (beside := await store.paid_beside(conn, order.id)) is not None:
        return await tenants.get(conn, beside, lock=True)
    if order.source is Source.LEGACY:
        owned = await tenants.of_owner(conn, order.buyer_id)
        return next((one for one in owned if one.name == order.company_name), None)
    return None


async def _canceled(
    conn: SharedConnection,
    settings: Settings,
    payment: Payment,
    order: AnyOrder | None,
    now: datetime,
    via: str,
) -> Outcome:
    if order is not None:
        order = await _found_at_last(conn, settings, payment, order, now)
    if order is None or order.payment_id != payment.id or order.status is Status.CANCELED:
        return Outcome.IGNORED if order is None else Outcome.CANCELED
    if order.status is Status.PAID:
        return await _distrust(conn, Reason.AFTER_PAID, payment, order, now)
    reason = payment.cancel_reason or "unknown"
    last4 = payment.method.last4 if payment.method else None
    await store.mark_canceled(conn, order.id, reason, via=via, last4=last4)
    if isinstance(order, PlanOrder) and order.charge_key:
        await declined(conn, order, reason, now)
    elif isinstance(order, CreditsOrder) and order.charge_key:
        await auto_methods.declined(conn, order, reason, now)
    elif isinstance(order, PlanOrder):  # else the page and the app tell: nobody is in Telegram
        await enqueue(conn, OrderCanceled(order.id, reason))
    await unschedule(conn, Poll, subject=order.id)
    await journal.record(
        conn, "payment.canceled", payment.id, order_id=order.id, reason=reason, via=via
    )
    return Outcome.CANCELED


async def _distrust(
    conn: SharedConnection,
    reason: Reason,
    payment: Payment,
    order: Order | None,
    now: datetime,
) -> Outcome:
    """Grant nothing and put the payment before a person.

    The order itself is stopped only if the payment is its own: a stranger's must not block it.
    About money that has gone back nothing is left for a person to decide.
    """
    if order is not None and order.payment_id == payment.id:
        await store.mark_review(conn, order.id)
        await unschedule(conn, Poll, subject=order.id)
    if payment.went_back:
        await store.close_reviews(conn, payment.id, now)
        return Outcome.REVIEW
    await review(
        conn, reason, payment_id=payment.id, order_id=order.id if order is not None else None
    )
    return Outcome.REVIEW


async def review(
    conn: SharedConnection, reason: Reason, *, payment_id: str | None, order_id: OrderId | None
) -> None:
    """Put a payment or an order before a person, and say so once."""
    if not await store.add_review(conn, reason, payment_id=payment_id, order_id=order_id):
        return
    log.error("payment_needs_review", payment=payment_id, order=order_id, reason=reason)
    await journal.record(
        conn,
        "payment.review",
        payment_id or str(order_id),
        order_id=order_id,
        payment_id=payment_id,
        reason=reason,
    )
