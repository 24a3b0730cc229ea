"""The customer's number: asked for once, after the first booking, and never needed."""

from aiogram import Bot, F, Router
from aiogram.types import KeyboardButton, Message, ReplyKeyboardMarkup, ReplyKeyboardRemove
from aiogram.utils.i18n import gettext as _

from zapisano.booking import share_phone
from zapisano.bots.booking.person import Visitor
from zapisano.bots.i18n import BOOKING, ENGLISH, RUSSIAN


def router() -> Router:
    """Return the handlers of a shared contact and of "Not now"."""
    made = Router(name="booking.phone")
    made.message.register(take, F.contact)
    made.message.register(leave_it, F.text, _not_now)
    return made


async def ask(bot: Bot, user_id: int) -> None:
    """Ask; whether to is for others to know."""
    keyboard = ReplyKeyboardMarkup(
        keyboard=[
            [KeyboardButton(text=_("📱 Share my number"), request_contact=True)],
            [KeyboardButton(text=_("Not now"))],
        ],
        resize_keyboard=True,
        one_time_keyboard=True,
    )
    text = _("Would you like to leave your number, in case something changes? You need not.")
    await bot.send_message(user_id, text, reply_markup=keyboard)


async def take(message: Message, visitor: Visitor) -> None:
    """Keep the number, if it is the person's own."""
    contact = message.contact
    if contact is None or contact.user_id != visitor.person.user_id:
        await message.answer(_("Please share your own number, with the button below."))
        return
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        await share_phone(conn, visitor.person.user_id, contact.phone_number)
    await message.answer(_("Thank you, noted."), reply_markup=ReplyKeyboardRemove())


def _not_now(message: Message) -> bool:
    """A keyboard stays when the language changes: its words are heard in both."""
    return message.text in {BOOKING.gettext("Not now", locale=one) for one in (RUSSIAN, ENGLISH)}


async def leave_it(message: Message) -> None:
    """Put the keyboard away."""
    await message.answer(_("All right."), reply_markup=ReplyKeyboardRemove())
