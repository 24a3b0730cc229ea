"""Greeting, settings, help, privacy, and a kind answer to everything else."""

from html import escape

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandStart
from aiogram.types import BotCommandScopeChat, CallbackQuery, InlineKeyboardButton, Message
from aiogram.utils.i18n import gettext as _

from zapisano.booking import choose_language
from zapisano.bots.booking.buttons import Do, Go, Place, Speak, button
from zapisano.bots.booking.owner.sample import sample_lines
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Screen, show
from zapisano.bots.i18n import BOOKING, speaking
from zapisano.bots.screens import answer
from zapisano.bots.wording import OWNER_COMMANDS, TENANT_COMMANDS, command_menu
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
    """Return the greeting of a customer."""
    text = _("Hello! This is <b>{name}</b>.\nBook a visit in a few taps.")
    rows: list[list[InlineKeyboardButton]] = [
        [button(_("📝 Book"), Go(to=Place.BOOK))],
        [button(_("My bookings"), Go(to=Place.MINE))],
        _language_row(),
    ]
    return Screen(text.format(name=escape(visitor.tenant.name)), rows)


def owner_screen(visitor: Visitor, sample: list[str]) -> Screen:
    """Return the greeting of the owner: what the bot starts with, and where to change it."""
    text = _("Hello! This is your bot for <b>{name}</b>.").format(name=escape(visitor.tenant.name))
    rows: list[list[InlineKeyboardButton]] = []
    if sample:
        lead = _("So far it holds an example. Please put in your own, it takes a minute:")
        text += "\n\n" + "\n".join([lead, *sample])
        rows.append(
            [
                button(_("✂️ Services"), Do(act="services")),
                button(_("🕘 Hours"), Do(act="hours")),
            ]
        )
    else:
        text += "\n" + _("Your day, services and hours are under “Manage”, or by /admin.")
    rows += [
        [button(_("⚙️ Manage"), Do(act="menu"))],
        [button(_("📝 Book"), Go(to=Place.BOOK)), button(_("My bookings"), Go(to=Place.MINE))],
        _language_row(),
    ]
    return Screen(text, rows)


def _language_row() -> list[InlineKeyboardButton]:
    """Each language in its own words, so that everybody finds theirs."""
    return [button("🌐 Русский · English", Go(to=Place.LANGUAGE))]


async def home(event: Message | CallbackQuery, visitor: Visitor, bot: Bot) -> None:
    """Greet. The owner's menu of commands holds /admin from now on."""
    if not visitor.is_owner:
        await show(event, home_screen(visitor))
        return
    if isinstance(event, Message):
        await own_menu(bot, visitor, visitor.person.language)
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        sample = await sample_lines(conn)
    await show(event, owner_screen(visitor, sample))


async def own_menu(bot: Bot, visitor: Visitor, language: str) -> None:
    """Show this person's commands in their language, whatever their Telegram speaks."""
    commands = OWNER_COMMANDS if visitor.is_owner else TENANT_COMMANDS
    person = visitor.person.user_id
    await bot.set_my_commands(
        command_menu(commands, language), scope=BotCommandScopeChat(chat_id=person)
    )


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


async def speak(tap: CallbackQuery, callback_data: Speak, visitor: Visitor, bot: Bot) -> None:
    """Speak another language from now, in the menu of commands, too."""
    language = callback_data.language
    if language not in LANGUAGES:
        await old_button(tap)
        return
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        await choose_language(conn, visitor.person.user_id, language)
    await own_menu(bot, visitor, language)
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


async def not_understood(message: Message, visitor: Visitor) -> None:
    """Answer what is no command; whoever runs the business may have been putting something in."""
    rows = [[button(_("📝 Book"), Go(to=Place.BOOK)), button(_("My bookings"), Go(to=Place.MINE))]]
    if visitor.is_owner:
        rows.insert(0, [button(_("⚙️ Manage"), Do(act="menu"))])
    await show(message, Screen(_("I only understand buttons. What would you like?"), rows))
