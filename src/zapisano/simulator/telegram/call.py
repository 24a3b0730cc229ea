"""One call of a Bot API method, and what every method may need from it."""

from collections.abc import Callable
from dataclasses import dataclass

from zapisano.simulator.telegram.errors import ApiError, bad_request
from zapisano.simulator.telegram.model import Bot, Json, Message, Person, message_object
from zapisano.simulator.telegram.parameters import Parameters
from zapisano.simulator.telegram.store import accounts, chats
from zapisano.simulator.telegram.world import World


@dataclass(frozen=True)
class Call:
    """Who calls, with what, in which world."""

    world: World
    bot: Bot
    parameters: Parameters


@dataclass(frozen=True)
class Told:
    """A result with a sentence beside it, as setWebhook gives."""

    result: object
    description: str


Method = Callable[[Call], object]
"""A method of the Bot API: the result, or an ApiError."""


def recipient(call: Call) -> Person:
    """Find whom the bot wants to write to.

    Raises:
        ApiError: 400 for a chat the bot does not know, 403 for a person who has blocked it.
    """
    if not call.parameters.has("chat_id"):
        raise bad_request("chat_id is empty")
    person_id = call.parameters.find_integer("chat_id")
    if person_id is None:
        raise bad_request("chat not found")
    database = call.world.database
    if accounts.find_bot(database, person_id) is not None:
        raise ApiError(403, "Forbidden: bot can't send messages to bots")
    chat = chats.find_chat(database, call.bot.id, person_id)
    person = accounts.find_person(database, person_id)
    if chat is None or person is None or not (chat.started or chat.blocked):
        raise bad_request("chat not found")
    if chat.blocked:
        raise ApiError(403, "Forbidden: bot was blocked by the user")
    return person


def take_turn(call: Call, person: Person) -> None:
    """Count one message against the limits of the bot and of the chat.

    Raises:
        ApiError: 429, too early.
    """
    limits = call.world.limits
    call.world.take_turn(
        {
            ("bot", call.bot.id): limits.bot,
            ("chat", call.bot.id, person.id): limits.chat,
        }
    )


def as_result(call: Call, person: Person, message: Message) -> Json:
    """Write down a message for the bot that sent or changed it."""
    answered = message.content.get("reply_to")
    quoted = (
        chats.find_message(call.world.database, call.bot.id, person.id, answered)
        if answered
        else None
    )
    return message_object(message, call.bot, person, quoted)
