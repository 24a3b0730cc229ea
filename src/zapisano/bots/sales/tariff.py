"""Change of plan: to a longer one now, to a shorter one with the next payment."""

from datetime import datetime

from aiogram import F, Router
from aiogram.types import CallbackQuery, InlineKeyboardButton, Update
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots.model import BotRow
from zapisano.bots.sales.buttons import (
    MOST_BUSINESSES,
    Go,
    Later,
    Switch,
    Tariff,
    back,
    button,
    short,
)
from zapisano.bots.sales.renewal import order_of, own_tenant, pay_for
from zapisano.bots.sales.words import day, inside_quotes, plan_label, plan_line, roubles
from zapisano.bots.screens import answer, keyboard, show
from zapisano.db import Database
from zapisano.errors import Refused
from zapisano.payments import methods
from zapisano.settings import Plan, Settings
from zapisano.subscriptions import Subscription
from zapisano.tenancy import Tenant
from zapisano.tenancy import store as tenants


async def counted(database: Database, person_id: int) -> list[Tenant]:
    """Return a person's tenants whose time is counted, the newest last."""
    async with database.shared() as conn:
        owned = await tenants.of_owner(conn, person_id)
        found = [one for one in owned if await subscriptions.find(conn, one.id)]
    return found[-MOST_BUSINESSES:]


async def choose(tap: CallbackQuery, database: Database, settings: Settings) -> None:
    """Show the plan; whoever has several bots says first of which."""
    found = await counted(database, tap.from_user.id)
    if len(found) == 1:
        await _show(tap, found[0].id, database, settings)
        return
    rows = [[button(short(one.name), Tariff(tenant=one.id))] for one in found]
    await show(tap, _("The plan of which bot?"), keyboard(*rows, back("mine")))


async def tariff(
    tap: CallbackQuery, callback_data: Tariff, database: Database, settings: Settings
) -> None:
    """Show the plan of one bot."""
    await _show(tap, callback_data.tenant, database, settings)


async def _show(tap: CallbackQuery, tenant_id: str, database: Database, settings: Settings) -> None:
    tenant = await own_tenant(database, tenant_id, tap.from_user.id)
    async with database.shared() as conn:
        paid = await subscriptions.get(conn, tenant.id)
    text = _("<b>The plan of “{name}”</b>\n\nNow: {plan}, until {day}.").format(
        name=inside_quotes(tenant.name),
        plan=plan_label(paid.plan, settings),
        day=day(paid.paid_until, settings),
    )
    text += _planned(paid, settings)
    now = settings.plans.get(paid.plan)
    longer = [plan for plan in settings.plans.values() if now is None or plan.days > now.days]
    shorter = [plan for plan in settings.plans.values() if now and plan.days < now.days]
    if longer:
        text += "\n\n" + _("⬆️ A longer one begins at once: the days that are left are kept.")
    if shorter:
        text += "\n\n" + _("⬇️ A shorter one begins with the next payment.")
    rows = [
        *([_up(tenant, plan)] for plan in longer),
        *([_down(tenant, plan)] for plan in shorter if plan.id != paid.next_plan),
        [_stay(tenant, now)] if paid.next_plan else [],
    ]
    await show(tap, text, keyboard(*rows, back("mine")))


def _planned(paid: Subscription, settings: Settings) -> str:
    plan = settings.plans.get(subscriptions.plan_at_renewal(paid))
    if paid.next_plan is None or plan is None:
        return ""
    text = _("\nNext payment: <b>{plan}, {sum}</b>.")
    return text.format(plan=plan_label(plan.id, settings), sum=roubles(plan.price))


def _stay(tenant: Tenant, plan: Plan | None) -> InlineKeyboardButton:
    stay = _("Stay with my plan")
    if plan is None:
        return button(stay, Later(tenant=tenant.id))
    shown = Later(tenant=tenant.id, price=str(plan.price), days=plan.days)
    return button(f"{stay} · {roubles(plan.price)}", shown)


def _up(tenant: Tenant, plan: Plan) -> InlineKeyboardButton:
    return button(f"⬆️ {plan_line(plan)}", Switch(tenant=tenant.id, plan=plan.id))


def _down(tenant: Tenant, plan: Plan) -> InlineKeyboardButton:
    shown = Later(tenant=tenant.id, plan=plan.id, price=str(plan.price), days=plan.days)
    return button(f"⬇️ {plan_line(plan)}", shown)


async def switch(
    tap: CallbackQuery,
    callback_data: Switch,
    database: Database,
    settings: Settings,
    now: datetime,
    bot_row: BotRow,
    event_update: Update,
) -> None:
    """Up: an order of the whole longer plan; what is left of the time stays."""
    tenant = await own_tenant(database, callback_data.tenant, tap.from_user.id)
    order_id = order_of(settings, bot_row, event_update)
    plan = callback_data.plan
    await pay_for(tap, tenant, plan, database, settings, now, order_id, is_switch=True)


async def later(
    tap: CallbackQuery,
    callback_data: Later,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Down: from the next payment on; or not at all. A saved card is charged for what is chosen.

    The button says the plan and the sum, so a press on it is the consent to them, and to no others:
    an old button whose price is not today's agrees to nothing.
    """
    tenant = await own_tenant(database, callback_data.tenant, tap.from_user.id)
    async with database.shared() as conn:
        paid = await subscriptions.get(conn, tenant.id)
        chosen = settings.plans.get(callback_data.plan or paid.plan)
        if chosen is None and callback_data.plan:
            raise Refused("plan: is no longer sold")
        is_shown = chosen is None or _is_as_shown(callback_data, chosen)
        if is_shown:
            await subscriptions.plan_next(conn, tenant.id, callback_data.plan or None, by="owner")
        if is_shown and chosen is not None:
            await methods.agree(conn, tenant.id, chosen, by="owner", now=now)
    if chosen is not None and not is_shown:
        text = _("The price has changed, so nothing is chosen yet. It is {plan} now.")
        await answer(tap, text.format(plan=plan_line(chosen)), alert=True)
    await _show(tap, tenant.id, database, settings)


def _is_as_shown(button_data: Later, plan: Plan) -> bool:
    return (button_data.price, button_data.days) == (str(plan.price), plan.days)


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="tariff")
    router.callback_query.register(choose, Go.filter(F.to == "tariff"))
    router.callback_query.register(tariff, Tariff.filter())
    router.callback_query.register(switch, Switch.filter())
    router.callback_query.register(later, Later.filter())
    return router
