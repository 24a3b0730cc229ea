"""Paying in Telegram Stars: the invoice, Telegram's question before it, and its word after it."""

import hmac
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from aiogram import Bot, F, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery, LabeledPrice, Message, PreCheckoutQuery
from aiogram.utils.i18n import gettext as _

from zapisano.bots.sales.buttons import Stars, short
from zapisano.bots.sales.words import in_days, ordered_plan
from zapisano.bots.screens import LATE, answer
from zapisano.bots.stars import charge
from zapisano.db import Database
from zapisano.errors import Refused
from zapisano.payments import (
    BusinessClosed,
    OrderClosed,
    OrderId,
    Outcome,
    PlanOrder,
    Question,
    Refusal,
    allow_stars,
    create_stars_order,
    note_refund,
    receive_stars,
)
from zapisano.payments.model import STARS_CURRENCY
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.bots")

MAX_TITLE = 32  # https://core.telegram.org/bots/api#sendinvoice


def stars_order_id(settings: Settings, order_id: str) -> OrderId:
    """Return the id of the order in Stars beside one in roubles: one, however often it is asked."""
    secret = settings.secret_key.get_secret_value().encode()
    digest = hmac.digest(secret, f"stars {order_id}".encode(), "sha256")
    return OrderId(str(UUID(bytes=digest[:16], version=4)))


async def invoice(
    tap: CallbackQuery,
    callback_data: Stars,
    bot: Bot,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Send the invoice whose button Telegram itself makes."""
    try:
        async with database.shared() as conn:
            order = await create_stars_order(
                conn,
                settings,
                instead_of=callback_data.order,
                order_id=stars_order_id(settings, callback_data.order),
                buyer_id=tap.from_user.id,
                now=now,
            )
    except (OrderClosed, BusinessClosed, Refused) as error:
        await answer(tap, _refused(error), alert=True)
        return
    await answer(tap)
    await _send_invoice(bot, order, settings)


async def _send_invoice(bot: Bot, order: PlanOrder, settings: Settings) -> None:
    title = ordered_plan(order, settings)
    days = in_days(order.days)
    text = (
        _("A bot for “{name}”, {days}. It is made right after payment.")
        if order.tenant_id is None
        else _("More days for “{name}”: {days}. They are added right after payment.")
    )
    await bot.send_invoice(
        order.buyer_id,
        title=title[:MAX_TITLE],
        description=text.format(name=order.company_name, days=days),
        payload=order.id,
        currency=STARS_CURRENCY,
        prices=[LabeledPrice(label=short(title), amount=int(order.amount))],
    )


def _refused(error: OrderClosed | BusinessClosed | Refused) -> str:
    match error:
        case OrderClosed():
            return _refusal(Refusal.OVER)
        case BusinessClosed():
            return _refusal(Refusal.CLOSED)
        case Refused():
            return _refusal(Refusal.OFF)


def _refusal(refusal: Refusal) -> str:
    """Say why no Stars are taken, and that none were."""
    words = {
        Refusal.OFF: _("Stars are not taken here now. Nothing was charged: please pay by card."),
        Refusal.GONE: _(
            "This invoice is not valid. Nothing was charged: please start from /start."
        ),
        Refusal.OVER: _("This order is paid or closed already. Nothing was charged: see /my."),
        Refusal.CLOSED: _("This business is closed. Nothing was charged."),
        Refusal.UNDER_WAY: _(
            "A payment of this invoice is under way. Nothing more was charged: please look into "
            "/my in a few minutes."
        ),
    }
    return words[refusal]


async def check(
    query: PreCheckoutQuery, database: Database, settings: Settings, now: datetime
) -> None:
    """Answer Telegram's question within its 10 s; an answer that is late takes no Stars."""
    question = Question(
        query.id,
        query.invoice_payload,
        query.from_user.id,
        Decimal(query.total_amount),
        query.currency,
    )
    async with database.shared() as conn:
        refusal = await allow_stars(conn, settings, question, now)
    try:
        await query.answer(ok=refusal is None, error_message=_refusal(refusal) if refusal else None)
    except TelegramBadRequest as error:
        if not any(part in error.message.lower() for part in LATE):
            raise
    if refusal:
        log.info("stars_refused", reason=refusal)


async def paid(
    message: Message, bot: Bot, database: Database, settings: Settings, now: datetime
) -> None:
    """The Stars are ours: book them. The buyer is told as of any payment."""
    told = message.successful_payment
    assert told is not None  # noqa: S101 # the filter
    payment = charge(
        told.telegram_payment_charge_id,
        told.total_amount,
        told.currency,
        told.invoice_payload,
        str(bot.id),
    )
    async with database.shared() as conn:
        outcome = await receive_stars(conn, settings, payment, now)
    if outcome is Outcome.REVIEW:
        await message.answer(
            _(
                "Your Stars have arrived, but do not fit an open order. A person is looking at it "
                "and will write to you here."
            )
        )


async def given_back(
    message: Message, database: Database, settings: Settings, now: datetime
) -> None:
    """Stars were given back, by us or by Telegram: their days go, too."""
    told = message.refunded_payment
    assert told is not None  # noqa: S101 # the filter
    async with database.shared() as conn:
        await note_refund(conn, settings, told.telegram_payment_charge_id, by="telegram", now=now)


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="stars")
    router.callback_query.register(invoice, Stars.filter())
    router.pre_checkout_query.register(check)
    router.message.register(paid, F.successful_payment)
    router.message.register(given_back, F.refunded_payment)
    return router
