"""What a person sees: bots, chats and messages as the phone page reads them."""

import json

from zapisano.simulator.telegram.methods.profile import commands_field
from zapisano.simulator.telegram.model import Bot, Chat, Json, Message, Person
from zapisano.simulator.telegram.rendering import render
from zapisano.simulator.telegram.store import accounts, chats
from zapisano.simulator.telegram.world import World

DEFAULT_LANGUAGE = "ru"
SHOWN = 300
"""Messages of a chat that the phone shows, the latest ones."""


def person_view(person: Person) -> Json:
    """Show a person."""
    return {
        "id": person.id,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "username": person.username,
        "language_code": person.language_code,
        "phone": person.phone,
    }


def bot_view(world: World, bot: Bot, person: Person | None = None) -> Json:
    """Show a bot as it presents itself to this person, or to anybody."""
    return {
        "id": bot.id,
        "username": bot.username,
        "name": profile(world, bot, person, "name") or bot.name,
        "description": profile(world, bot, person, "description"),
        "commands": commands(world, bot, person),
        "can_manage_bots": bot.can_manage_bots,
        "owner_id": bot.owner_id,
        "restricted": bot.restricted,
    }


def profile(world: World, bot: Bot, person: Person | None, field: str) -> str:
    """Read a text of the profile in the person's language, or in the default."""
    for language in (person.language_code if person else DEFAULT_LANGUAGE, ""):
        value = accounts.find_profile(world.database, bot.id, field, language)
        if value is not None:
            return value
    return ""


def commands(world: World, bot: Bot, person: Person | None) -> list[Json]:
    """Choose the commands that the menu shows.

    The order of scopes is core.telegram.org/bots/api#determining-list-of-commands.
    """
    scopes: list[Json] = [{"type": "all_private_chats"}, {"type": "default"}]
    if person is not None:
        scopes.insert(0, {"type": "chat", "chat_id": person.id})
    for scope in scopes:
        value = profile(world, bot, person, commands_field(scope))
        if value:
            return json.loads(value)
    return []


def menu_button(world: World, bot: Bot, person: Person) -> Json | None:
    """Show what the button beside the text field does, if the bot has said."""
    for field in (f"menu_button {person.id}", "menu_button"):
        value = accounts.find_profile(world.database, bot.id, field, "")
        if value is not None:
            return json.loads(value)
    return None


def message_view(message: Message) -> Json:
    """Show a message."""
    content = message.content
    text: str = content.get("text") or content.get("caption") or notice(content)
    entities: list[Json] = content.get("entities") or content.get("caption_entities", [])
    markup: Json = content.get("reply_markup", {})
    document: Json | None = content.get("document")
    return {
        "message_id": message.message_id,
        "from_bot": message.from_bot,
        "date": message.date,
        "text": text,
        "html": render(text, entities),
        "edited": message.edit_date is not None,
        "photo": file_url(content["photo"][-1]) if "photo" in content else None,
        "document": {"name": document["file_name"], "url": file_url(document)}
        if document
        else None,
        "contact": content.get("contact"),
        "invoice": content.get("invoice"),
        "inline_keyboard": markup.get("inline_keyboard"),
        "service": service(content),
    }


def notice(content: Json) -> str:
    """Put a payment into words; other notices without a text are worded by the page."""
    payment: Json | None = content.get("successful_payment")
    if payment:
        return f"Оплачено: {payment['total_amount']} ⭐"
    refund: Json | None = content.get("refunded_payment")
    return f"Возвращено: {refund['total_amount']} ⭐" if refund else ""


def file_url(file: Json) -> str:
    """Say where the phone fetches a file."""
    return f"/telegram/files/{file['file_id']}"


def service(content: Json) -> str | None:
    """Name what happened, when a message is no message but a notice."""
    kinds = ("managed_bot_created", "successful_payment", "refunded_payment")
    return content.get("notice") or next((kind for kind in kinds if kind in content), None)


def keyboard_view(keyboard: Json | None) -> Json | None:
    """Show the keyboard under a chat."""
    if keyboard is None:
        return None
    return {
        "rows": [[reply_button_view(button) for button in row] for row in keyboard["keyboard"]],
        "one_time": bool(keyboard.get("one_time_keyboard")),
        "resize": bool(keyboard.get("resize_keyboard")),
        "placeholder": keyboard.get("input_field_placeholder"),
    }


def reply_button_view(button: Json) -> Json:
    """Show one button under a chat."""
    wish = button.get("request_managed_bot")
    return {
        "text": button["text"],
        "request_contact": bool(button.get("request_contact")),
        "request_managed_bot": {
            "request_id": wish["request_id"],
            "suggested_name": wish.get("suggested_name"),
            "suggested_username": wish.get("suggested_username"),
        }
        if wish
        else None,
        "web_app": button.get("web_app"),
    }


def last_messages(world: World, bot_id: int, person: Person, number: int) -> list[Message]:
    """Read the end of a chat."""
    return chats.last_messages(world.database, bot_id, person.id, number)


def chat_view(world: World, bot: Bot, person: Person) -> Json:
    """Show the end of a chat; one never opened is empty."""
    chat = chats.find_chat(world.database, bot.id, person.id)
    return {
        "bot": bot_view(world, bot, person),
        "messages": [message_view(m) for m in last_messages(world, bot.id, person, SHOWN)],
        "keyboard": keyboard_view(chat.keyboard if chat else None),
        "menu_button": menu_button(world, bot, person),
        "started": chat is not None and chat.started and not chat.blocked,
    }


def chats_view(world: World, person: Person) -> list[Json]:
    """Show a person's chats, the one with the newest message first."""
    opened = [
        (last_messages(world, chat.bot_id, person, 1), chat)
        for chat in chats.chats_of_person(world.database, person.id)
    ]
    opened.sort(key=lambda pair: pair[0][0].date if pair[0] else 0, reverse=True)
    return [entry for last, chat in opened if (entry := chat_line(world, person, chat, last))]


def chat_line(world: World, person: Person, chat: Chat, last: list[Message]) -> Json | None:
    """Show a chat as one line of the list."""
    bot = accounts.find_bot(world.database, chat.bot_id)
    if bot is None:
        return None
    shown = message_view(last[0]) if last else None
    return {"bot": bot_view(world, bot, person), "last": shown}
