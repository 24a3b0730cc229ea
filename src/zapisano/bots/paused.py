"""A suspended tenant's bot: customers hear that it is paused, the owner how to go on."""

from aiogram import Router
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message, TelegramObject
from aiogram.utils.i18n import gettext as _

from zapisano.bots.i18n import SALES, TelegramLanguage
from zapisano.bots.model import bot_link
from zapisano.bots.registry import Bots
from zapisano.bots.screens import answer, keyboard, link, quote
from zapisano.errors import NotFound
from zapisano.settings import Settings
from zapisano.tenancy import State, Suspension, Tenant


def is_suspended(_event: TelegramObject, tenant: Tenant) -> bool:
    """Whether the update's tenant is suspended."""
    return tenant.state is State.SUSPENDED


async def paused(
    event: Message | CallbackQuery, tenant: Tenant, bots: Bots, settings: Settings
) -> None:
    """Answer in place of every other handler."""
    if event.from_user is None:
        return
    if event.from_user.id != tenant.owner_id:
        await _say(event, _("Booking is paused for now. Please look in again later."))
        return
    if tenant.suspended_for is Suspension.OPERATOR:
        text = _("The bot is paused by support. Your data is safe.")
        if settings.support_contact:
            text += _(" Write to us: {contact}").format(contact=quote(settings.support_contact))
        await _say(event, text)
        return
    text = _("The bot is paused: it is not paid for. Your data is safe, pay and it goes on.")
    await _say(event, text, await _way_to_pay(bots, tenant, settings))


async def _way_to_pay(
    bots: Bots, tenant: Tenant, settings: Settings
) -> InlineKeyboardMarkup | None:
    try:
        _bot, sales = await bots.sales()
    except NotFound:
        return None
    return keyboard([link(_("Pay"), bot_link(settings, sales.username, f"renew_{tenant.id}"))])


async def _say(
    event: Message | CallbackQuery, text: str, buttons: InlineKeyboardMarkup | None = None
) -> None:
    if isinstance(event, CallbackQuery):
        await answer(event, text, alert=True)
    elif event.chat.type == "private":
        await event.answer(text, reply_markup=buttons)


def paused_router() -> Router:
    """Return the handlers; they come before the tenant's own."""
    router = Router(name="paused")
    TelegramLanguage(SALES).setup(router)
    router.message.register(paused, is_suspended)
    router.callback_query.register(paused, is_suspended)
    return router
