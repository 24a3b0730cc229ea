"""From a plan to an order: a name is asked for, and the way to the checkout page is shown."""

from datetime import datetime

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State as Step
from aiogram.fsm.state import StatesGroup
from aiogram.types import CallbackQuery, Message, Update
from aiogram.utils.i18n import get_i18n
from aiogram.utils.i18n import gettext as _

from zapisano.bots.inbox import SEALED_MARK
from zapisano.bots.model import MISTYPED, BotRow
from zapisano.bots.sales.buttons import MOST_BUSINESSES, NEW, Buy, Renew, back, button, short
from zapisano.bots.sales.renewal import order_of, own_tenant, pay_for, show_order, show_renewal
from zapisano.bots.sales.showcase import plans
from zapisano.bots.sales.words import plan_line
from zapisano.bots.screens import keyboard, remove, show
from zapisano.db import Database
from zapisano.errors import Refused
from zapisano.payments import create_order
from zapisano.settings import Plan, Settings
from zapisano.tenancy import store as tenants


class Buying(StatesGroup):
    """Where somebody is who buys."""

    name = Step()


async def choose_business(
    tap: CallbackQuery,
    callback_data: Buy,
    state: FSMContext,
    database: Database,
    settings: Settings,
) -> None:
    """A plan is chosen on the price list: whoever has a bot may mean that one, or a new one."""
    plan = _sold(settings, callback_data.plan)
    async with database.shared() as conn:
        owned = await tenants.of_owner(conn, tap.from_user.id)
    if not owned:
        await ask_for_name(tap, callback_data, state, settings)
        return
    rows = [
        [button(_("Extend: {name}").format(name=short(one.name)), Buy(plan=plan.id, tenant=one.id))]
        for one in owned[-MOST_BUSINESSES:]
    ]
    new = [button(_("➕ A new bot"), Buy(plan=plan.id, tenant=NEW))]
    text = _("<b>{plan}</b>\n\nExtend the bot that you have, or make a new one?")
    await show(tap, text.format(plan=plan_line(plan)), keyboard(*rows, new, back("plans")))


def _sold(settings: Settings, plan_id: str) -> Plan:
    if (plan := settings.plans.get(plan_id)) is None:
        raise Refused("plan: is no longer sold")
    return plan


async def ask_for_name(
    tap: CallbackQuery, callback_data: Buy, state: FSMContext, settings: Settings
) -> None:
    """A plan is chosen: ask for the business's name."""
    plan = _sold(settings, callback_data.plan)
    text = _("<b>{plan}</b>\n\nWhat is your business called? Write its name here.")
    shown = await show(tap, text.format(plan=plan_line(plan)), keyboard(back("plans")))
    await state.set_state(Buying.name)
    await state.set_data({"plan": plan.id, "screen": shown})


async def order(
    message: Message,
    state: FSMContext,
    database: Database,
    settings: Settings,
    now: datetime,
    bot_row: BotRow,
    event_update: Update,
) -> None:
    """The name is written: make the order. The screen moves down below what was written.

    Whatever fails after the commit, the next attempt finds the same order.
    """
    assert message.from_user is not None  # noqa: S101 # a private chat
    data = await state.get_data()
    if data["plan"] not in settings.plans:
        await plans(message, state, settings)
        return
    try:
        async with database.shared() as conn:
            made = await create_order(
                conn,
                settings,
                buyer_id=message.from_user.id,
                language=get_i18n().current_locale,
                company_name=message.text or "",
                plan=data["plan"],
                order_id=order_of(settings, bot_row, event_update),
                now=now,
            )
    except Refused:
        again = _("The name may have 1 to 100 letters, in one line. Please write it once more.")
        await message.answer(again)
        return
    await show_order(message, made, settings, to="plans")
    if data.get("screen"):
        await remove(message, data["screen"])
    await state.clear()  # last: until then the next attempt reads the same name in the same place


async def order_for_tenant(
    tap: CallbackQuery,
    callback_data: Buy,
    database: Database,
    settings: Settings,
    now: datetime,
    bot_row: BotRow,
    event_update: Update,
) -> None:
    """A plan is chosen for a tenant that exists: its name is known."""
    tenant = await own_tenant(database, callback_data.tenant, tap.from_user.id)
    order_id = order_of(settings, bot_row, event_update)
    await pay_for(tap, tenant, callback_data.plan, database, settings, now, order_id)


async def renew(
    tap: CallbackQuery, callback_data: Renew, database: Database, settings: Settings
) -> None:
    """Show for how long one may extend."""
    await show_renewal(tap, callback_data.tenant, database, settings)


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="ordering")
    router.callback_query.register(choose_business, Buy.filter(F.tenant == ""))
    router.callback_query.register(ask_for_name, Buy.filter(F.tenant == NEW))
    router.callback_query.register(order_for_tenant, Buy.filter(F.tenant != ""))
    router.callback_query.register(renew, Renew.filter())
    router.message.register(
        order,
        Buying.name,
        F.text,
        ~F.text.startswith("/"),
        ~F.text.contains(SEALED_MARK),
        ~F.text.regexp(MISTYPED),
    )
    return router
