"""The message with the one button that creates the bot."""

from aiogram import Bot
from aiogram.utils.i18n import gettext as _

from zapisano.bots import store
from zapisano.bots.sales.buttons import create_bot_keyboard
from zapisano.bots.sales.words import inside_quotes
from zapisano.db import Database
from zapisano.tenancy import Tenant
from zapisano.tenancy import store as tenants


async def find_awaiting(database: Database, person_id: int) -> Tenant | None:
    """Return the tenant of this person that waits for a bot, or None; of several as `awaiting`."""
    async with database.shared() as conn:
        waiting = await store.awaiting(conn, person_id)
        return await tenants.get(conn, waiting) if waiting else None


async def prompt(bot: Bot, database: Database, tenant: Tenant, *, reminder: bool = False) -> None:
    """Ask the owner to create the bot: one button, and a line on the way that always works.

    Called inside an i18n context. Telegram does not say which button was pressed, and shows the
    last one only: so that is remembered, for an owner who has paid for several.
    """
    async with database.shared() as conn:
        await tenants.note_prompt(conn, tenant.id)
    ready = _("“{name}” is ready and waits for its bot.") if reminder else _("“{name}” is ready.")
    other = _(
        "No such button? Send <code>/newbot</code> to @BotFather. A bot already? There, too: "
        "<code>/mybots</code> → API Token. Send me the token here."
    )
    name = inside_quotes(tenant.name)
    if (await bot.me()).can_manage_bots:
        press = _("One tap is left: press the button below, and Telegram creates your bot.")
        text = f"<b>{ready.format(name=name)}</b>\n\n{press}\n\n<i>{other}</i>"
        await bot.send_message(tenant.owner_id, text, reply_markup=create_bot_keyboard(tenant))
        return
    step = _(
        "Now its bot: open @BotFather, send <code>/newbot</code> there and choose a name. A bot "
        "already? There, too: <code>/mybots</code> → API Token. Send me the token here."
    )
    await bot.send_message(tenant.owner_id, f"<b>{ready.format(name=name)}</b>\n\n{step}")
