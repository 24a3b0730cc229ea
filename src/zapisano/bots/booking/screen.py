"""One message that changes: show a screen in it, answer the tap, whatever the message's age."""

from dataclasses import dataclass, field

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    Message,
)

from zapisano.telemetry import get_logger

log = get_logger("zapisano.bots")

Rows = list[list[InlineKeyboardButton]]
# Telegram's words for an edit that would change nothing, and for messages that cannot be edited.
UNCHANGED = "message is not modified"
NOT_EDITABLE = ("message can't be edited", "message to edit not found", "message_id_invalid")
TOO_LATE = ("query is too old", "query id is invalid", "query_id_invalid")


@dataclass(frozen=True)
class Screen:
    """A text in Telegram's HTML and the buttons below it."""

    text: str
    rows: Rows = field(default_factory=Rows)

    @property
    def keyboard(self) -> InlineKeyboardMarkup:
        """The buttons as Telegram wants them."""
        return InlineKeyboardMarkup(inline_keyboard=self.rows)


async def show(
    event: Message | CallbackQuery, screen: Screen, notice: str = "", *, alert: bool = False
) -> None:
    """Show a screen: under a command in a new message, under a tap in the message tapped.

    `notice` is shown over the chat: for a moment, or with `alert` until it is put away.
    """
    if isinstance(event, Message):
        await event.answer(screen.text, reply_markup=screen.keyboard)
        return
    await answer(event, notice, alert=alert)
    bot = event.bot
    assert bot is not None  # noqa: S101 # set by the dispatcher
    message_id = event.message.message_id if isinstance(event.message, Message) else None
    await put(bot, event.from_user.id, message_id, screen)


async def put(bot: Bot, chat_id: int, message_id: int | None, screen: Screen) -> None:
    """Put a screen into a message, or send a new one when that cannot be edited any more."""
    if message_id is not None:
        try:
            await bot.edit_message_text(
                screen.text, chat_id=chat_id, message_id=message_id, reply_markup=screen.keyboard
            )
        except TelegramBadRequest as error:
            if UNCHANGED in error.message:
                return
            if not _says(error, NOT_EDITABLE):
                raise
        else:
            return
    await bot.send_message(chat_id, screen.text, reply_markup=screen.keyboard)


async def answer(tap: CallbackQuery, text: str = "", *, alert: bool = False) -> None:
    """Answer a tap; one that Telegram no longer waits for needs no answer."""
    try:
        await tap.answer(text or None, show_alert=alert)
    except TelegramBadRequest as error:
        if not _says(error, TOO_LATE):
            raise


async def say(event: Message | CallbackQuery, text: str) -> None:
    """Say a sentence: over the chat for a tap, in the chat for a message."""
    if isinstance(event, CallbackQuery):
        await answer(event, text, alert=True)
    else:
        await event.answer(text)


async def delete(message: Message) -> None:
    """Take a message out of the chat, where that is still possible."""
    try:
        await message.delete()
    except TelegramBadRequest as error:
        log.info("message_stays", reason=error.message)


def _says(error: TelegramBadRequest, words: tuple[str, ...]) -> bool:
    return any(word in error.message.lower() for word in words)
