"""From "I want this plan" to YooKassa's page.

One order, one frozen request, one payment. The order, the request's bytes and its key are committed
before the first call, so a request whose outcome is unknown can be repeated for 24 h and makes no
second payment. Paying after a canceled payment takes a new order (`retry_order`).
"""

import json
import uuid
from dataclasses import replace
from datetime import datetime

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.errors import Refused
from zapisano.jobs import enqueue, schedule, unschedule
from zapisano.payments import store
from zapisano.payments.jobs import Poll, Settle
from zapisano.payments.model import (
    CURRENCY,
    POLL_INTERVALS,
    BusinessClosed,
    Order,
    OrderClosed,
    OrderId,
    Reason,
    Source,
    Status,
)
from zapisano.payments.provider import Payment, Provider, ProviderRefused
from zapisano.settings import Plan, Settings
from zapisano.telemetry import get_logger
from zapisano.tenancy import LANGUAGES, State, TenantId, UnknownTenant, checked_name
from zapisano.tenancy import store as tenants

# Of YooKassa's page: https://yookassa.ru/developers/api#create_payment, confirmation.locale
LOCALES = {"ru": "ru_RU", "en": "en_US"}

log = get_logger("zapisano.payments")

MAX_DESCRIPTION = 128  # YooKassa's limit


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
    now: datetime,
) -> Order:
    """Keep an order with its price, its frozen request and its key.

    With `tenant_id` it prolongs that tenant, which must be the buyer's; without it makes a new one.
    With `order_id`, which nobody may be able to guess, asking again returns the order there is.

    Raises:
        Refused: the plan or the company's name is not acceptable; the detail names the field.
        UnknownTenant: the buyer has no such tenant that is not archived.
    """
    if (bought := settings.plans.get(plan)) is None:
        raise Refused(f"plan: must be one of {', '.join(settings.plans)}")
    if tenant_id is not None:
        await _check_owner(conn, tenant_id, buyer_id)
    name = checked_name(company_name, field="company_name")
    order = _new_order(bought, name, buyer_id, now)
    language = language if language in LANGUAGES else LANGUAGES[0]
    order = replace(order, id=order_id or order.id, buyer_language=language, tenant_id=tenant_id)
    return await _keep(conn, settings, order, bought)


async def _keep(conn: SharedConnection, settings: Settings, order: Order, bought: Plan) -> Order:
    order = replace(order, request_body=_request_body(settings, order, bought))
    if not await store.insert(conn, order):
        return await store.get(conn, order.id)
    await journal.record(
        conn,
        "order.created",
        order.id,
        tenant=order.tenant_id,
        order_id=order.id,
        plan=order.plan,
        days=order.days,
        amount=str(order.amount),
        **({"retry_of": order.retry_of} if order.retry_of else {}),
    )
    return order


async def _check_owner(conn: SharedConnection, tenant_id: TenantId, buyer_id: int) -> None:
    tenant = await tenants.find(conn, tenant_id)
    if tenant is None or tenant.owner_id != buyer_id or tenant.state is State.ARCHIVED:
        raise UnknownTenant


def _new_order(bought: Plan, company_name: str, buyer_id: int, now: datetime) -> Order:
    return Order(
        id=OrderId(str(uuid.uuid4())),
        buyer_id=buyer_id,
        buyer_language=LANGUAGES[0],
        company_name=company_name,
        plan=bought.id,
        days=bought.days,
        amount=bought.price,
        tenant_id=None,
        source=Source.CHECKOUT,
        status=Status.CREATED,
        idempotence_key=_new_key(),
        request_body="",
        requested_at=None,
        payment_id=None,
        confirmation_url=None,
        polls=0,
        retry_of=None,
        cancel_reason=None,
        created_at=now,
        paid_at=None,
    )


def legacy_order(
    bought: Plan, *, company_name: str, buyer_id: int, payment_id: str, now: datetime
) -> Order:
    """Make an order of a payment that the old sales bot asked for: we sent no request for it."""
    return replace(
        _new_order(bought, company_name, buyer_id, now),
        source=Source.LEGACY,
        status=Status.PENDING,
        payment_id=payment_id,
    )


def _new_key() -> str:
    """Make a key that no other request in the world has (the scope of keys is not documented)."""
    return f"zapisano-{uuid.uuid4()}"


def _request_body(settings: Settings, order: Order, bought: Plan) -> str:
    """Write the request once; every repetition sends these very bytes."""
    description = f"{settings.operator_name}: {bought.name}, {order.company_name}"
    return json.dumps(
        {
            "amount": {"value": str(order.amount), "currency": CURRENCY},
            "capture": True,
            "confirmation": {
                "type": "redirect",
                "return_url": f"{settings.checkout_base}/checkout/{order.id}/return",
                "locale": LOCALES[order.buyer_language],
            },
            "description": description[:MAX_DESCRIPTION],
            "metadata": {
                "order_id": order.id,
                "user_id": str(order.buyer_id),
                "company_name": order.company_name,
                "plan": order.plan,
                "days": str(order.days),
            },
        },
        ensure_ascii=False,
    )


async def retry_order(
    conn: SharedConnection, settings: Settings, order_id: OrderId, now: datetime
) -> Order:
    """Return the order that takes the place of a canceled one, at today's price.

    A canceled order stays canceled; it has one successor however often this is asked.

    Raises:
        OrderClosed: the order is not canceled.
        Refused: its plan is not sold any more.
    """
    old = await store.get(conn, order_id, lock=True)
    if old.status is not Status.CANCELED:
        raise OrderClosed
    if (taken := await store.find_retry(conn, old.id)) is not None:
        return await store.get(conn, taken)
    if (bought := settings.plans.get(old.plan)) is None:
        raise Refused(f"plan: must be one of {', '.join(settings.plans)}")
    new = replace(
        _new_order(bought, old.company_name, old.buyer_id, now),
        buyer_language=old.buyer_language,
        tenant_id=old.tenant_id,
        retry_of=old.id,
    )
    return await _keep(conn, settings, new, bought)


async def refuse_closed(conn: SharedConnection, order: Order) -> None:
    """Sell nothing to a business that is closed.

    Raises:
        BusinessClosed: what the order would prolong is archived.
    """
    if order.tenant_id is None or not (order.is_open or order.status is Status.CANCELED):
        return
    if (await tenants.get(conn, order.tenant_id)).state is State.ARCHIVED:
        raise BusinessClosed


async def start_payment(
    database: Database, provider: Provider, order_id: OrderId, now: datetime
) -> str:
    """Ask the provider for the order's payment; return the address of the page to pay on.

    Safe to repeat and to run twice at once: the same key and bytes bring the same payment. Polling
    is arranged before the call, so an answer that is lost is asked for again.

    Raises:
        OrderClosed: there is nothing to pay, or the outcome of an old request is unknown.
        ProviderUnavailable: the outcome is unknown; the same again is safe.
        ProviderRefused: nothing was created; the next attempt uses a new key, unless another
            request under this one may have made the payment.
    """
    async with database.shared() as conn:
        order = await store.get(conn, order_id, lock=True)
        if not order.is_open or not order.key_lives_at(now):
            raise OrderClosed
        if order.payment_id:
            return _page(order, order.confirmation_url)
        await store.mark_requested(conn, order.id, now)
        if order.requested_at is None:
            await schedule(conn, Poll(order.id), at=now + POLL_INTERVALS[0], subject=order.id)
    try:
        payment = await provider.create_payment(order.request_body.encode(), order.idempotence_key)
    except ProviderRefused as error:
        await _note_refusal(database, order, settles_key=error.settles_key)
        raise
    async with database.shared() as conn:
        await store_payment(conn, order.id, payment)
    return _page(order, payment.confirmation_url)


async def _note_refusal(database: Database, order: Order, *, settles_key: bool) -> None:
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
    """Return where to pay; a payment that needs no confirmation goes straight to our page."""
    if confirmation_url:
        return confirmation_url
    return_url: str = json.loads(order.request_body)["confirmation"]["return_url"]
    return return_url
