"""Telegram Stars beside roubles: an order of its own, asked about and paid inside the chat.

One order is paid by one provider. Telegram asks before it takes the Stars, and tells after; its
list of transactions is asked where that news was lost. Facts: https://core.telegram.org/bots/payments-stars
(checked October 2026).
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from zapisano.db import Database, SharedConnection
from zapisano.errors import Refused
from zapisano.jobs import schedule, unschedule
from zapisano.payments import store
from zapisano.payments.checkout import keep, refuse_closed
from zapisano.payments.jobs import Poll
from zapisano.payments.model import (
    POLL_INTERVALS,
    STARS_CURRENCY,
    BusinessClosed,
    OrderClosed,
    OrderId,
    PlanOrder,
    ProviderName,
    Reason,
    Status,
    UnknownOrder,
    read_order_id,
)
from zapisano.payments.provider import Payment, Provider, ProviderRefused, ProviderUnavailable
from zapisano.payments.refund_model import RefundId, RefundRow, RefundSource, RefundStatus
from zapisano.payments.settle import Outcome, book, review
from zapisano.payments.settle_refund import take_effect
from zapisano.payments.store.refunds import insert_refund
from zapisano.settings import Settings

# A second try of one order waits for the first: Telegram takes the Stars within seconds of our yes.
TRY_LASTS = timedelta(minutes=5)


class StarsProvider(Provider, Protocol):
    """Telegram as a provider: its payments are made by its own dialog, and given back whole."""

    async def refund(self, buyer_id: int, payment_id: str) -> None:
        """Give the Stars of one payment back; one that was given back already is fine.

        Raises:
            ProviderRefused: Telegram gives nothing back for this.
        """
        ...


@dataclass(frozen=True)
class Providers:
    """Whom to ask: it is written in the order. `telegram` is None where Stars are not received."""

    yookassa: Provider
    telegram: StarsProvider | None

    async def of_payment(self, database: Database, payment_id: str) -> Provider:
        """Return whose payment this is.

        Raises:
            ProviderUnavailable: it is Telegram's, and nobody here can ask that.
        """
        async with database.shared() as conn:
            return self._named(await store.provider_of_payment(conn, payment_id))

    async def of_order(self, database: Database, order_id: OrderId) -> Provider:
        """Return who is to be asked about an order.

        Raises:
            ProviderUnavailable: it is Telegram, and nobody here can ask that.
        """
        async with database.shared() as conn:
            return self._named(await store.provider_of_order(conn, order_id))

    def _named(self, name: ProviderName) -> Provider:
        return self.stars if name is ProviderName.STARS else self.yookassa

    @property
    def stars(self) -> StarsProvider:
        """Telegram.

        Raises:
            ProviderUnavailable: there is no sales bot that could ask it.
        """
        if self.telegram is None:
            raise ProviderUnavailable("Stars need the sales bot: SALES_BOT_TOKEN is not set.")
        return self.telegram


class Refusal(StrEnum):
    """Why Telegram is told to take no Stars."""

    OFF = "not sold for stars"
    GONE = "no such order"
    OVER = "not open"
    CLOSED = "business closed"
    UNDER_WAY = "under way"


@dataclass(frozen=True)
class Question:
    """What Telegram asks before it takes the Stars, within 10 s: https://core.telegram.org/bots/api#precheckoutquery."""

    id: str
    order_id: str
    buyer_id: int
    amount: Decimal
    currency: str


def sold_for_stars(settings: Settings, order: PlanOrder) -> int | None:
    """Return what may be paid in Stars in the place of an order in roubles; None: nothing.

    A price that was lowered, or a change of plan, is reckoned in roubles only.
    """
    if order.promo_code or order.is_switch or order.provider is ProviderName.STARS:
        return None
    return settings.stars_price(order.plan)


async def create_stars_order(
    conn: SharedConnection,
    settings: Settings,
    *,
    instead_of: str,
    order_id: OrderId,
    buyer_id: int,
    now: datetime,
) -> PlanOrder:
    """Keep the order in Stars that stands beside one in roubles; asking again returns the same.

    `order_id` is the same for the same order, and nobody may be able to guess it.

    Raises:
        UnknownOrder: the buyer has no such order.
        OrderClosed: it is paid, in either way.
        BusinessClosed: what it would prolong is archived.
        Refused: it is not sold for Stars.
    """
    base = await store.get_plan_order(conn, instead_of)
    if base.buyer_id != buyer_id:
        raise UnknownOrder
    if base.status is Status.PAID or await store.paid_beside(conn, base.id):
        raise OrderClosed
    await refuse_closed(conn, settings, base, now)
    if (price := sold_for_stars(settings, base)) is None:
        raise Refused("plan: is not sold for Telegram Stars")
    order = PlanOrder(
        id=order_id,
        buyer_id=base.buyer_id,
        buyer_language=base.buyer_language,
        company_name=base.company_name,
        plan=base.plan,
        days=base.days,
        tenant_id=base.tenant_id,
        amount=Decimal(price).quantize(base.amount),
        idempotence_key=f"stars-{order_id}",
        created_at=now,
        provider=ProviderName.STARS,
        currency=STARS_CURRENCY,
        instead_of=base.id,
    )
    return order if await keep(conn, order) else await store.get_plan_order(conn, order_id)


async def allow_stars(
    conn: SharedConnection, settings: Settings, question: Question, now: datetime
) -> Refusal | None:
    """Say whether Telegram may take the Stars: None, or why not. A question may be repeated.

    From a yes on the order is asked after, in case the news of the payment is lost.
    """
    order_id = read_order_id(question.order_id)
    order = await store.find(conn, order_id) if order_id else None
    if not isinstance(order, PlanOrder) or not _asks_for(order, question):
        return Refusal.GONE
    if settings.stars_price(order.plan) is None:
        return Refusal.OFF
    if order.status is not Status.CREATED or await store.paid_beside(conn, order.id):
        return Refusal.OVER
    try:
        await refuse_closed(conn, settings, order, now)
    except BusinessClosed:
        return Refusal.CLOSED
    begun = await store.begin_stars(
        conn, order.id, key=f"stars-{question.id}", now=now, unless_after=now - TRY_LASTS
    )
    if not begun:
        return Refusal.UNDER_WAY
    await schedule(conn, Poll(order.id), at=now + POLL_INTERVALS[0], subject=order.id)
    return None


def _asks_for(order: PlanOrder, question: Question) -> bool:
    return (
        order.provider is ProviderName.STARS
        and order.buyer_id == question.buyer_id
        and order.amount == question.amount
        and order.currency == question.currency
    )


async def receive_stars(
    conn: SharedConnection, settings: Settings, payment: Payment, now: datetime
) -> Outcome:
    """Book what Telegram says was paid, in the caller's transaction. Repeating changes nothing.

    Also where Stars are off by now: what was paid is honoured.
    """
    order_id = read_order_id(payment.metadata.get("order_id", ""))
    order = await store.find(conn, order_id) if order_id else None
    if order is not None and order.provider is ProviderName.STARS:
        order = await store.get(conn, order.id, lock=True)
        await store.set_payment(conn, order.id, payment.id, None)
    return await book(conn, settings, payment, now, via="telegram")


async def refund_stars(
    database: Database,
    settings: Settings,
    provider: StarsProvider,
    *,
    order_id: OrderId,
    payment_id: str,
    by: str,
    now: datetime,
) -> bool:
    """Give the Stars of a payment back, all of them; return False if that is known already.

    `payment_id` is the order's own, or that of a second payment which is under review: then no days
    are taken. Safe to repeat.

    Raises:
        UnknownOrder: there is no such order in Stars.
        ProviderRefused: Telegram gives nothing back for this.
        Passing: Telegram is not answering; the same again is safe.
    """
    async with database.shared() as conn:
        order = await store.get_plan_order(conn, order_id)
    if order.provider is not ProviderName.STARS:
        raise UnknownOrder
    await provider.refund(order.buyer_id, payment_id)
    async with database.shared() as conn:
        return await note_refund(conn, settings, payment_id, by=by, now=now)


async def note_refund(
    conn: SharedConnection, settings: Settings, payment_id: str, *, by: str, now: datetime
) -> bool:
    """Write that a payment in Stars was given back, and take its days; False if that is known."""
    order_id = await store.find_by_payment(conn, payment_id)
    order = await store.get(conn, order_id, lock=True) if order_id else None
    await store.close_reviews(conn, payment_id, now)
    if not isinstance(order, PlanOrder) or order.provider is not ProviderName.STARS:
        return False
    if order.refunded:
        return False
    back = RefundRow(
        id=RefundId(str(uuid.uuid4())),
        order_id=order.id,
        amount=order.amount,
        source=RefundSource.CABINET,
        status=RefundStatus.PENDING,
        refund_id=payment_id,
        created_at=now,
    )
    await insert_refund(conn, back)
    await take_effect(conn, settings, order, back, now, via=by)
    await unschedule(conn, Poll, subject=order.id)
    return True


async def give_back_stars(
    database: Database,
    settings: Settings,
    provider: StarsProvider,
    order_id: OrderId,
    now: datetime,
) -> None:
    """Give an order's Stars back as the operator has asked; a refusal is put before them.

    Raises:
        UnknownOrder: there is no such order in Stars.
        Passing: Telegram is not answering; the same again is safe.
    """
    async with database.shared() as conn:
        payment_id = (await store.get_plan_order(conn, order_id)).payment_id
    if payment_id is None:
        raise UnknownOrder
    try:
        await refund_stars(
            database,
            settings,
            provider,
            order_id=order_id,
            payment_id=payment_id,
            by="operator",
            now=now,
        )
    except ProviderRefused:
        async with database.shared() as conn:
            await review(conn, Reason.REFUND_CANCELED, payment_id=payment_id, order_id=order_id)
