"""Who lives in this Telegram, and how the Bot API writes them down (Bot API 10.3)."""

import re
import secrets
import string
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
"""An object of the Bot API, kept as it goes over the wire."""

TOKEN_LETTERS = string.ascii_letters + string.digits + "_-"
TOKEN_SECRET_LENGTH = 35
USERNAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
USERNAME_LENGTHS = range(5, 33)

DEFAULT_UPDATES = frozenset(
    {"message", "callback_query", "pre_checkout_query", "my_chat_member", "managed_bot"}
)
"""Kinds of updates this simulator makes; all of them are sent unless a bot asks for fewer."""

INTERNAL = frozenset({"reply_to", "sold", "notice"})
"""Parts of a message's content that are this simulator's own and never go over the wire."""


@dataclass(frozen=True)
class Person:
    """Somebody with a telephone."""

    id: int
    first_name: str
    last_name: str | None
    username: str | None
    language_code: str
    phone: str


@dataclass(frozen=True)
class Bot:
    """A bot account. `owner_id` is the person it belongs to, `manager_id` the bot that made it."""

    id: int
    username: str
    name: str
    token: str
    owner_id: int | None
    manager_id: int | None
    can_manage_bots: bool
    restricted: bool
    added_users: tuple[int, ...]
    allowed_updates: tuple[str, ...]

    def admits(self, person_id: int) -> bool:
        """Tell whether this person may use the bot at all."""
        return not self.restricted or person_id == self.owner_id or person_id in self.added_users

    def wants(self, kind: str) -> bool:
        """Tell whether the bot asked for updates of this kind; an empty wish means the default."""
        return kind in (self.allowed_updates or DEFAULT_UPDATES)


@dataclass(frozen=True)
class Webhook:
    """Where a bot's updates are posted, and what went wrong there last."""

    bot_id: int
    url: str
    secret_token: str
    max_connections: int
    last_error_at: int | None
    last_error: str | None


@dataclass(frozen=True)
class Chat:
    """The private chat of one person with one bot."""

    bot_id: int
    person_id: int
    started: bool
    blocked: bool
    keyboard: Json | None


@dataclass(frozen=True)
class Message:
    """One message. `content` holds the fields of the Bot API's Message that tell what it says."""

    bot_id: int
    person_id: int
    message_id: int
    from_bot: bool
    date: int
    edit_date: int | None
    editable: bool
    content: Json


@dataclass(frozen=True)
class Update:
    """Something a bot has yet to hear of. `body` is the whole Update object."""

    bot_id: int
    update_id: int
    person_id: int
    body: Json


@dataclass(frozen=True)
class StoredFile:
    """Bytes a bot has sent, under a path like Telegram's own."""

    file_id: str
    bot_id: int
    name: str
    mime_type: str
    path: str
    content: bytes


def buttons(markup: Json | None) -> list[Json]:
    """List the buttons of a keyboard of either kind, row after row; no keyboard has none."""
    rows: list[list[Json]] = []
    if markup is not None:
        rows = markup.get("inline_keyboard") or markup.get("keyboard") or []
    return [button for row in rows for button in row]


def new_token(bot_id: int) -> str:
    """Make a bot token in BotFather's format: the id, a colon, 35 characters."""
    secret = "".join(secrets.choice(TOKEN_LETTERS) for _ in range(TOKEN_SECRET_LENGTH))
    return f"{bot_id}:{secret}"


def is_bot_username(username: str) -> bool:
    """Apply BotFather's rule: 5 to 32 letters, digits and single underscores, ending in "bot"."""
    return (
        len(username) in USERNAME_LENGTHS
        and USERNAME.fullmatch(username) is not None
        and username.lower().endswith("bot")
    )


def present(**fields: object) -> Json:
    """Leave out what is not there: the Bot API omits optional fields instead of sending null."""
    return {key: value for key, value in fields.items() if value is not None}


def bot_user(bot: Bot) -> Json:
    """Write a bot down as a User."""
    return {"id": bot.id, "is_bot": True, "first_name": bot.name, "username": bot.username}


def person_user(person: Person) -> Json:
    """Write a person down as a User."""
    return present(
        id=person.id,
        is_bot=False,
        first_name=person.first_name,
        last_name=person.last_name,
        username=person.username,
        language_code=person.language_code,
    )


def private_chat(person: Person) -> Json:
    """Write a private chat down as a bot sees it: under the person's own id."""
    return present(
        id=person.id,
        type="private",
        first_name=person.first_name,
        last_name=person.last_name,
        username=person.username,
    )


def message_object(
    message: Message, bot: Bot, person: Person, answered: Message | None = None
) -> Json:
    """Write a message down as the Bot API's Message, with the message it answers if known."""
    sender = bot_user(bot) if message.from_bot else person_user(person)
    content = {k: v for k, v in message.content.items() if k not in INTERNAL}
    body = {
        "message_id": message.message_id,
        "from": sender,
        "chat": private_chat(person),
        "date": message.date,
        **content,
    }
    if message.edit_date is not None:
        body["edit_date"] = message.edit_date
    if answered is not None:
        body["reply_to_message"] = message_object(answered, bot, person)
    return body
