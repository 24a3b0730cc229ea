"""Whatever nobody else has answered."""

from aiogram import Bot, F, Router
from aiogram.types import Message
from aiogram.utils.i18n import gettext as _

from zapisano.bots import store
from zapisano.bots.model import OWNER_START, BotRow, bot_link
from zapisano.bots.sales.buttons import Go, button, short
from zapisano.bots.sales.prompt import find_awaiting, prompt
from zapisano.bots.screens import keyboard, link, quote
from zapisano.db import Database
from zapisano.settings import Settings
from zapisano.tenancy import Tenant
from zapisano.tenancy import store as tenants

MOST_SHOWN = 5


async def otherwise(message: Message, bot: Bot, database: Database, settings: Settings) -> None:
    """Say what can be done now: create the bot that is paid for, open one's own, or buy one."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    person_id = message.from_user.id
    if tenant := await find_awaiting(database, person_id):
        await prompt(bot, database, tenant, reminder=True)
        return
    async with database.shared() as conn:
        owned = await store.of_owner(conn, person_id)
        names = {row.tenant_id: await tenants.get(conn, row.tenant_id or "") for row in owned}
    own = [(row, names[row.tenant_id]) for row in owned[-MOST_SHOWN:]]
    rows = [
        [
            link(
                _("⚙️ Manage: {name}").format(name=short(tenant.name)),
                bot_link(settings, row.username, OWNER_START),
            )
        ]
        for row, tenant in own
    ]
    plans = (
        button(_("One more bot"), Go(to="more"))
        if own
        else button(_("See the prices"), Go(to="plans"))
    )
    rows.append([plans, button(_("My bots"), Go(to="mine"))])
    text = _way_on(message.text or "", own)
    await message.answer(text, reply_markup=keyboard(*rows))


def _way_on(said: str, own: list[tuple[BotRow, Tenant]]) -> str:
    if said.startswith("/newbot"):
        text = _(
            "<code>/newbot</code> is for @BotFather. Here it goes the other way round: first a "
            "plan, then one button creates the bot."
        )
    elif own:
        text = _(
            "This is the chat about buying and paying. Services, hours and bookings are in your "
            "own bot: open it and send <code>/admin</code> there."
        )
    elif said.startswith("/admin"):
        text = _("You have no bot yet. <code>/admin</code> will work in it, once you have one.")
    else:
        text = _("I sell booking bots. What would you like to see?")
    lines = [f"<b>{quote(tenant.name)}</b> · @{row.username}" for row, tenant in own]
    return "\n".join([text, "", *lines] if lines else [text])


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="otherwise")
    router.message.register(otherwise, F.chat.type == "private")
    return router
