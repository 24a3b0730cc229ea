"""One message that changes, instead of a chat full of them."""

from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, Message
from aiogram.utils.text_decorations import html_decoration

# Telegram's answers that mean "nothing left to do here".
SAME = "message is not modified"
GONE = ("message to edit not found", "message can't be edited", "message_id_invalid")
LATE = ("query is too old", "query id is invalid")


def quote(text: str) -> str:
    """Make a text that somebody has written safe inside a message's HTML."""
    return html_decoration.quote(text)


def keyboard(*rows: list[InlineKeyboardButton]) -> InlineKeyboardMarkup:
    """Return an inline keyboard; empty rows are left out."""
    return InlineKeyboardMarkup(inline_keyboard=[row for row in rows if row])


def link(text: str, url: str) -> InlineKeyboardButton:
    """Return a button that opens an address."""
    return InlineKeyboardButton(text=text, url=url)


async def show(
    event: Message | CallbackQuery, text: str, buttons: InlineKeyboardMarkup | None = None
) -> int | None:
    """Show a screen: in the message whose button was pressed, else in a new one.

    Returns the message's id. A button pressed twice shows the same once.
    """
    if isinstance(event, Message):
        return (await event.answer(text, reply_markup=buttons)).message_id
    await answer(event)
    shown = event.message
    if isinstance(shown, Message):
        try:
            await shown.edit_text(text, reply_markup=buttons)
        except TelegramBadRequest as error:
            if SAME in error.message:
                return shown.message_id
            if not any(part in error.message.lower() for part in GONE):
                raise
        else:
            return shown.message_id
    assert event.bot is not None  # noqa: S101 # mounted by dispatch
    return (await event.bot.send_message(event.from_user.id, text, reply_markup=buttons)).message_id


async def answer(tap: CallbackQuery, text: str | None = None, *, alert: bool = False) -> bool:
    """Answer a tap; return False for one that Telegram has already given up."""
    try:
        await tap.answer(text, show_alert=alert)
    except TelegramBadRequest as error:
        if not any(part in error.message.lower() for part in LATE):
            raise
        return False
    return True


async def remove(message: Message, message_id: int | None = None) -> None:
    """Delete a message of this chat if it can still be deleted."""
    assert message.bot is not None  # noqa: S101 # mounted by dispatch
    try:
        await message.bot.delete_message(message.chat.id, message_id or message.message_id)
    except TelegramBadRequest:
        return
