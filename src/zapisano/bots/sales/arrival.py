"""A bot arrives: created with our button, by a link, or as a token that somebody pastes."""

from aiogram import Bot, F, Router
from aiogram.fsm.context import FSMContext
from aiogram.types import ManagedBotUpdated, Message, ReplyKeyboardRemove
from aiogram.utils.i18n import gettext as _

from zapisano.bots.attach import claim_managed, claim_pasted
from zapisano.bots.errors import MistypedToken, NothingAwaits
from zapisano.bots.inbox import SEALED_MARK, pasted_token
from zapisano.bots.model import MISTYPED
from zapisano.bots.registry import Bots
from zapisano.bots.screens import remove


async def managed(event: ManagedBotUpdated, bot: Bot, bots: Bots) -> None:
    """A bot was created for us to manage, or its token has changed."""
    if await claim_managed(bots, bot, event.user, event.bot_user):
        await _connecting(bot, event.user.id, event.bot_user.username or "")


async def created(message: Message, bot: Bot, bots: Bots) -> None:
    """The same news by the button's own message; whichever comes second finds nothing to do."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    assert message.managed_bot_created is not None  # noqa: S101 # the filter
    made = message.managed_bot_created.bot_user
    try:
        is_new = await claim_managed(bots, bot, message.from_user, made)
    except NothingAwaits:
        return  # said in answer to the other event, which always comes
    if is_new:
        await _connecting(bot, message.from_user.id, made.username or "")


async def pasted(message: Message, bot: Bot, bots: Bots, state: FSMContext) -> None:
    """A token was pasted, be it below a picture: take it out of the chat, whatever comes of it."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    await remove(message)
    token = pasted_token(message.text or message.caption or "", bots.vault)
    if token is None:
        raise MistypedToken
    found = await claim_pasted(bots, message.from_user.id, token)
    if found.works:
        text = _("@{username} is connected to your business already, nothing has changed.")
        await message.answer(text.format(username=found.username))
    else:
        await _connecting(bot, message.from_user.id, found.username)
    await state.clear()


async def _connecting(bot: Bot, person_id: int, username: str) -> None:
    text = _("Connecting @{username}… It takes a few seconds.").format(username=username)
    await bot.send_message(person_id, text, reply_markup=ReplyKeyboardRemove())


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="arrival")
    router.managed_bot.register(managed)
    router.message.register(created, F.managed_bot_created)
    router.message.register(pasted, F.text.contains(SEALED_MARK))
    router.message.register(pasted, F.caption.contains(SEALED_MARK))
    router.message.register(pasted, F.text.regexp(MISTYPED))
    return router
