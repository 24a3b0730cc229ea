"""Greeting, settings, help, privacy, and a kind answer to everything else."""

from html import escape

from aiogram import F, Router
from aiogram.filters import Command, CommandStart
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message
from aiogram.utils.i18n import gettext as _

from zapisano.booking import choose_language
from zapisano.bots.booking.buttons import Do, Go, Place, Speak, button
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Screen, show
from zapisano.bots.i18n import BOOKING, speaking
from zapisano.bots.screens import answer
from zapisano.settings import Settings

# Each in its own words, whatever is spoken now.
LANGUAGES = {"ru": "🇷🇺 Русский", "en": "🇬🇧 English"}


def router() -> Router:
    """Return the handlers of what is always there."""
    made = Router(name="booking.home")
    made.message.register(home, CommandStart())
    made.callback_query.register(home, Go.filter(F.to == Place.HOME))
    made.message.register(settings_, Command("settings"))
    made.callback_query.register(settings_, Go.filter(F.to == Place.LANGUAGE))
    made.callback_query.register(speak, Speak.filter())
    made.message.register(help_, Command("help"))
    made.message.register(privacy, Command("privacy"))
    made.callback_query.register(nothing, Go.filter(F.to == Place.NOTHING))
    return made


def rest() -> Router:
    """Return the handlers of what nobody else has understood; to be asked last."""
    made = Router(name="booking.rest")
    made.callback_query.register(old_button)
    made.message.register(not_understood)
    return made


def home_screen(visitor: Visitor) -> Screen:
    """Return the greeting."""
    text = _("Hello! This is <b>{name}</b>.\nBook a visit in a few taps.")
    rows: list[list[InlineKeyboardButton]] = [
        [button(_("📝 Book"), Go(to=Place.BOOK))],
        [button(_("My bookings"), Go(to=Place.MINE))],
    ]
    if visitor.is_owner:
        rows.append([button(_("⚙️ Manage"), Do(act="menu"))])
    return Screen(text.format(name=escape(visitor.tenant.name)), rows)


async def home(event: Message | CallbackQuery, visitor: Visitor) -> None:
    """Greet."""
    await show(event, home_screen(visitor))


async def settings_(event: Message | CallbackQuery, visitor: Visitor) -> None:
    """Offer the languages."""
    await show(event, settings_screen(visitor.person.language))


def settings_screen(language: str) -> Screen:
    """Return the languages, the one in use marked."""
    rows = [
        [button(f"✓ {name}" if code == language else name, Speak(language=code))]
        for code, name in LANGUAGES.items()
    ]
    return Screen(_("Which language do you prefer?"), [*rows, _home_row()])


def _home_row() -> list[InlineKeyboardButton]:
    return [button(_("‹ Back"), Go(to=Place.HOME))]


async def speak(tap: CallbackQuery, callback_data: Speak, visitor: Visitor) -> None:
    """Speak another language from now."""
    language = callback_data.language
    if language not in LANGUAGES:
        await old_button(tap)
        return
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        await choose_language(conn, visitor.person.user_id, language)
    with speaking(BOOKING, language):
        await show(tap, settings_screen(language), _("Done"))


async def help_(message: Message, visitor: Visitor) -> None:
    """Say what the bot can do."""
    lines = [
        _("/book — book a visit"),
        _("/my — your bookings: move or cancel"),
        _("/settings — language"),
        _("/privacy — what we keep about you"),
    ]
    if visitor.is_owner:
        lines.append(_("/admin — today, services, staff, hours"))
    await show(message, Screen("\n".join(lines), [_home_row()]))


async def privacy(message: Message, visitor: Visitor, settings: Settings) -> None:
    """Say what is kept, why, and whom to ask."""
    text = _(
        "<b>{name}</b> keeps your Telegram name and id, the number if you have shared it, and your "
        "bookings, only to receive you. Nobody else gets them. The bot is run by {operator}."
    ).format(name=escape(visitor.tenant.name), operator=escape(settings.operator_name))
    if settings.support_contact:
        contact = escape(settings.support_contact)
        text += "\n" + _("To have your data deleted, write to {contact}.").format(contact=contact)
    await show(message, Screen(text, [_home_row()]))


async def nothing(tap: CallbackQuery) -> None:
    """Answer a button that only shows something."""
    await answer(tap)


async def old_button(tap: CallbackQuery) -> None:
    """Answer a button that means nothing any more."""
    await answer(tap, _("This button is from an older message. Please start again: /book"))


async def not_understood(message: Message) -> None:
    """Answer what is no command."""
    row = [button(_("📝 Book"), Go(to=Place.BOOK)), button(_("My bookings"), Go(to=Place.MINE))]
    await show(message, Screen(_("I only understand buttons. What would you like?"), [row]))
