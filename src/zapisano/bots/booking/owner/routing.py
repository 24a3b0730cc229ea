"""The owner's buttons and words, each update's rights checked."""

from collections.abc import Awaitable, Callable, Mapping

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandStart, StateFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message
from aiogram.utils.i18n import gettext as _

from zapisano.booking import BadField, TooMany
from zapisano.bots.booking.buttons import Do
from zapisano.bots.booking.home import home, old_button
from zapisano.bots.booking.owner import day, services, staff, typed, zone
from zapisano.bots.booking.owner.press import Press
from zapisano.bots.booking.owner.sample import sample_lines
from zapisano.bots.booking.person import IsOwner, Visitor
from zapisano.bots.booking.screen import Screen, put, show
from zapisano.bots.model import OWNER_START
from zapisano.bots.screens import answer, remove

Act = Callable[[Press], Awaitable[Screen]]
ACTS: Mapping[str, Act] = {
    "menu": day.menu,
    "visit": day.visit_screen,
    "drop?": day.ask_drop,
    "drop": day.drop,
    "came": day.came,
    "missed": day.missed,
    "services": services.services,
    "service": services.service,
    "hide": services.hide,
    "show": services.show,
    "staff": staff.staff,
    "member": staff.member,
    "fire": staff.fire,
    "hire": staff.hire,
    "hours": staff.whose_hours,
    "week": staff.week,
    "off": staff.days_off,
    "open": staff.open_days,
    "zone": zone.zone,
    "zone!": zone.choose,
}


def router() -> Router:
    """Return the owner's handlers."""
    made = Router(name="booking.owner")
    made.message.register(admin, Command("admin"), IsOwner())
    by_link = CommandStart(deep_link=True, magic=F.args == OWNER_START)
    made.message.register(arrive, by_link, IsOwner())
    made.message.register(
        read, F.text, ~F.text.startswith("/"), StateFilter(typed.Typing.value), IsOwner()
    )
    made.callback_query.register(ask, Do.filter(F.act == "type"), IsOwner())
    made.callback_query.register(press, Do.filter(), IsOwner())
    made.message.register(not_yours, Command("admin"))
    made.callback_query.register(not_yours, Do.filter())
    return made


async def admin(message: Message, visitor: Visitor) -> None:
    """Open today."""
    await show(message, await _screen(visitor, Do(act="menu")))


async def arrive(message: Message, visitor: Visitor, bot: Bot) -> None:
    """Open the owner's side by a link: today, or what is to be done first."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        begins = bool(await sample_lines(conn))
    if begins:
        await home(message, visitor, bot)
    else:
        await admin(message, visitor)


async def _screen(visitor: Visitor, do: Do) -> Screen:
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        return await ACTS[do.act](Press(conn, visitor, do))


async def press(tap: CallbackQuery, callback_data: Do, visitor: Visitor) -> None:
    """Do what the button says, and show where that leads."""
    if callback_data.act not in ACTS:
        await old_button(tap)
        return
    await show(tap, await _screen(visitor, callback_data))


async def ask(tap: CallbackQuery, callback_data: Do, visitor: Visitor, state: FSMContext) -> None:
    """Ask for a value, in the message that was pressed."""
    if not isinstance(tap.message, Message) or not typed.known(callback_data.word):
        await old_button(tap)
        return
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        after = await typed.newest(conn, callback_data.word)
    asked = typed.Asked(callback_data.word, callback_data.id, tap.message.message_id, after=after)
    await typed.remember(state, asked)
    await show(tap, typed.prompt(asked))


async def read(message: Message, visitor: Visitor, state: FSMContext, bot: Bot) -> None:
    """Read what was typed, into the message that asked for it.

    The conversation goes on last: whatever fails before, the same is read in the same place
    again, and each step before may be repeated.
    """
    asked, value = await typed.recall(state), message.text or ""
    chat_id = message.chat.id
    try:
        async with visitor.database.tenant(visitor.tenant.id) as conn:
            more = await typed.accept(conn, visitor, asked, value)
    except BadField:
        await remove(message)
        await put(bot, chat_id, asked.message_id, typed.prompt(asked, value))
        return
    except TooMany:
        await message.answer(_("There are too many already. Please change one of those."))
        await state.clear()
        return
    screen = typed.prompt(more) if more else await _screen(visitor, typed.leads_to(asked))
    await remove(message)
    await put(bot, chat_id, asked.message_id, screen)
    if more:
        await typed.remember(state, more)
    else:
        await state.clear()


async def not_yours(event: Message | CallbackQuery) -> None:
    """Say that this is the owner's."""
    text = _("Only the owner can do this.")
    if isinstance(event, Message):
        await event.answer(text)
    else:
        await answer(event, text, alert=True)
