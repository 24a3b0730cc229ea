"""Promo codes: written below an order, or brought by a link."""

from contextlib import suppress
from datetime import datetime

from aiogram import Bot, F, Router
from aiogram.filters import CommandObject, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State as Step
from aiogram.fsm.state import StatesGroup
from aiogram.types import CallbackQuery, Message
from aiogram.utils.i18n import gettext as _

from zapisano.bots.inbox import SEALED_MARK
from zapisano.bots.model import MISTYPED
from zapisano.bots.sales.buttons import DropCode, Enter, SeeOrder, button
from zapisano.bots.sales.renewal import show_order
from zapisano.bots.sales.showcase import arrive, arrive_for_prices
from zapisano.bots.sales.words import day, pause_note, plan_name, roubles
from zapisano.bots.screens import keyboard, remove, show
from zapisano.db import Database, SharedConnection
from zapisano.errors import AppError, Conflict
from zapisano.payments import OrderId, PlanOrder, UnknownOrder
from zapisano.payments import store as orders
from zapisano.payments.promo import apply_promo, note_promo, remove_promo
from zapisano.payments.promo_model import NoPromo, Promo, PromoUsedOnce, PromoUsedUp
from zapisano.settings import Settings
from zapisano.tenancy import store as tenants

LINK = "promo_"


class Entering(StatesGroup):
    """Where somebody is who has a code."""

    code = Step()


async def ask_for_code(
    tap: CallbackQuery, callback_data: Enter, state: FSMContext, database: Database
) -> None:
    """Ask for the code."""
    async with database.shared() as conn:
        order = await _own_order(conn, callback_data.order, tap.from_user.id)
    text = _("Write the promo code here.")
    if order.promo_code:
        text = _("Write the other promo code here. Now it is <b>{code}</b>.").format(
            code=order.promo_code
        )
    shown = await show(tap, text, keyboard([button(_("‹ Back"), SeeOrder(order=order.id))]))
    await state.set_state(Entering.code)
    await state.set_data({"order": order.id, "screen": shown})


async def _own_order(conn: SharedConnection, order_id: str, person_id: int) -> PlanOrder:
    order = await orders.get_plan_order(conn, order_id)
    if order.buyer_id != person_id:
        raise UnknownOrder
    return order


async def _show(
    event: Message | CallbackQuery, order: PlanOrder, database: Database, settings: Settings
) -> None:
    async with database.shared() as conn:
        tenant = await tenants.get(conn, order.tenant_id) if order.tenant_id else None
    note = pause_note(tenant, settings) if tenant else ""
    await show_order(event, order, settings, to=_way_back(order), note=note)


def _way_back(order: PlanOrder) -> str:
    return "mine" if order.tenant_id else "plans"


async def enter(
    message: Message, state: FSMContext, database: Database, settings: Settings, now: datetime
) -> None:
    """The code is written: show the order anew. What does not fit is said, and may be mended."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    data = await state.get_data()
    code = message.text or ""
    async with database.shared() as conn:
        order = await apply_promo(conn, settings, OrderId(data["order"]), code, now)
        with suppress(Conflict):  # it has ended since the order got it
            await note_promo(conn, order.buyer_id, code, now)  # it goes along to another plan
    await _show(message, order, database, settings)
    if data.get("screen"):
        await remove(message, data["screen"])
    await state.clear()  # last: until then the next attempt reads the same code in the same place


async def see(
    tap: CallbackQuery,
    callback_data: SeeOrder,
    state: FSMContext,
    database: Database,
    settings: Settings,
) -> None:
    """Show an order again: no code is written after all."""
    async with database.shared() as conn:
        order = await _own_order(conn, callback_data.order, tap.from_user.id)
    await state.clear()
    await _show(tap, order, database, settings)


async def drop(
    tap: CallbackQuery,
    callback_data: DropCode,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Take the code off, and show the order at its usual price."""
    async with database.shared() as conn:
        order = await _own_order(conn, callback_data.order, tap.from_user.id)
        order = await remove_promo(conn, settings, order.id, now)
    await _show(tap, order, database, settings)


async def come(
    message: Message,
    command: CommandObject,
    bot: Bot,
    state: FSMContext,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Somebody comes with a code: remember it for her order, and say what it brings."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    code = (command.args or "").removeprefix(LINK)
    try:
        async with database.shared() as conn:
            promo = await note_promo(conn, message.from_user.id, code, now)
    except (NoPromo, PromoUsedUp, PromoUsedOnce) as error:
        await arrive_for_prices(message, bot, state, database, settings, first=_why_not(error))
        return
    first = _what_it_brings(promo, settings)
    await arrive(message, bot, state, database, settings, first=f"{first}\n\n")


def _why_not(error: AppError) -> str:
    """Say in a line why a link brings nothing off."""
    match error:
        case PromoUsedUp():
            return _("🎟 This promo code has been used up.")
        case PromoUsedOnce():
            return _("🎟 You have used this promo code already.")
        case _:
            return _("🎟 There is no such promo code, or it has ended.")


def _what_it_brings(promo: Promo, settings: Settings) -> str:
    off = roubles(promo.fixed) if promo.fixed is not None else f"{promo.percent} %"
    text = _("🎟 <b>{code}</b>: {off} off. It is taken off by itself when you order.").format(
        code=promo.code, off=off
    )
    if promo.plans is not None:
        names = [plan_name(settings.plans[one]) for one in promo.plans if one in settings.plans]
        text += "\n" + _("For: {plans}.").format(plans=", ".join(names))
    if promo.until is not None:
        text += "\n" + _("Until {day}.").format(day=day(promo.until, settings))
    return text


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="promo")
    router.message.register(come, CommandStart(deep_link=True, magic=F.args.startswith(LINK)))
    router.callback_query.register(ask_for_code, Enter.filter())
    router.callback_query.register(see, SeeOrder.filter())
    router.callback_query.register(drop, DropCode.filter())
    router.message.register(
        enter,
        Entering.code,
        F.text,
        ~F.text.startswith("/"),
        ~F.text.contains(SEALED_MARK),
        ~F.text.regexp(MISTYPED),
    )
    return router
