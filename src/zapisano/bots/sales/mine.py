"""/my: a person's bots, how they are, and until when they are paid."""

from dataclasses import dataclass, replace
from datetime import datetime

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots import store
from zapisano.bots.model import OWNER_START, bot_link
from zapisano.bots.sales.buttons import (
    MOST_BUSINESSES,
    Create,
    Go,
    Renew,
    Unlink,
    back,
    button,
    short,
)
from zapisano.bots.sales.prompt import prompt
from zapisano.bots.sales.renewal import own_tenant
from zapisano.bots.sales.words import (
    day,
    inside_quotes,
    next_charge,
    reopening_note,
    state_name,
)
from zapisano.bots.screens import answer, keyboard, link, quote, show
from zapisano.db import Database, SharedConnection
from zapisano.payments import SavedMethod, methods
from zapisano.payments.charges import charge_is_under_way
from zapisano.plans import TRIAL
from zapisano.settings import Plan, Settings
from zapisano.subscriptions import Subscription
from zapisano.tenancy import State, Tenant
from zapisano.tenancy import store as tenants


@dataclass(frozen=True)
class Mine:
    """One line of the list."""

    tenant: Tenant
    username: str | None
    paid_until: datetime | None
    on_trial: bool
    autopay: SavedMethod | None = None
    charge: Plan | None = None
    charge_at: datetime | None = None


async def _mine(
    database: Database, settings: Settings, person_id: int, now: datetime
) -> list[Mine]:
    async with database.shared() as conn:
        lines: list[Mine] = []
        for tenant in await tenants.of_owner(conn, person_id, archived=True):
            row = await store.of_tenant(conn, tenant.id)
            paid = await subscriptions.find(conn, tenant.id)
            paid_until = paid.paid_until if paid else None
            if tenant.state is State.ARCHIVED and (paid_until is None or paid_until <= now):
                continue  # closed, and nothing is left of it
            on_trial = paid is not None and paid.plan == TRIAL
            line = Mine(tenant, row.username if row else None, paid_until, on_trial)
            lines.append(await _with_autopay(conn, settings, line, now))
    return lines[-MOST_BUSINESSES:]


async def _with_autopay(
    conn: SharedConnection, settings: Settings, line: Mine, now: datetime
) -> Mine:
    autopay = await methods.find(conn, line.tenant.id)
    charge = await methods.next_charge(conn, settings, line.tenant.id)
    if charge is None:
        return replace(line, autopay=autopay)
    at = await subscriptions.find_next_charge_at(conn, settings, line.tenant, autopay=True, now=now)
    return replace(line, autopay=autopay, charge=charge[1], charge_at=at)


async def mine(
    event: Message | CallbackQuery,
    state: FSMContext,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Show the list."""
    assert event.from_user is not None  # noqa: S101 # a private chat
    await state.clear()
    lines = await _mine(database, settings, event.from_user.id, now)
    if not lines:
        text = _("You have no bots yet. The first one can be working in a few minutes.")
        buy = [button(_("See the prices"), Go(to="plans"))]
        await show(event, text, keyboard(buy, back("start")))
        return
    text = _("<b>My bots</b>") + "".join(_line(line, settings) for line in lines)
    rows = [row for line in lines for row in (_buttons(line, settings), _off_button(line))]
    if any(line.tenant.state is State.ARCHIVED for line in lines):
        text += reopening_note(settings)
    another = [button(_("One more bot"), Go(to="more"))]
    more = _more(lines, settings)
    await show(event, text, keyboard(*rows, more, another, back("start")))


def _more(lines: list[Mine], settings: Settings) -> list[InlineKeyboardButton]:
    """What can be done with a bot whose time is counted: change its plan, bring a friend."""
    if not any(line.paid_until and line.tenant.state is not State.ARCHIVED for line in lines):
        return []
    invite = button(_("🎁 Invite a friend"), Go(to="invite"))
    change = button(_("Change the plan"), Go(to="tariff"))
    return [change, invite] if settings.referral_days else [change]


def _line(line: Mine, settings: Settings) -> str:
    text = f"\n\n<b>{quote(line.tenant.name)}</b>\n{state_name(line.tenant)}"
    if line.username:
        text += f" · @{line.username}"
    if line.paid_until:
        until = _("free until {day}") if line.on_trial else _("paid until {day}")
        until = until.format(day=day(line.paid_until, settings))
        text += f"\n{until}"
    if autopay := autopay_of(line, settings):
        text += f"\n{autopay}"
    return text


def autopay_of(line: Mine, settings: Settings) -> str:
    """Say what is charged next and when; '' where autopay is nothing to speak of."""
    if line.autopay is None:
        is_offered = settings.yookassa_autopay and line.paid_until and not line.on_trial
        return _("Autopay is off") if is_offered and not _is_closed(line) else ""
    if not settings.yookassa_autopay:
        return _("Autopay does not work at the moment: please extend it yourself.")
    if line.charge is None:
        return _(
            "Autopay will not work: the sum or the period is not what you agreed to. Tick its box "
            "at the next payment."
        )
    if line.charge_at is not None:
        return next_charge(line.autopay, line.charge, line.charge_at, settings)
    if line.tenant.is_paused_by_operator or _is_closed(line):
        return _("Autopay charges nothing as long as the bot is paused.")
    return _("Autopay did not go through, and we will not try again: please extend it yourself.")


def _is_closed(line: Mine) -> bool:
    return line.tenant.state is State.ARCHIVED


def _off_button(line: Mine) -> list[InlineKeyboardButton]:
    if line.autopay is None:
        return []
    name = short(line.tenant.name)
    return [
        button(_("Switch autopay off: {name}").format(name=name), Unlink(tenant=line.tenant.id))
    ]


async def unlink(
    tap: CallbackQuery,
    callback_data: Unlink,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Switch autopay off, at once and for good; say what is so now and how it comes back."""
    tenant = await own_tenant(database, callback_data.tenant, tap.from_user.id)
    async with database.shared() as conn:
        await methods.end(conn, tenant.id, "owner", by="owner", now=now)
        paid = await subscriptions.find(conn, tenant.id)
        is_charging = paid is not None and await charge_is_under_way(conn, paid)
    text = _(
        "✅ <b>Autopay for “{name}” is off</b>\n\n"
        "We have forgotten the card and will charge nothing by ourselves."
    )
    text = text.format(name=inside_quotes(tenant.name)) + _goes_on(tenant, paid, settings, now)
    if is_charging:
        text += "\n\n" + _(
            "⏳ One charge is with the bank already and may still come through: we will write."
        )
    rows: list[InlineKeyboardButton] = []
    if settings.yookassa_autopay:
        text += "\n\n" + _(
            "Changed your mind? Tick the autopay box at the next payment: the new days are added "
            "to those that are left."
        )
        rows = [button(_("Pay and switch it on again"), Renew(tenant=tenant.id))]
    await show(tap, text, keyboard(rows, back("mine")))


def _goes_on(tenant: Tenant, paid: Subscription | None, settings: Settings, now: datetime) -> str:
    """Say until when the bot works without another charge."""
    if paid is None or paid.paid_until <= now or tenant.state is not State.ACTIVE:
        return ""
    text = _(" The bot is paid until {day}, then it goes on whenever you pay.")
    return text.format(day=day(paid.paid_until, settings))


def _buttons(line: Mine, settings: Settings) -> list[InlineKeyboardButton]:
    name = short(line.tenant.name)
    if line.tenant.state is State.ARCHIVED:
        return []
    extend = button(_("Extend: {name}").format(name=name), Renew(tenant=line.tenant.id))
    if line.tenant.state is State.AWAITING_BOT and not line.username:
        return [button(_("Create the bot"), Create(tenant=line.tenant.id)), extend]
    if line.username:
        open_it = bot_link(settings, line.username, OWNER_START)
        return [extend, link(_("Open"), open_it)]
    return [extend]


async def create(tap: CallbackQuery, callback_data: Create, database: Database) -> None:
    """Show again the button that creates the bot."""
    tenant = await own_tenant(database, callback_data.tenant, tap.from_user.id)
    if tenant.state is not State.AWAITING_BOT:
        await answer(tap, _("This business has its bot."))
        return
    await answer(tap)
    assert tap.bot is not None  # noqa: S101 # mounted by dispatch
    await prompt(tap.bot, database, tenant)


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="mine")
    router.message.register(mine, Command("my"))
    router.callback_query.register(mine, Go.filter(F.to == "mine"))
    router.callback_query.register(unlink, Unlink.filter())
    router.callback_query.register(create, Create.filter())
    return router
