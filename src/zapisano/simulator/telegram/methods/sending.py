"""Messages from a bot: text, pictures, documents."""

from zapisano.simulator.telegram import images
from zapisano.simulator.telegram.call import Call, Method, as_result, recipient, take_turn
from zapisano.simulator.telegram.errors import bad_request
from zapisano.simulator.telegram.formatting import Formatted, read_text, units
from zapisano.simulator.telegram.markup import Markup, read_markup
from zapisano.simulator.telegram.model import Json, Person, StoredFile
from zapisano.simulator.telegram.store import chats

MAX_TEXT = 4096
MAX_CAPTION = 1024
ACTIONS = frozenset(
    {
        *("typing", "upload_photo", "record_video", "upload_video", "record_voice"),
        *("upload_voice", "upload_document", "choose_sticker", "find_location"),
        *("record_video_note", "upload_video_note"),
    }
)


def send_message(call: Call) -> Json:
    """Send a text."""
    person = recipient(call)
    text = message_text(call)
    return deliver(call, person, text_fields(text, "text", "entities"))


def send_photo(call: Call) -> Json:
    """Send a picture."""
    person = recipient(call)
    file = sent_file(call, "photo", "photos", "photo.jpg")
    size = images.find_size(file.content)
    if size is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    photo = {**file_object(file), "width": size[0], "height": size[1]}
    return deliver(call, person, {"photo": [photo], **caption(call)})


def send_document(call: Call) -> Json:
    """Send a file."""
    person = recipient(call)
    file = sent_file(call, "document", "documents", "document.bin")
    document = {**file_object(file), "file_name": file.name, "mime_type": file.mime_type}
    return deliver(call, person, {"document": document, **caption(call)})


def send_chat_action(call: Call) -> bool:
    """Show that the bot is busy; this phone does not, but the call is checked."""
    recipient(call)
    if call.parameters.text("action") not in ACTIONS:
        raise bad_request("wrong parameter action in request")
    return True


def message_text(call: Call) -> Formatted:
    """Read `text` with its formatting.

    Raises:
        ApiError: it is empty, too long or wrongly formatted.
    """
    given = call.parameters
    text = read_text(given.text("text"), given.text("parse_mode"), given.find_list("entities"))
    if not text.text:
        raise bad_request("message text is empty")
    if units(text.text) > MAX_TEXT:
        raise bad_request("message is too long")
    return text


def caption(call: Call) -> Json:
    """Read the words under a picture or a file.

    Raises:
        ApiError: they are too long or wrongly formatted.
    """
    given = call.parameters
    entities = given.find_list("caption_entities")
    text = read_text(given.text("caption"), given.text("parse_mode"), entities)
    if units(text.text) > MAX_CAPTION:
        raise bad_request("message caption is too long")
    return text_fields(text, "caption", "caption_entities") if text.text else {}


def text_fields(text: Formatted, name: str, entities_name: str) -> Json:
    """Write a text down as the fields of a message."""
    entities = {entities_name: list(text.entities)} if text.entities else {}
    return {name: text.text, **entities}


def sent_file(call: Call, name: str, folder: str, default_name: str) -> StoredFile:
    """Take a file that was uploaded now, or one that this bot has sent before.

    Raises:
        ApiError: there is none; files from addresses are refused, this simulator reads no network.
    """
    upload = call.parameters.find_upload(name)
    if upload is not None:
        return chats.add_file(
            call.world.database,
            bot_id=call.bot.id,
            folder=folder,
            name=upload.name or default_name,
            mime=upload.mime_type,
            content=upload.content,
        )
    given = call.parameters.text(name)
    if not given:
        raise bad_request(f"there is no {name} in the request")
    if given.startswith(("http://", "https://")):
        raise bad_request("failed to get HTTP URL content")
    file = chats.find_file(call.world.database, given)
    if file is None or file.bot_id != call.bot.id:
        raise bad_request("wrong file identifier/HTTP URL specified")
    return file


def file_object(file: StoredFile) -> Json:
    """Write down what every kind of file has."""
    return {
        "file_id": file.file_id,
        "file_unique_id": file.file_id[-15:],
        "file_size": len(file.content),
    }


def deliver(call: Call, person: Person, content: Json) -> Json:
    """Put a checked message into the chat, with its keyboard, and show it to its sender.

    Raises:
        ApiError: the keyboard is wrong, the answered message is gone, or it is too early.
    """
    database = call.world.database
    markup = read_markup(call)
    reply = answered(call, person)
    take_turn(call, person)
    apply_keyboard(call, person, markup)
    inline = {"reply_markup": markup.inline} if markup.inline else {}
    message = chats.add_message(
        database,
        bot_id=call.bot.id,
        person_id=person.id,
        from_bot=True,
        date=call.world.now(),
        content={**content, **inline, **reply},
        editable=markup.editable,
    )
    call.world.changed(call.bot.id, person.id)
    return as_result(call, person, message)


def apply_keyboard(call: Call, person: Person, markup: Markup) -> None:
    """Put the keyboard under the chat, or take it away."""
    if markup.keyboard is not None or markup.removes:
        chats.set_keyboard(call.world.database, call.bot.id, person.id, markup.keyboard)


def answered(call: Call, person: Person) -> Json:
    """Find the message this one answers.

    Raises:
        ApiError: it is gone, and the bot did not allow for that.
    """
    given = call.parameters.find_object("reply_parameters") or {}
    number = given.get("message_id") or call.parameters.find_integer("reply_to_message_id")
    if not isinstance(number, int):
        return {}
    if chats.find_message(call.world.database, call.bot.id, person.id, number) is not None:
        return {"reply_to": number}
    lenient = "allow_sending_without_reply"
    if given.get(lenient) or call.parameters.flag(lenient):
        return {}
    raise bad_request("message to be replied not found")


METHODS: dict[str, Method] = {
    "sendMessage": send_message,
    "sendPhoto": send_photo,
    "sendDocument": send_document,
    "sendChatAction": send_chat_action,
}
