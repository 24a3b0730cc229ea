"""From "I want this plan" to YooKassa's page.

One order, one frozen request, one payment. The order, the request's bytes and its key are committed
before the first call, so a request whose outcome is unknown can be repeated for 24 h and makes no
second payment. Paying after a canceled payment takes a new order (`retry_order`).
"""

import json
import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.errors import Conflict, Refused
from zapisano.jobs import enqueue, schedule, unschedule
from zapisano.payments import auto_methods, store
from zapisano.payments.account import account_of
from zapisano.payments.chargeable import may_be_asked
from zapisano.payments.declines import REFUSED, declined
from zapisano.payments.jobs import Poll, Settle
from zapisano.payments.model import (
    POLL_INTERVALS,
    AnyOrder,
    AutoTerms,
    BusinessClosed,
    ChoiceFrozen,
    CreditsOrder,
    Order,
    OrderClosed,
    OrderId,
    PlanOrder,
    ProviderName,
    Reason,
    Source,
    Status,
    credits_for,
)
from zapisano.payments.promo import apply_noted, apply_promo, hold_promo, lock_promo
from zapisano.payments.provider import Payment, Provider, ProviderRefused
from zapisano.payments.request import agreed, offer, request_body
from zapisano.settings import Plan, Settings
from zapisano.telemetry import get_logger
from zapisano.tenancy import LANGUAGES, State, TenantId, UnknownTenant, checked_name
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.payments")


async def create_order(
    conn: SharedConnection,
    settings: Settings,
    *,
    buyer_id: int,
    language: str,
    company_name: str,
    plan: str,
    tenant_id: TenantId | None = None,
    order_id: OrderId | None = None,
    is_switch: bool = False,
    now: datetime,
) -> PlanOrder:
    """Keep an order with its price, its frozen request and its key.

    With `tenant_id` it prolongs that tenant, which must be the buyer's; without it makes a new one.
    With `order_id`, which nobody may be able to guess, asking again returns the order there is.

    Raises:
        Refused: the plan or the company's name is not acceptable; the detail names the field.
        UnknownTenant: the buyer has no such tenant that is not archived.
    """
    bought = _plan_of(settings, plan)
    if tenant_id is not None:
        await _check_owner(conn, tenant_id, buyer_id)
    name = checked_name(company_name, field="company_name")
    order = new_order(bought, name, buyer_id, now)
    language = language if language in LANGUAGES else LANGUAGES[0]
    order = replace(order, id=order_id or order.id, buyer_language=language, tenant_id=tenant_id)
    order = replace(order, is_switch=is_switch)
    order = replace(order, request_body=request_body(settings, order))
    if not await keep(conn, order):
        order = await store.get_plan_order(conn, order.id)
    return await apply_noted(conn, settings, order, now)


async def keep(conn: SharedConnection, order: AnyOrder) -> bool:
    """Keep a new order; return False if its request, or its retry, has made one before."""
    if not await store.insert(conn, order):
        return False
    match order:
        case PlanOrder():
            tenant, sold = order.tenant_id, {"plan": order.plan, "days": order.days}
        case CreditsOrder():
            tenant, sold = None, {"credits": str(order.credits)}
    await journal.record(
        conn,
        "order.created",
        order.id,
        tenant=tenant,
        by="buyer" if order.charge_key is None else "system",
        order_id=order.id,
        **sold,
        amount=str(order.amount),
        **({"retry_of": order.retry_of} if order.retry_of else {}),
    )
    return True


def _plan_of(settings: Settings, plan: str) -> Plan:
    if (bought := settings.plans.get(plan)) is None:
        raise Refused(f"plan: must be one of {', '.join(settings.plans)}")
    return bought


async def _check_owner(conn: SharedConnection, tenant_id: TenantId, buyer_id: int) -> None:
    tenant = await tenants.find(conn, tenant_id)
    if tenant is None or tenant.owner_id != buyer_id or tenant.state is State.ARCHIVED:
        raise UnknownTenant


def new_order(bought: Plan, company_name: str, buyer_id: int, now: datetime) -> PlanOrder:
    """Make an order of a plan at its price of today, with an id and a key of its own."""
    return PlanOrder(
        id=OrderId(str(uuid.uuid4())),
        buyer_id=buyer_id,
        buyer_language=LANGUAGES[0],
        company_name=company_name,
        plan=bought.id,
        days=bought.days,
        amount=bought.price,
        tenant_id=None,
        idempotence_key=_new_key(),
        created_at=now,
    )


def legacy_order(
    bought: Plan, *, company_name: str, buyer_id: int, payment_id: str, now: datetime
) -> PlanOrder:
    """Make an order of a payment that the old sales bot asked for: we sent no request for it."""
    return replace(
        new_order(bought, company_name, buyer_id, now),
        source=Source.LEGACY,
        status=Status.PENDING,
        payment_id=payment_id,
    )


def credits_order(
    settings: Settings,
    *,
    email: str,
    amount: Decimal,
    language: str,
    now: datetime,
    request_key: str | None = None,
    retry_of: OrderId | None = None,
    auto: AutoTerms | None = None,
) -> CreditsOrder:
    """Make an order of credits for `amount` roubles, at the rate of today.

    Its id is random, not reckoned from what was asked: it is the only key to its page.

    Raises:
        Refused: the sum buys nothing.
    """
    order = CreditsOrder(
        id=OrderId(str(uuid.uuid4())),
        email=email,
        buyer_language=language if language in LANGUAGES else LANGUAGES[0],
        amount=amount,
        credits=credits_for(amount, settings.credits_per_rouble),
        idempotence_key=_new_key(),
        request_key=request_key,
        retry_of=retry_of,
        auto=auto,
        created_at=now,
    )
    order = replace(order, receipt_contact=email if settings.yookassa_receipts else None)
    return replace(order, request_body=request_body(settings, order))


def _new_key() -> str:
    """Make a key that no other request in the world has (the scope of keys is not documented)."""
    return f"zapisano-{uuid.uuid4()}"


async def retry_order(
    conn: SharedConnection, settings: Settings, order_id: OrderId, now: datetime
) -> AnyOrder:
    """Return the order that takes the place of a canceled one, at today's price.

    A canceled order stays canceled; it has one successor however often this is asked.

    Raises:
        OrderClosed: the order is not canceled.
        Refused: its plan is not sold any more.
    """
    await lock_promo(conn, order_id)
    old = await store.get(conn, order_id, lock=True)
    if old.status is not Status.CANCELED:
        raise OrderClosed
    if (taken := await store.find_retry(conn, old.id)) is not None:
        return await store.get(conn, taken)
    new = _successor(settings, old, now)
    await keep(conn, new)
    return await _with_promo_of(conn, settings, old, new, now)


async def _with_promo_of(
    conn: SharedConnection, settings: Settings, old: AnyOrder, new: AnyOrder, now: datetime
) -> AnyOrder:
    """Let a code go on to the order that takes a canceled one's place, if it still may be used."""
    if not isinstance(old, PlanOrder) or not old.promo_code:
        return new
    try:
        return await apply_promo(conn, settings, new.id, old.promo_code, now)
    except Conflict:
        return new


def _successor(settings: Settings, old: AnyOrder, now: datetime) -> AnyOrder:
    match old:
        case PlanOrder():
            bought = _plan_of(settings, old.plan)
            new = replace(
                new_order(bought, old.company_name, old.buyer_id, now),
                buyer_language=old.buyer_language,
                tenant_id=old.tenant_id,
                is_switch=old.is_switch,
                retry_of=old.id,
            )
            return replace(new, request_body=request_body(settings, new))
        case CreditsOrder():
            return credits_order(
                settings,
                email=old.email,
                amount=old.amount,
                language=old.buyer_language,
                retry_of=old.id,
                auto=old.auto,
                now=now,
            )


async def refuse_closed(
    conn: SharedConnection, settings: Settings, order: AnyOrder, now: datetime
) -> None:
    """Sell nothing to a business that is closed, nor to an account that takes nothing.

    Raises:
        BusinessClosed: what the order would prolong is archived.
        AccountFrozen, TopupsOff: its credits could not be granted.
    """
    if not (order.is_open or order.status is Status.CANCELED):
        return
    match order:
        case PlanOrder():
            tenant = await tenants.get(conn, order.tenant_id) if order.tenant_id else None
            if tenant is not None and tenant.state is State.ARCHIVED:
                raise BusinessClosed
        case CreditsOrder():
            await account_of(conn, settings, order.email, now)


async def ask_after(conn: SharedConnection, order: Order, *, via: str, now: datetime) -> None:
    """Have a payment under way looked up at the next tick; `via` says who asked, for the figures.

    Scheduled, not enqueued: however often anybody asks, it is one look per tick.
    """
    if order.is_open and order.payment_id:
        job = Settle(order.payment_id, via=via)
        await schedule(conn, job, at=now, subject=order.payment_id)


async def start_payment(
    database: Database, provider: Provider, order_id: OrderId, now: datetime
) -> str:
    """Ask the provider for the order's payment; return the address of the page to pay on.

    Safe to repeat and to run twice at once: the same key and bytes bring the same payment. Polling
    is arranged before the call, so an answer that is lost is asked for again.

    Raises:
        OrderClosed: there is nothing to pay, or the outcome of an old request is unknown; or it is
            a charge that is not wanted any more.
        PromoLapsed: the order has waited for long, and others have used its code up.
        ProviderUnavailable: the outcome is unknown; the same again is safe.
        ProviderRefused: nothing was created; the next attempt uses a new key, unless another
            request under this one may have made the payment.
    """
    async with database.shared() as conn:
        await hold_promo(conn, order_id, now)
        await auto_methods.hold(conn, order_id)
        order = await store.get(conn, order_id, lock=True)
        if not order.is_open or not order.key_lives_at(now):
            raise OrderClosed
        if order.provider is not ProviderName.YOOKASSA or await store.paid_beside(conn, order.id):
            raise OrderClosed
        if order.payment_id:
            return _page(order, order.confirmation_url)
        if not await may_be_asked(conn, order):
            raise OrderClosed
        await store.mark_requested(conn, order.id, now)
        if order.requested_at is None:
            await schedule(conn, Poll(order.id), at=now + POLL_INTERVALS[0], subject=order.id)
    try:
        payment = await provider.create_payment(order.request_body.encode(), order.idempotence_key)
    except ProviderRefused as error:
        await _note_refusal(database, order, now, settles_key=error.settles_key)
        raise
    async with database.shared() as conn:
        await store_payment(conn, order.id, payment)
    return _page(order, payment.confirmation_url)


async def choose(
    conn: SharedConnection,
    settings: Settings,
    order_id: OrderId,
    *,
    keeps_method: bool,
    contact: str | None,
) -> AnyOrder:
    """Write down what the payer has chosen, before the payment is asked for; return the order.

    The request is frozen when it is sent. After that an unticked box still means that the method is
    not kept, and a ticked one means it only where the request has asked for it.

    Raises:
        ChoiceFrozen: autopay is wanted, and the payment was asked for without it.
        OrderClosed: it is charged without its payer.
    """
    order = await store.get(conn, order_id, lock=True)
    if order.is_open and order.method_id:
        raise OrderClosed
    if not order.is_open:
        return order
    if order.requested_at is None:
        keeps = keeps_method and offer(settings, order) is not None
        chosen = replace(
            order, saves_method=keeps, receipt_contact=contact or order.receipt_contact
        )
        chosen = replace(chosen, request_body=request_body(settings, chosen))
    elif keeps_method and agreed(order) is None:
        raise ChoiceFrozen
    else:
        chosen = replace(order, saves_method=keeps_method)
    if chosen != order:
        await store.set_choice(conn, chosen)
    if chosen.saves_method != order.saves_method:
        kind = "order.autopay_agreed" if chosen.saves_method else "order.autopay_declined"
        await journal.record(conn, kind, order.id, tenant=_tenant_of(order), by="payer")
    return chosen


def _tenant_of(order: AnyOrder) -> TenantId | None:
    return order.tenant_id if isinstance(order, PlanOrder) else None


async def _note_refusal(
    database: Database, order: AnyOrder, now: datetime, *, settles_key: bool
) -> None:
    """Take a new key, once no request under this one can have made a payment.

    Another press may be under way, or have ended without an answer, and refused credentials say
    nothing about that one.
    """
    async with database.shared() as conn:
        left = await store.count_refusal(conn, order.id, used=order.idempotence_key)
        if left is None or (left > 0 and not settles_key):
            return
        if await store.renew_key(conn, order.id, used=order.idempotence_key, new=_new_key()):
            await unschedule(conn, Poll, subject=order.id)
            await _end_charge(conn, order, now)


async def _end_charge(conn: SharedConnection, order: AnyOrder, now: datetime) -> None:
    """A charge that was refused for certain is over: nobody is there to press again."""
    if not await store.drop_charge(conn, order.id, REFUSED):
        return
    await journal.record(
        conn,
        "charge.refused",
        order.id,
        tenant=_tenant_of(order),
        by="provider",
        order_id=order.id,
    )
    match order:
        case PlanOrder():
            await declined(conn, order, REFUSED, now)
        case CreditsOrder():
            await auto_methods.declined(conn, order, REFUSED, now)


async def store_payment(conn: SharedConnection, order_id: OrderId, payment: Payment) -> None:
    """Store the id of the payment that the order's request has made. Repeating changes nothing."""
    if await store.set_payment(conn, order_id, payment.id, payment.confirmation_url):
        await journal.record(
            conn, "payment.created", payment.id, order_id=order_id, amount=str(payment.amount)
        )
        if payment.succeeded or payment.canceled:
            await enqueue(conn, Settle(payment.id, via="request"))
        return
    order = await store.get(conn, order_id)
    if order.payment_id != payment.id:
        log.error("second_payment", order=order_id, payment=payment.id)
        await store.add_review(conn, Reason.OTHER_PAYMENT, payment_id=payment.id, order_id=order_id)


def _page(order: Order, confirmation_url: str | None) -> str:
    """Return where to pay; a payment that needs no confirmation goes straight to our page.

    '' for a charge of a saved method: nobody is there to be led anywhere.
    """
    if confirmation_url or order.method_id:
        return confirmation_url or ""
    return_url: str = json.loads(order.request_body)["confirmation"]["return_url"]
    return return_url
