"""Real aiogram against the simulated Telegram: managed bots, profiles, files, Stars, the phone."""

import asyncio
from urllib.parse import unquote, urlsplit

import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BotCommand,
    BotCommandScopeChat,
    BufferedInputFile,
    KeyboardButton,
    KeyboardButtonRequestManagedBot,
    LabeledPrice,
    ManagedBotUpdated,
    MenuButtonWebApp,
    Message,
    PreCheckoutQuery,
    ReplyKeyboardMarkup,
    User,
    WebAppInfo,
)
from aiogram.utils.web_app import safe_parse_webapp_init_data
from simulator import Phone, Simulator
from telegram_bots import (
    DEADLINE_SECONDS,
    MakeBot,
    polling,
)

PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00"
    b"\x1f\x15\xc4\x89\x00\x00\x00\nIDATx\x9cc\x00\x01\x00\x00\x05\x00\x01\r\n-\xb4\x00\x00\x00"
    b"\x00IEND\xaeB`\x82"
)


@pytest.fixture
async def manager(simulator: Simulator, make_bot: MakeBot) -> Bot:
    """The sales bot, which other tests may have left with a webhook and updates."""
    bot = make_bot(simulator.sales_bot_token)
    await bot.delete_webhook(drop_pending_updates=True)
    return bot


async def ask_for_bot(manager: Bot, phone: Phone, username: str) -> None:
    wish = KeyboardButtonRequestManagedBot(
        request_id=7, suggested_name="Салон Анны", suggested_username=username
    )
    button = KeyboardButton(text="Создать бота", request_managed_bot=wish)
    await phone.start(manager.id)
    await manager.send_message(
        phone.person,
        "Остался один шаг",
        reply_markup=ReplyKeyboardMarkup(keyboard=[[button]], one_time_keyboard=True),
    )


async def test_a_bot_is_created_by_one_tap(manager: Bot, make_bot: MakeBot, phone: Phone) -> None:
    username = f"salon_{phone.person}_bot"
    created: asyncio.Queue[User] = asyncio.Queue()
    dispatcher = Dispatcher()

    @dispatcher.managed_bot()
    async def by_update(event: ManagedBotUpdated) -> None:
        assert event.user.id == phone.person
        await created.put(event.bot_user)

    @dispatcher.message(F.managed_bot_created)
    async def by_message(message: Message) -> None:
        assert message.managed_bot_created is not None
        await created.put(message.managed_bot_created.bot_user)

    assert (await manager.get_me()).can_manage_bots is True
    await ask_for_bot(manager, phone, username)
    button = (await phone.chat(manager.id))["keyboard"]["rows"][0][0]
    assert button["request_managed_bot"] == {
        "request_id": 7,
        "suggested_name": "Салон Анны",
        "suggested_username": username,
    }
    async with polling(dispatcher, manager):
        made = await phone.post(
            manager.id,
            "/managed-bots",
            {"request_id": 7, "name": "Салон Анны", "username": username},
        )
        events = [await asyncio.wait_for(created.get(), DEADLINE_SECONDS) for _ in range(2)]
    assert [event.id for event in events] == [made["id"]] * 2
    chat = await phone.chat(manager.id)
    assert (chat["messages"][-1]["service"], chat["keyboard"]) == ("managed_bot_created", None)
    token = await manager.get_managed_bot_token(made["id"])
    me = await make_bot(token).get_me()
    assert (me.username, me.first_name, me.can_manage_bots) == (username, "Салон Анны", False)


async def create_by_link(manager: Bot, phone: Phone) -> int:
    """The link's route: no chat with the manager is needed, one update is sent."""
    username = f"linked_{phone.person}_bot"
    made = await phone.post(manager.id, "/managed-bots", {"name": "Салон", "username": username})
    return int(made["id"])


async def managed_events(manager: Bot, bot_id: int) -> list[ManagedBotUpdated]:
    updates = await manager.get_updates()
    events = [u.managed_bot for u in updates if u.managed_bot]
    return [event for event in events if event.bot_user.id == bot_id]


async def test_a_rotated_token_is_refused(
    manager: Bot, make_bot: MakeBot, phone: Phone, simulator: Simulator
) -> None:
    bot_id = await create_by_link(manager, phone)
    old = await manager.get_managed_bot_token(bot_id)
    new = await manager.replace_managed_bot_token(bot_id)
    with pytest.raises(TelegramUnauthorizedError):
        await make_bot(old).get_me()
    assert (await make_bot(new).get_me()).id == bot_id
    simulator.post("/telegram/control/revoke", {"bot": bot_id})
    with pytest.raises(TelegramUnauthorizedError):
        await make_bot(new).get_me()
    assert (await make_bot(await manager.get_managed_bot_token(bot_id)).get_me()).id == bot_id
    assert len(await managed_events(manager, bot_id)) == 3


async def test_only_the_manager_gets_the_token(manager: Bot, new_bot: Bot, phone: Phone) -> None:
    bot_id = await create_by_link(manager, phone)
    with pytest.raises(TelegramBadRequest, match="isn't managed"):
        await new_bot.get_managed_bot_token(bot_id)
    with pytest.raises(TelegramBadRequest, match="isn't managed"):
        await manager.get_managed_bot_token(new_bot.id)


async def test_a_bot_that_may_not_manage_cannot_ask(
    simulator: Simulator, new_bot: Bot, phone: Phone
) -> None:
    with pytest.raises(TelegramBadRequest, match="can't manage other bots"):
        await ask_for_bot(new_bot, phone, "some_salon_bot")
    simulator.post("/telegram/control/management", {"bot": new_bot.id, "enabled": True})
    await ask_for_bot(new_bot, phone, "some_salon_bot")


@pytest.mark.parametrize("username", ["salon", "a_bot" * 8, "бот_bot", "4you_bot", "x__bot"])
async def test_malformed_usernames_are_refused(manager: Bot, phone: Phone, username: str) -> None:
    answer = await phone.client.post(
        phone.path(manager.id, "/managed-bots"), json={"name": "Салон", "username": username}
    )
    assert answer.status_code == 409
    assert answer.json()["error"].startswith("Адрес бота")


async def test_a_taken_username_is_refused(manager: Bot, new_bot: Bot, phone: Phone) -> None:
    username = (await new_bot.get_me()).username or ""
    answer = await phone.client.post(
        phone.path(manager.id, "/managed-bots"),
        json={"name": "Салон", "username": username.upper()},
    )
    assert answer.status_code == 409
    assert "уже занят" in answer.json()["error"]


async def test_a_restricted_bot_hears_its_owner_only(
    manager: Bot, make_bot: MakeBot, phone: Phone, simulator: Simulator
) -> None:
    bot_id = await create_by_link(manager, phone)
    bot = make_bot(await manager.get_managed_bot_token(bot_id))
    guest = Phone(phone.client, simulator.new_person("Guest", "en"))
    friend = Phone(phone.client, simulator.new_person("Друг"))
    await manager.set_managed_bot_access_settings(
        bot_id, is_access_restricted=True, added_user_ids=[friend.person]
    )
    settings = await manager.get_managed_bot_access_settings(bot_id)
    assert settings.is_access_restricted
    assert [user.id for user in settings.added_users or []] == [friend.person]
    for visitor in (guest, friend, phone):
        await visitor.say(bot_id, "привет")
    heard = [u.message.chat.id for u in await bot.get_updates() if u.message]
    assert heard == [friend.person, phone.person]
    notice = (await guest.answers(bot_id))[0]
    assert notice["service"] == "access_restricted"
    assert notice["text"].startswith("This bot is open to its owner only")
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(guest.person, "секрет")
    await manager.set_managed_bot_access_settings(bot_id, is_access_restricted=False)
    await guest.say(bot_id, "а теперь?")
    assert await bot.send_message(guest.person, "добро пожаловать")


# Profile, files, Stars, Mini Apps


async def test_commands_by_scope_and_language(new_bot: Bot, phone: Phone) -> None:
    russian = [BotCommand(command="book", description="Записаться")]
    english = [BotCommand(command="book", description="Book")]
    mine = [BotCommand(command="admin", description="Управление")]
    await new_bot.set_my_commands(english)
    await new_bot.set_my_commands(russian, language_code="ru")
    assert [c.description for c in await new_bot.get_my_commands()] == ["Book"]
    told = await new_bot.get_my_commands(language_code="ru")
    assert [c.description for c in told] == ["Записаться"]
    await phone.start(new_bot.id)
    shown = (await phone.chat(new_bot.id))["bot"]["commands"]
    assert shown == [{"command": "book", "description": "Записаться"}]
    scope = BotCommandScopeChat(chat_id=phone.person)
    await new_bot.set_my_commands(mine, scope=scope)
    assert (await phone.chat(new_bot.id))["bot"]["commands"][0]["command"] == "admin"
    await new_bot.delete_my_commands(scope=scope)
    assert (await phone.chat(new_bot.id))["bot"]["commands"][0]["command"] == "book"
    with pytest.raises(TelegramBadRequest, match="BOT_COMMAND_INVALID"):
        await new_bot.set_my_commands([BotCommand(command="Запись", description="x")])


async def test_names_and_descriptions(new_bot: Bot, phone: Phone) -> None:
    await new_bot.set_my_name("Салон Анны")
    await new_bot.set_my_name("Anna's", language_code="en")
    await new_bot.set_my_description("Запись к мастеру")
    await new_bot.set_my_short_description("Запись")
    assert (await new_bot.get_my_name()).name == "Салон Анны"
    assert (await new_bot.get_my_name(language_code="en")).name == "Anna's"
    assert (await new_bot.get_my_description(language_code="en")).description == "Запись к мастеру"
    assert (await new_bot.get_my_short_description()).short_description == "Запись"
    shown = (await phone.chat(new_bot.id))["bot"]
    assert (shown["name"], shown["description"]) == ("Салон Анны", "Запись к мастеру")
    with pytest.raises(TelegramBadRequest, match="too long"):
        await new_bot.set_my_short_description("я" * 121)


async def test_the_menu_button_opens_a_signed_mini_app(new_bot: Bot, phone: Phone) -> None:
    button = MenuButtonWebApp(text="Журнал", web_app=WebAppInfo(url="http://127.0.0.1:8000/app"))
    await new_bot.set_chat_menu_button(menu_button=button)
    assert (await new_bot.get_chat_menu_button()).model_dump() == button.model_dump()
    shown = (await phone.chat(new_bot.id))["menu_button"]
    opened = await phone.post(new_bot.id, "/web-app", {"url": shown["web_app"]["url"]})
    address, _, fragment = opened["url"].partition("#")
    assert address == "http://127.0.0.1:8000/app"
    data = unquote(dict(part.split("=", 1) for part in fragment.split("&"))["tgWebAppData"])
    user = safe_parse_webapp_init_data(new_bot.token, data).user
    assert user is not None
    assert (user.id, user.first_name) == (phone.person, "Вера")
    with pytest.raises(ValueError, match="signature"):
        safe_parse_webapp_init_data("1:another", data)


async def test_documents_and_photos(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    content = b"BEGIN:VCALENDAR\r\n"
    ics = BufferedInputFile(content, "Запись.ics")
    sent = await new_bot.send_document(phone.person, ics, caption="<b>Ваша запись</b>")
    assert sent.document is not None
    file = await new_bot.get_file(sent.document.file_id)
    received = await new_bot.download_file(file.file_path or "")
    assert received is not None
    assert received.read() == content
    (shown,) = await phone.answers(new_bot.id)
    assert (shown["document"]["name"], shown["html"]) == ("Запись.ics", "<b>Ваша запись</b>")
    fetched = await phone.client.get(shown["document"]["url"])
    assert fetched.content == content
    assert fetched.headers["content-disposition"].startswith("attachment")
    again = await new_bot.send_document(phone.person, sent.document.file_id)
    assert again.document == sent.document
    photo = await new_bot.send_photo(phone.person, BufferedInputFile(PIXEL, "p.png"))
    assert photo.photo is not None
    assert (photo.photo[0].width, photo.photo[0].height) == (1, 1)
    edited = await photo.edit_caption(caption="подпись")
    assert isinstance(edited, Message)
    assert edited.caption == "подпись"
    with pytest.raises(TelegramBadRequest, match="IMAGE_PROCESS_FAILED"):
        await new_bot.send_photo(phone.person, BufferedInputFile(b"no picture", "p.png"))
    with pytest.raises(TelegramBadRequest, match="wrong file identifier"):
        await new_bot.send_photo(phone.person, "AgACnothing")


async def test_stars_are_paid_and_given_back(new_bot: Bot, phone: Phone) -> None:
    dispatcher = Dispatcher()
    paid: asyncio.Queue[str] = asyncio.Queue()

    @dispatcher.pre_checkout_query()
    async def check(query: PreCheckoutQuery) -> None:
        sold_out = query.invoice_payload == "sold-out"
        await query.answer(ok=not sold_out, error_message="Раскупили" if sold_out else None)

    @dispatcher.message(F.successful_payment)
    async def thank(message: Message) -> None:
        assert message.successful_payment is not None
        await paid.put(message.successful_payment.telegram_payment_charge_id)

    await phone.start(new_bot.id)
    price = [LabeledPrice(label="Месяц", amount=250)]
    sent = await new_bot.send_invoice(phone.person, "Месяц", "Бот на месяц", "1m", "XTR", price)
    assert sent.invoice is not None
    assert sent.invoice.total_amount == 250
    link = await new_bot.create_invoice_link("Год", "Бот на год", "sold-out", "XTR", price)
    async with polling(dispatcher, new_bot):
        done = await phone.post(new_bot.id, "/payments", {"message_id": sent.message_id})
        charge = await asyncio.wait_for(paid.get(), DEADLINE_SECONDS)
        slug = urlsplit(link).path.removeprefix("/$")
        refused = await phone.post(new_bot.id, "/payments", {"slug": slug})
    assert done == {"ok": True, "error_message": None}
    assert refused == {"ok": False, "error_message": "Раскупили"}
    assert await new_bot.refund_star_payment(phone.person, charge)
    moves = (await new_bot.get_star_transactions()).transactions
    assert [(one.id, one.amount, one.source is None) for one in moves] == [
        (charge, 250, False),
        (charge, 250, True),
    ]
    assert (await new_bot.get_star_transactions(offset=1, limit=1)).transactions == moves[1:]
    with pytest.raises(TelegramBadRequest, match="CHARGE_ALREADY_REFUNDED"):
        await new_bot.refund_star_payment(phone.person, charge)
    with pytest.raises(TelegramBadRequest, match="PAYMENT_PROVIDER_INVALID"):
        await new_bot.send_invoice(phone.person, "Месяц", "Бот", "1m", "RUB", price)


async def test_a_chat_can_be_looked_up(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    assert await new_bot.send_chat_action(phone.person, "typing")
    chat = await new_bot.get_chat(phone.person)
    assert (chat.id, chat.type, chat.first_name) == (phone.person, "private", "Вера")


# The people's side


async def test_the_seed_and_the_lists(simulator: Simulator, new_bot: Bot, phone: Phone) -> None:
    people = simulator.get("/telegram/people")
    assert [(p["id"], p["first_name"]) for p in people[:2]] == [
        (100200301, "Анна"),
        (100200302, "Борис"),
    ]
    assert people[0]["phone"].startswith("+7")
    for language, name in (("en", "Anna"), ("ru", "Анна")):
        simulator.post("/telegram/people/100200301/language", {"language_code": language})
        assert simulator.get("/telegram/people")[0]["first_name"] == name
    sales, *_ = simulator.get("/telegram/bots")
    assert (sales["id"], sales["can_manage_bots"]) == (simulator.sales_bot_id, True)
    assert simulator.get(f"/telegram/people/{phone.person}/chats") == []
    await phone.start(new_bot.id)
    (line,) = simulator.get(f"/telegram/people/{phone.person}/chats")
    assert (line["bot"]["id"], line["last"]["text"]) == (new_bot.id, "/start")
    assert simulator.client.get("/telegram/people/1/chats").status_code == 404


async def test_the_phone_hears_of_every_change(new_bot: Bot, phone: Phone) -> None:
    told = f'data: {{"person": {phone.person}, "bot": {new_bot.id}}}'
    async with phone.client.stream("GET", "/telegram/events") as stream:
        lines = stream.aiter_lines()

        async def changed() -> str:
            async for line in lines:
                if line.startswith("data:") and f'"person": {phone.person},' in line:
                    return line
            raise AssertionError("the stream ended")

        assert await anext(lines) == ": watching"
        await phone.start(new_bot.id)
        assert await changed() == told
        sent = await new_bot.send_message(phone.person, "раз")
        assert await changed() == told
        await sent.delete()
        assert await changed() == told
