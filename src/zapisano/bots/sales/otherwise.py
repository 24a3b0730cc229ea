"""Whatever nobody else has answered."""

from aiogram import Bot, F, Router
from aiogram.types import Message
from aiogram.utils.i18n import gettext as _

from zapisano.bots import store
from zapisano.bots.sales.buttons import Go, button
from zapisano.bots.sales.prompt import prompt
from zapisano.bots.screens import keyboard
from zapisano.db import Database
from zapisano.tenancy import store as tenants


async def otherwise(message: Message, bot: Bot, database: Database) -> None:
    """Say what can be done now: create the bot that is paid for, or look at the prices."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    async with database.shared() as conn:
        waiting = await store.awaiting(conn, message.from_user.id)
        tenant = await tenants.get(conn, waiting) if waiting else None
    if tenant:
        await prompt(bot, tenant, reminder=True)
        return
    text = _("I sell booking bots. What would you like to see?")
    rows = [button(_("See the prices"), Go(to="plans")), button(_("My bots"), Go(to="mine"))]
    await message.answer(text, reply_markup=keyboard(rows))


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="otherwise")
    router.message.register(otherwise, F.chat.type == "private")
    return router
