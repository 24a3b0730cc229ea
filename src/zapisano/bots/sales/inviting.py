"""Friends: a link of one's own, and whoever comes by it."""

from datetime import datetime
from urllib.parse import quote as in_address

from aiogram import Bot, F, Router
from aiogram.filters import CommandObject, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots.model import BotRow, bot_link
from zapisano.bots.sales.buttons import Go, Invite, back, button, short
from zapisano.bots.sales.renewal import own_tenant
from zapisano.bots.sales.showcase import arrive
from zapisano.bots.sales.tariff import counted
from zapisano.bots.sales.words import days_text, inside_quotes
from zapisano.bots.screens import keyboard, link, show
from zapisano.db import Database
from zapisano.errors import Conflict
from zapisano.settings import Settings
from zapisano.tenancy import Tenant

LINK = "i_"


async def choose(
    tap: CallbackQuery, database: Database, settings: Settings, bot_row: BotRow
) -> None:
    """Show the link; whoever has several bots says first which gets the days."""
    found = await counted(database, tap.from_user.id)
    if len(found) == 1:
        await _show_link(tap, found[0], settings, bot_row)
        return
    rows = [[button(short(one.name), Invite(tenant=one.id))] for one in found]
    await show(tap, _("Which bot shall get the days?"), keyboard(*rows, back("mine")))


async def invite(
    tap: CallbackQuery,
    callback_data: Invite,
    database: Database,
    settings: Settings,
    bot_row: BotRow,
) -> None:
    """Show the link of one bot."""
    tenant = await own_tenant(database, callback_data.tenant, tap.from_user.id)
    await _show_link(tap, tenant, settings, bot_row)


async def _show_link(
    tap: CallbackQuery, tenant: Tenant, settings: Settings, bot_row: BotRow
) -> None:
    if not settings.referral_days:
        raise Conflict
    payload = subscriptions.invitation(settings, tenant.id)
    address = bot_link(settings, bot_row.username, payload)
    text = _(
        "<b>Invite a friend</b>\n\n"
        "Send this link to somebody whose customers could book in Telegram, too:\n"
        "<code>{link}</code>\n\n"
        "When your friend pays for the first time, both of you get a gift: {days}. "
        "Yours go to “{name}”."
    ).format(link=address, days=days_text(settings.referral_days), name=inside_quotes(tenant.name))
    words = _("A booking bot in Telegram. By my link you get days as a gift:")
    share = f"https://t.me/share/url?url={in_address(address)}&text={in_address(words)}"
    await show(tap, text, keyboard([link(_("Send to a friend"), share)], back("mine")))


async def come(
    message: Message,
    command: CommandObject,
    bot: Bot,
    state: FSMContext,
    database: Database,
    settings: Settings,
    now: datetime,
) -> None:
    """Somebody comes by a link: remember whose, and say what it brings."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    host = subscriptions.invited_by(settings, command.args or "")
    counts = False
    if host is not None and settings.referral_days:
        async with database.shared() as conn:
            counts = await subscriptions.accept_invitation(conn, host, message.from_user.id, now)
    first = ""
    if counts:
        first = _("🎁 You are invited: with your first payment you get a gift, {days}.\n\n").format(
            days=days_text(settings.referral_days)
        )
    await arrive(message, bot, state, database, settings, first=first)


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="inviting")
    router.message.register(come, CommandStart(deep_link=True, magic=F.args.startswith(LINK)))
    router.callback_query.register(choose, Go.filter(F.to == "invite"))
    router.callback_query.register(invite, Invite.filter())
    return router
