"""Real aiogram against the simulated Telegram: talking, and what is refused."""

from typing import Any

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramUnauthorizedError,
)
from aiogram.filters import CommandStart
from aiogram.filters.command import CommandObject
from aiogram.methods import TelegramMethod
from aiogram.types import (
    CallbackQuery,
    InlineKeyboardButton,
    KeyboardButton,
    Message,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    ReplyParameters,
    WebAppInfo,
)
from simulator import Json, Phone, Simulator
from telegram_bots import MakeBot, inline, polling, until


class Unknown(TelegramMethod[bool]):
    """A method that no Telegram has."""

    __returning__ = bool
    __api_method__ = "makeCoffee"


async def test_a_polling_bot_echoes(new_bot: Bot, phone: Phone) -> None:
    dispatcher = Dispatcher()

    @dispatcher.message(CommandStart(deep_link=True))
    async def greet(message: Message, command: CommandObject) -> None:
        await message.answer(f"Здравствуйте: {command.args}")

    @dispatcher.message(F.text)
    async def echo(message: Message) -> None:
        assert message.from_user is not None
        assert message.from_user.id == message.chat.id == phone.person
        await message.reply(f"<b>{message.text}</b>")

    async with polling(dispatcher, new_bot):
        await phone.start(new_bot.id, "anna-42")
        await phone.say(new_bot.id, "привет")

        async def two() -> list[Json]:
            answers = await phone.answers(new_bot.id)
            return answers if len(answers) == 2 else []

        greeting, echoed = await until(two, "both answers")
    assert greeting["text"] == "Здравствуйте: anna-42"
    assert (echoed["text"], echoed["html"]) == ("привет", "<b>привет</b>")
    assert [m["message_id"] for m in await phone.messages(new_bot.id)] == [1, 2, 3, 4]


async def test_inline_buttons_edit_and_answer(new_bot: Bot, phone: Phone) -> None:
    dispatcher = Dispatcher()

    @dispatcher.callback_query(F.data == "go")
    async def go(query: CallbackQuery) -> None:
        assert isinstance(query.message, Message)
        await query.message.edit_text("готово")
        await query.answer("Принято", show_alert=True)

    await phone.start(new_bot.id)
    sent = await new_bot.send_message(
        phone.person,
        "Нажмите",
        reply_markup=inline(
            InlineKeyboardButton(text="Да", callback_data="go"),
            InlineKeyboardButton(text="Сайт", url="https://example.org/?a=1"),
        ),
    )
    (shown,) = await phone.answers(new_bot.id)
    assert shown["inline_keyboard"] == [
        [
            {"text": "Да", "callback_data": "go"},
            {"text": "Сайт", "url": "https://example.org/?a=1"},
        ]
    ]
    async with polling(dispatcher, new_bot):
        answer = await phone.press(new_bot.id, sent.message_id, "go")
    assert answer == {"text": "Принято", "show_alert": True, "url": None}
    (edited,) = await phone.answers(new_bot.id)
    assert (edited["text"], edited["edited"]) == ("готово", True)
    assert edited["inline_keyboard"] is None


async def test_a_button_that_is_gone_cannot_be_pressed(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    sent = await new_bot.send_message(phone.person, "Просто текст")
    answer = await phone.client.post(
        phone.path(new_bot.id, "/callbacks"), json={"message_id": sent.message_id, "data": "go"}
    )
    refusal = {"error": "Этой кнопки больше нет", "code": "button_gone"}
    assert (answer.status_code, answer.json()) == (409, refusal)


async def test_an_old_or_foreign_query_is_refused(new_bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await new_bot.answer_callback_query("999999")


async def test_reply_keyboards_and_contacts(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    await new_bot.get_updates(offset=-1)
    share = KeyboardButton(text="Мой номер", request_contact=True)
    await new_bot.send_message(
        phone.person,
        "Ваш телефон?",
        reply_markup=ReplyKeyboardMarkup(
            keyboard=[[share], [KeyboardButton(text="Позже")]],
            one_time_keyboard=True,
            resize_keyboard=True,
            input_field_placeholder="+7",
        ),
    )
    keyboard = (await phone.chat(new_bot.id))["keyboard"]
    empty = {"request_contact": False, "request_managed_bot": None, "web_app": None}
    assert keyboard == {
        "rows": [
            [{"text": "Мой номер", **empty, "request_contact": True}],
            [{"text": "Позже", **empty}],
        ],
        "one_time": True,
        "resize": True,
        "placeholder": "+7",
    }
    await phone.post(new_bot.id, "/contact")
    *_, update = await new_bot.get_updates()
    assert update.message is not None
    assert update.message.contact is not None
    assert update.message.contact.user_id == phone.person
    assert update.message.contact.phone_number.isdigit()
    assert (await phone.chat(new_bot.id))["keyboard"] is None


async def test_a_keyboard_stays_until_it_is_removed(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    await new_bot.send_message(
        phone.person,
        "Меню",
        reply_markup=ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Записаться")]]),
    )
    await phone.say(new_bot.id, "Записаться")
    assert (await phone.chat(new_bot.id))["keyboard"] is not None
    await new_bot.send_message(phone.person, "Убрал", reply_markup=ReplyKeyboardRemove())
    assert (await phone.chat(new_bot.id))["keyboard"] is None


async def test_answers_quote_what_they_answer(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    sent = await new_bot.send_message(
        phone.person, "да", reply_parameters=ReplyParameters(message_id=1)
    )
    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "/start"
    with pytest.raises(TelegramBadRequest, match="message to be replied not found"):
        await new_bot.send_message(
            phone.person, "нет", reply_parameters=ReplyParameters(message_id=77)
        )
    await new_bot.send_message(
        phone.person,
        "всё равно",
        reply_parameters=ReplyParameters(message_id=77, allow_sending_without_reply=True),
    )


# What is refused


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("  ", "message text is empty"),
        ("я" * 4097, "message is too long"),
        ("<b>нет", "can't parse entities: Can't find end tag corresponding to start tag"),
        ("ю <x>", 'can\'t parse entities: Unsupported start tag "x" at byte offset 3'),
    ],
)
async def test_bad_texts_are_refused(new_bot: Bot, phone: Phone, text: str, reason: str) -> None:
    await phone.start(new_bot.id)
    with pytest.raises(TelegramBadRequest, match="Bad Request: ") as refused:
        await new_bot.send_message(phone.person, text)
    assert reason in refused.value.message
    assert await phone.answers(new_bot.id) == []


@pytest.mark.parametrize(
    ("button", "reason"),
    [
        (InlineKeyboardButton(text="x", callback_data="ы" * 33), "BUTTON_DATA_INVALID"),
        (InlineKeyboardButton(text="x", url="javascript:alert(1)"), "Wrong HTTP URL"),
        (InlineKeyboardButton(text="x"), "Text buttons are unallowed in the inline keyboard"),
        (
            InlineKeyboardButton(text="x", web_app=WebAppInfo(url="http://example.org")),
            "Only HTTPS links are allowed",
        ),
    ],
)
async def test_bad_buttons_are_refused(
    new_bot: Bot, phone: Phone, button: InlineKeyboardButton, reason: str
) -> None:
    await phone.start(new_bot.id)
    with pytest.raises(TelegramBadRequest, match=reason):
        await new_bot.send_message(phone.person, "x", reply_markup=inline(button))


async def test_callback_data_of_64_bytes_is_the_longest(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    button = InlineKeyboardButton(text="x", callback_data="ы" * 32)
    assert await new_bot.send_message(phone.person, "x", reply_markup=inline(button))


async def test_markdown_is_refused_clearly(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    with pytest.raises(TelegramBadRequest, match="use HTML"):
        await new_bot.send_message(phone.person, "*x*", parse_mode="MarkdownV2")


async def test_edits_that_change_nothing_are_refused(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    sent = await new_bot.send_message(phone.person, "<i>раз</i>")
    with pytest.raises(TelegramBadRequest, match="message is not modified: specified new"):
        await sent.edit_text("<i>раз</i>")
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await sent.edit_reply_markup(reply_markup=None)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await new_bot.edit_message_text("x", chat_id=phone.person, message_id=99)
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await new_bot.edit_message_text("x", chat_id=phone.person, message_id=1)
    assert (await phone.answers(new_bot.id))[0]["edited"] is False


async def test_a_message_that_carried_a_reply_keyboard_cannot_be_edited(
    new_bot: Bot, phone: Phone
) -> None:
    await phone.start(new_bot.id)
    keyboard = ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Да")]])
    sent = await new_bot.send_message(phone.person, "Меню", reply_markup=keyboard)
    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await sent.edit_text("Другое меню")


async def test_messages_are_deleted_once(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    sent = await new_bot.send_message(phone.person, "раз")
    assert await sent.delete()
    with pytest.raises(TelegramBadRequest, match="message to delete not found"):
        await sent.delete()
    again = await new_bot.send_message(phone.person, "два")
    assert again.message_id > sent.message_id
    assert await new_bot.delete_messages(phone.person, [again.message_id, 99])
    assert await phone.answers(new_bot.id) == []


async def test_a_stranger_cannot_be_written_to(new_bot: Bot, simulator: Simulator) -> None:
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await new_bot.send_message(simulator.new_person(), "здравствуйте")
    with pytest.raises(TelegramForbiddenError, match="bots"):
        await new_bot.send_message(simulator.sales_bot_id, "здравствуйте")


async def test_unknown_methods_and_tokens(new_bot: Bot, make_bot: MakeBot) -> None:
    with pytest.raises(TelegramNotFound):
        await new_bot(Unknown())
    with pytest.raises(TelegramUnauthorizedError):
        await make_bot(f"{new_bot.id}:{'A' * 35}").get_me()


async def test_a_person_who_blocks_and_comes_back(
    simulator: Simulator, new_bot: Bot, phone: Phone
) -> None:
    await phone.start(new_bot.id)
    simulator.post("/telegram/control/block", {"person": phone.person, "bot": new_bot.id})
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await new_bot.send_message(phone.person, "ау")
    assert (await phone.chat(new_bot.id))["started"] is False
    await phone.start(new_bot.id)
    assert await new_bot.send_message(phone.person, "с возвращением")
    updates = await new_bot.get_updates()
    states = [u.my_chat_member.new_chat_member.status for u in updates if u.my_chat_member]
    assert states == ["kicked", "member"]


# Ways to ask


@pytest.mark.parametrize("way", ["query", "json", "form", "multipart"])
async def test_every_way_to_send_parameters(
    simulator: Simulator, new_bot: Bot, phone: Phone, way: str
) -> None:
    await phone.start(new_bot.id)
    url = f"/bot{new_bot.token}/SENDmessage"
    values = {"chat_id": str(phone.person), "text": "<b>раз</b>", "parse_mode": "HTML"}
    options: dict[str, Any] = {
        "query": {"params": values},
        "json": {"json": {**values, "chat_id": phone.person}},
        "form": {"data": values},
        "multipart": {"files": {key: (None, value) for key, value in values.items()}},
    }[way]
    answer = await phone.client.request("GET" if way == "query" else "POST", url, **options)
    assert answer.json()["result"]["entities"] == [{"type": "bold", "offset": 0, "length": 3}]


async def test_a_broken_body_is_a_bad_request(new_bot: Bot, phone: Phone) -> None:
    answer = await phone.client.post(
        f"/bot{new_bot.token}/sendMessage",
        content=b"{",
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["ok"] is False
