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

from zapisano.bots.screens import GONE, SAME, answer

Rows = list[list[InlineKeyboardButton]]


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
            if SAME in error.message:
                return
            if not any(part in error.message.lower() for part in GONE):
                raise
        else:
            return
    await bot.send_message(chat_id, screen.text, reply_markup=screen.keyboard)


async def say(event: Message | CallbackQuery, text: str) -> None:
    """Say a sentence: over the chat for a tap, in the chat for a message."""
    if isinstance(event, CallbackQuery):
        await answer(event, text, alert=True)
    else:
        await event.answer(text)
