"""Changing and deleting messages."""

from zapisano.simulator.telegram.call import Call, Method, as_result, recipient, take_turn
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.markup import read_markup
from zapisano.simulator.telegram.methods import sending
from zapisano.simulator.telegram.model import Json, Message, Person
from zapisano.simulator.telegram.store import chats

DELETABLE_SECONDS = 48 * 3600
"""core.telegram.org/bots/api#deletemessage: only messages sent less than 48 hours ago."""
UNCHANGED = (
    "message is not modified: specified new message content and reply markup are exactly the same"
    " as a current content and reply markup of the message"
)


def edit_message_text(call: Call) -> Json:
    """Say something else in a message."""
    person = recipient(call)
    message = editable(call, person)
    if "text" not in message.content:
        raise bad_request("there is no text in the message to edit")
    text = sending.message_text(call)
    return change(call, person, message, sending.text_fields(text, "text", "entities"))


def edit_message_caption(call: Call) -> Json:
    """Say something else under a picture or a file."""
    person = recipient(call)
    message = editable(call, person)
    if not {"photo", "document"} & message.content.keys():
        raise bad_request("there is no caption in the message to edit")
    return change(call, person, message, sending.caption(call))


def edit_message_reply_markup(call: Call) -> Json:
    """Put other buttons under a message, or none."""
    person = recipient(call)
    message = editable(call, person)
    words = ("text", "entities", "caption", "caption_entities")
    same = {key: value for key, value in message.content.items() if key in words}
    return change(call, person, message, same)


def editable(call: Call, person: Person) -> Message:
    """Find the message to edit.

    Raises:
        ApiError: there is none, or it is not one the bot may edit.
    """
    number = call.parameters.find_integer("message_id")
    if number is None:
        raise bad_request("message identifier is not specified")
    message = chats.find_message(call.world.database, call.bot.id, person.id, number)
    if message is None:
        raise bad_request("message to edit not found")
    if not message.from_bot or not message.editable:
        raise bad_request("message can't be edited")
    return message


def change(call: Call, person: Person, message: Message, words: Json) -> Json:
    """Keep what a message is, replace its words and its buttons, and show it to its sender.

    Raises:
        ApiError: nothing would change, the keyboard is wrong, or it is too early.
    """
    markup = read_markup(call)
    replaced = ("text", "entities", "caption", "caption_entities", "reply_markup")
    content = {key: value for key, value in message.content.items() if key not in replaced}
    content |= words | ({"reply_markup": markup.inline} if markup.inline else {})
    if content == message.content:
        raise bad_request(UNCHANGED)
    take_turn(call, person)
    chats.set_content(call.world.database, message, content, call.world.now())
    call.world.changed(call.bot.id, person.id)
    changed = chats.find_message(call.world.database, call.bot.id, person.id, message.message_id)
    return as_result(call, person, changed or message)


def delete_message(call: Call) -> bool:
    """Delete a message for both sides."""
    person = recipient(call)
    number = call.parameters.integer("message_id", 0)
    message = chats.find_message(call.world.database, call.bot.id, person.id, number)
    if message is None:
        raise bad_request("message to delete not found")
    if message.date < call.world.now() - DELETABLE_SECONDS:
        raise bad_request("message can't be deleted for everyone")
    chats.delete_message(call.world.database, message)
    call.world.changed(call.bot.id, person.id)
    return True


def delete_messages(call: Call) -> bool:
    """Delete several messages; those that are gone already are passed over."""
    person = recipient(call)
    numbers = call.parameters.find_list("message_ids") or []
    if not 1 <= len(numbers) <= 100:
        raise bad_request("message identifiers are not specified")
    oldest = call.world.now() - DELETABLE_SECONDS
    for number in numbers:
        message = chats.find_message(call.world.database, call.bot.id, person.id, int(number))
        if message is not None and message.date >= oldest:
            chats.delete_message(call.world.database, message)
    call.world.changed(call.bot.id, person.id)
    return True


METHODS: dict[str, Method] = {
    "editMessageText": edit_message_text,
    "editMessageCaption": edit_message_caption,
    "editMessageReplyMarkup": edit_message_reply_markup,
    "deleteMessage": delete_message,
    "deleteMessages": delete_messages,
}
