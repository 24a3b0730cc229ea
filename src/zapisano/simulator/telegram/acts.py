"""What a person does in a chat, and how the bot hears of it."""

import asyncio
import hashlib
import hmac
import json
import secrets
from urllib.parse import quote, urlencode

from zapisano.simulator.telegram.errors import PersonError
from zapisano.simulator.telegram.formatting import Formatted, detect, units
from zapisano.simulator.telegram.methods.managing import tell_manager
from zapisano.simulator.telegram.methods.sending import MAX_TEXT, text_fields
from zapisano.simulator.telegram.model import (
    Bot,
    Json,
    Message,
    Person,
    bot_user,
    buttons,
    is_bot_username,
    message_object,
    person_user,
    present,
    private_chat,
)
from zapisano.simulator.telegram.store import accounts, chats, stars
from zapisano.simulator.telegram.world import World

ANSWER_SECONDS = 10.0
NO_ANSWER: Json = {"text": None, "show_alert": False, "url": None}
RESTRICTED = {
    "ru": "Этот бот сейчас доступен только своему владельцу. Сообщение не доставлено.",
    "en": "This bot is open to its owner only. The message was not delivered.",
}
"""Telegram's own words for a closed bot are not documented; these are ours."""


def say(world: World, bot: Bot, person: Person, text: str) -> Message:
    """Write to a bot; the first message starts the chat, and lets a blocked bot in again."""
    words = detect(Formatted(text.strip()))
    if not words.text:
        raise PersonError(400, "empty_text", "Пустое сообщение не отправить")
    if units(words.text) > MAX_TEXT:
        raise PersonError(400, "long_text", f"Сообщение длиннее {MAX_TEXT} знаков")
    message = post(world, bot, person, text_fields(words, "text", "entities"))
    put_keyboard_away(world, bot, person, words.text)
    return message


def share_contact(world: World, bot: Bot, person: Person) -> Message:
    """Share one's own telephone number; phones leave the plus out, so does this one."""
    contact = present(
        phone_number=person.phone.removeprefix("+"),
        first_name=person.first_name,
        last_name=person.last_name,
        user_id=person.id,
    )
    chat = chats.find_chat(world.database, bot.id, person.id)
    message = post(world, bot, person, {"contact": contact})
    for button in buttons(chat.keyboard if chat else None):
        if button.get("request_contact"):
            put_keyboard_away(world, bot, person, button["text"])
    return message


def post(world: World, bot: Bot, person: Person, content: Json) -> Message:
    """Put a person's message into the chat and let the bot hear of it, if the person may."""
    chats.open_chat(world.database, bot.id, person.id)
    admitted = bot.admits(person.id)
    if admitted:
        let_in(world, bot, person)
    message = chats.add_message(
        world.database,
        bot_id=bot.id,
        person_id=person.id,
        from_bot=False,
        date=world.now(),
        content=content,
    )
    if admitted:
        world.emit(bot, person.id, "message", message_object(message, bot, person))
    else:
        add_notice(world, bot, person)
    world.changed(bot.id, person.id)
    return message


def restricted_words(person: Person) -> str:
    """Say in a person's language that a bot is closed."""
    return RESTRICTED.get(person.language_code, RESTRICTED["en"])


def add_notice(world: World, bot: Bot, person: Person) -> None:
    """Show Telegram's own notice that the bot is closed; the bot does not hear of it."""
    chats.add_message(
        world.database,
        bot_id=bot.id,
        person_id=person.id,
        from_bot=True,
        date=world.now(),
        content={"text": restricted_words(person), "notice": "access_restricted"},
        editable=False,
    )


def let_in(world: World, bot: Bot, person: Person) -> None:
    """Start the chat; a bot that was blocked hears that it is not any more."""
    chat = chats.find_chat(world.database, bot.id, person.id)
    if chat is not None and chat.blocked:
        tell_membership(world, bot, person, "kicked", "member")
    chats.set_started(world.database, bot.id, person.id)


def block(world: World, bot: Bot, person: Person) -> None:
    """Shut a bot out."""
    chats.open_chat(world.database, bot.id, person.id)
    chats.set_blocked(world.database, bot.id, person.id, blocked=True)
    tell_membership(world, bot, person, "member", "kicked")
    world.changed(bot.id, person.id)


def tell_membership(world: World, bot: Bot, person: Person, old: str, new: str) -> None:
    """Send `Update.my_chat_member`: in a private chat it tells of blocking and unblocking only."""
    event = {
        "chat": private_chat(person),
        "from": person_user(person),
        "date": world.now(),
        "old_chat_member": membership(bot, old),
        "new_chat_member": membership(bot, new),
    }
    world.emit(bot, person.id, "my_chat_member", event)


def membership(bot: Bot, status: str) -> Json:
    """Write the bot's place in a chat down as a ChatMember."""
    until = {"until_date": 0} if status == "kicked" else {}
    return {"status": status, "user": bot_user(bot), **until}


def put_keyboard_away(world: World, bot: Bot, person: Person, pressed: str) -> None:
    """Hide a keyboard that wants to be used once, when one of its buttons was pressed."""
    chat = chats.find_chat(world.database, bot.id, person.id)
    if chat is None or chat.keyboard is None or not chat.keyboard.get("one_time_keyboard"):
        return
    if any(button["text"] == pressed for button in buttons(chat.keyboard)):
        chats.set_keyboard(world.database, bot.id, person.id, None)
        world.changed(bot.id, person.id)


def press(world: World, bot: Bot, person: Person, message_id: int, data: str) -> int | None:
    """Press a button under a message; the question's number, or nothing if it reaches nobody."""
    message = chats.find_message(world.database, bot.id, person.id, message_id)
    if message is None:
        raise PersonError(404, "message_gone", "Этого сообщения больше нет")
    shown = buttons(message.content.get("reply_markup"))
    if all(button.get("callback_data") != data for button in shown):
        raise PersonError(409, "button_gone", "Этой кнопки больше нет")
    if not bot.admits(person.id):
        return None
    now = world.now()
    number = chats.add_query(
        world.database, bot_id=bot.id, person_id=person.id, kind="callback", at=now, body={}
    )
    event = {
        "id": str(number),
        "from": person_user(person),
        "message": message_object(message, bot, person),
        "chat_instance": str((bot.id << 32) ^ person.id),
        "data": data,
    }
    world.answers[number] = asyncio.get_running_loop().create_future()
    world.emit(bot, person.id, "callback_query", event)
    return number


async def wait_for_answer(world: World, number: int, otherwise: Json) -> Json:
    """Wait until the bot answers a question, ten seconds at most."""
    waiting = world.answers[number]
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await waiting
    except TimeoutError:
        return otherwise
    except asyncio.CancelledError:
        if world.stopping:
            return otherwise
        raise
    finally:
        del world.answers[number]


def create_bot(
    world: World, person: Person, *, name: str, username: str, manager: Bot | None
) -> Bot:
    """Create a bot that belongs to this person, made by BotFather or by a manager bot."""
    name, username = name.strip(), username.strip().removeprefix("@")
    if not 1 <= units(name) <= 64:
        raise PersonError(409, "bot_name", "Имя бота: от 1 до 64 знаков")
    if not is_bot_username(username):
        text = "Адрес бота: латинские буквы, цифры и _, от 5 до 32 знаков, в конце bot"
        raise PersonError(409, "bot_username", text)
    if accounts.is_taken(world.database, username):
        text = f"Адрес @{username} уже занят, попробуйте другой"
        raise PersonError(409, "username_taken", text)
    return accounts.add_bot(
        world.database,
        username=username,
        name=name,
        owner_id=person.id,
        manager_id=manager.id if manager else None,
    )


def create_managed_bot(
    world: World, manager: Bot, person: Person, *, name: str, username: str, request_id: int | None
) -> Bot:
    """Confirm the dialog in which a manager bot asks for a bot.

    The manager hears of it by `Update.managed_bot`, and on the button's route by a message too.
    """
    if not manager.can_manage_bots:
        raise PersonError(409, "not_manager", "Этот бот не может создавать других ботов")
    if request_id is not None:
        check_request(world, manager, person, request_id)
    bot = create_bot(world, person, name=name, username=username, manager=manager)
    tell_manager(world, bot)
    if request_id is not None:
        post(world, manager, person, {"managed_bot_created": {"bot": bot_user(bot)}})
    return bot


def check_request(world: World, manager: Bot, person: Person, request_id: int) -> None:
    """Check that the manager asks for a bot here and now, and put a one-time keyboard away."""
    chat = chats.find_chat(world.database, manager.id, person.id)
    for button in buttons(chat.keyboard if chat else None):
        wish: Json | None = button.get("request_managed_bot")
        if wish is not None and wish["request_id"] == request_id:
            put_keyboard_away(world, manager, person, button["text"])
            return
    raise PersonError(409, "button_gone", "Этой кнопки больше нет")


def begin_payment(world: World, bot: Bot, person: Person, sold: Json) -> int:
    """Ask the bot whether this payment in Stars may happen; the question's number."""
    body = {
        "currency": sold["currency"],
        "total_amount": sold["total_amount"],
        "invoice_payload": sold["payload"],
    }
    number = chats.add_query(
        world.database,
        bot_id=bot.id,
        person_id=person.id,
        kind="checkout",
        at=world.now(),
        body=body,
    )
    world.answers[number] = asyncio.get_running_loop().create_future()
    event = {"id": str(number), "from": person_user(person), **body}
    world.emit(bot, person.id, "pre_checkout_query", event)
    return number


def finish_payment(world: World, bot: Bot, person: Person, sold: Json) -> Message:
    """Take the Stars and tell the bot."""
    payment = {
        "currency": sold["currency"],
        "total_amount": sold["total_amount"],
        "invoice_payload": sold["payload"],
        "telegram_payment_charge_id": stars.add(
            world.database,
            bot_id=bot.id,
            person_id=person.id,
            amount=sold["total_amount"],
            payload=sold["payload"],
            at=world.now(),
        ),
        "provider_payment_charge_id": secrets.token_hex(8),
    }
    return post(world, bot, person, {"successful_payment": payment})


def web_app_url(bot: Bot, person: Person, url: str, now: int) -> str:
    """Open a Mini App: its address with the signed init data behind the `#`.

    core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app
    """
    user = {
        **{key: value for key, value in person_user(person).items() if key != "is_bot"},
        "allows_write_to_pm": True,
    }
    fields = {
        "auth_date": str(now),
        "query_id": secrets.token_urlsafe(12),
        "user": json.dumps(user, ensure_ascii=False, separators=(",", ":")),
    }
    checked = "\n".join(f"{key}={fields[key]}" for key in sorted(fields))
    secret = hmac.new(b"WebAppData", bot.token.encode(), hashlib.sha256).digest()
    fields["hash"] = hmac.new(secret, checked.encode(), hashlib.sha256).hexdigest()
    data = quote(urlencode(fields), safe="")
    return f"{url}#tgWebAppData={data}&tgWebAppVersion=9.1&tgWebAppPlatform=web"
