"""Real aiogram against the simulated Telegram: how updates reach a bot, whatever goes wrong."""

import asyncio
from typing import Any

import httpx
import pytest
from aiogram import Bot, Dispatcher, F
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import TelegramMethod
from aiogram.types import (
    Message,
    Update,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web
from simulator import REAL_LIMITS, Phone, Simulator
from telegram_bots import (
    DEADLINE_SECONDS,
    logged,
    server,
    sessions,
    texts,
    until,
)


async def test_updates_wait_until_they_are_confirmed(new_bot: Bot, phone: Phone) -> None:
    for text in ("раз", "два", "три"):
        await phone.say(new_bot.id, text)
    first = await new_bot.get_updates(limit=2)
    assert first == await new_bot.get_updates(limit=2)
    ids = [update.update_id for update in first]
    assert ids[1] == ids[0] + 1
    (last,) = await new_bot.get_updates(offset=ids[1] + 1)
    assert last.message is not None
    assert last.message.text == "три"
    assert await new_bot.get_updates(offset=last.update_id + 1) == []


async def test_a_negative_offset_keeps_the_last(new_bot: Bot, phone: Phone) -> None:
    for text in ("раз", "два", "три"):
        await phone.say(new_bot.id, text)
    kept = await new_bot.get_updates(offset=-2)
    assert [u.message.text for u in kept if u.message] == ["два", "три"]
    assert await new_bot.get_updates() == kept


async def test_a_long_poll_ends_with_the_first_update(new_bot: Bot, phone: Phone) -> None:
    poll = asyncio.create_task(new_bot.get_updates(timeout=30))
    await until(lambda: logged(phone, new_bot, "getUpdates"), "the poll begins")
    await phone.say(new_bot.id, "привет")
    (update,) = await asyncio.wait_for(poll, DEADLINE_SECONDS)
    assert update.message is not None
    assert update.message.text == "привет"


async def test_the_newer_poll_wins_and_a_webhook_forbids_both(new_bot: Bot, phone: Phone) -> None:
    older = asyncio.create_task(new_bot.get_updates(timeout=30))
    await until(lambda: logged(phone, new_bot, "getUpdates"), "the poll begins")
    assert await new_bot.get_updates() == []
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates request"):
        await older
    await new_bot.set_webhook("http://127.0.0.1:1/hook")
    with pytest.raises(TelegramConflictError, match="while webhook is active"):
        await new_bot.get_updates()
    await new_bot.delete_webhook()
    assert await new_bot.get_updates() == []


async def test_allowed_updates_are_sticky(new_bot: Bot, phone: Phone) -> None:
    await new_bot.get_updates(allowed_updates=["callback_query"])
    await phone.start(new_bot.id)
    assert await new_bot.get_updates() == []
    assert (await new_bot.get_webhook_info()).allowed_updates == ["callback_query"]
    await new_bot.get_updates(allowed_updates=["message"])
    await phone.say(new_bot.id, "теперь слышно")
    assert len(await new_bot.get_updates()) == 1


async def test_a_webhook_with_a_secret(new_bot: Bot, phone: Phone) -> None:
    dispatcher = Dispatcher()

    @dispatcher.message(F.text)
    async def echo(message: Message) -> None:
        await message.answer(f"эхо: {message.text}")

    handler = SimpleRequestHandler(dispatcher, new_bot, secret_token="s3cret_-")
    async with server(handler.handle) as url:
        await new_bot.set_webhook(url, secret_token="s3cret_-", max_connections=3)
        await phone.say(new_bot.id, "привет")
        assert await until(lambda: texts(phone, new_bot), "an answer") == ["эхо: привет"]
        info = await new_bot.get_webhook_info()
        assert (info.url, info.max_connections, info.pending_update_count) == (url, 3, 0)
        await new_bot.set_webhook(url, secret_token="another")
        await phone.say(new_bot.id, "кто там?")

        async def refused() -> bool:
            info = await new_bot.get_webhook_info()
            return info.last_error_message == "Wrong response from the webhook: 401 Unauthorized"

        await until(refused, "the refusal is noted")
        await new_bot.set_webhook(url, secret_token="s3cret_-")
        await until(lambda: texts_of(phone, new_bot, 2), "the second answer")
    assert (await new_bot.get_webhook_info()).pending_update_count == 0


async def texts_of(phone: Phone, bot: Bot, number: int) -> list[str]:
    found = await texts(phone, bot)
    return found if len(found) == number else []


async def test_a_bot_may_answer_in_the_answer(new_bot: Bot, phone: Phone) -> None:
    dispatcher = Dispatcher()

    @dispatcher.message(F.text)
    async def echo(message: Message) -> TelegramMethod[Any]:
        return message.answer(f"сразу: {message.text}")

    handler = SimpleRequestHandler(dispatcher, new_bot, handle_in_background=False)
    async with server(handler.handle) as url:
        await new_bot.set_webhook(url)
        await phone.say(new_bot.id, "привет")
        assert await until(lambda: texts(phone, new_bot), "an answer") == ["сразу: привет"]


async def test_redelivery_keeps_the_order_of_each_chat(
    simulator: Simulator, new_bot: Bot, phone: Phone
) -> None:
    other = Phone(phone.client, simulator.new_person("Глеб"))
    tries: list[tuple[int, str]] = []
    healed = asyncio.Event()

    async def hook(request: web.Request) -> web.Response:
        update = Update.model_validate(await request.json())
        assert update.message is not None
        tries.append((update.message.chat.id, update.message.text or ""))
        sick = update.message.chat.id == phone.person and not healed.is_set()
        return web.Response(status=503 if sick else 200)

    async with server(hook) as url:
        await new_bot.set_webhook(url)
        await phone.say(new_bot.id, "раз")
        await phone.say(new_bot.id, "два")
        await other.say(new_bot.id, "другой чат")

        async def tried() -> bool:
            return (other.person, "другой чат") in tries and len(tries) >= 4

        await until(tried, "the other chat is served, the sick one is tried again")
        assert (phone.person, "два") not in tries
        info = await new_bot.get_webhook_info()
        assert info.last_error_message == "Wrong response from the webhook: 503 Service Unavailable"
        assert info.pending_update_count == 2
        healed.set()

        async def done() -> bool:
            return (await new_bot.get_webhook_info()).pending_update_count == 0

        await until(done, "everything is delivered")
    assert [text for chat, text in tries if chat == phone.person][-2:] == ["раз", "два"]
    assert tries.count((phone.person, "два")) == 1


async def test_no_more_deliveries_at_once_than_asked(
    simulator: Simulator, new_bot: Bot, phone: Phone
) -> None:
    at_once = 0
    most = 0
    full = asyncio.Event()
    served = 0

    async def hook(request: web.Request) -> web.Response:
        nonlocal at_once, most, served
        at_once += 1
        most = max(most, at_once)
        if at_once == 2:
            full.set()
        await full.wait()
        await request.read()
        at_once -= 1
        served += 1
        return web.Response()

    async with server(hook) as url:
        await new_bot.set_webhook(url, max_connections=2)
        for number in range(6):
            await Phone(phone.client, simulator.new_person(f"Гость {number}")).start(new_bot.id)

        async def all_served() -> bool:
            return served == 6

        await until(all_served, "six updates")
    assert most == 2


async def test_pending_updates_can_be_dropped(new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    await new_bot.delete_webhook(drop_pending_updates=True)
    assert await new_bot.get_updates() == []


@pytest.mark.parametrize(
    ("url", "secret", "reason"),
    [
        ("http://example.org/hook", None, "Failed to resolve host"),
        ("ftp://127.0.0.1/hook", None, "HTTPS url must be provided"),
        ("http://127.0.0.1:1/hook", "пароль", "unallowed characters"),
    ],
)
async def test_bad_webhooks_are_refused(
    new_bot: Bot, url: str, secret: str | None, reason: str
) -> None:
    with pytest.raises(TelegramBadRequest, match=reason):
        await new_bot.set_webhook(url, secret_token=secret)
    assert (await new_bot.get_webhook_info()).url == ""


# Limits and faults


async def test_too_many_messages(simulator: Simulator, new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    limits = {**REAL_LIMITS, "bot": {"per_second": 0.5, "burst": 3}}
    simulator.post("/telegram/control", {"limits": limits})
    for number in range(3):
        await new_bot.send_message(phone.person, str(number))
    with pytest.raises(TelegramRetryAfter) as refused:
        await new_bot.send_message(phone.person, "слишком часто")
    assert refused.value.retry_after == 2
    assert len(await phone.answers(new_bot.id)) == 3


async def test_the_real_limits_stop_a_flood_in_one_chat(
    simulator: Simulator, new_bot: Bot, phone: Phone
) -> None:
    await phone.start(new_bot.id)
    simulator.post("/telegram/control", {"limits": REAL_LIMITS})
    sent = await asyncio.gather(
        *(new_bot.send_message(phone.person, str(number)) for number in range(35)),
        return_exceptions=True,
    )
    refused = [one for one in sent if isinstance(one, TelegramRetryAfter)]
    assert len(sent) - len(refused) == len(await phone.answers(new_bot.id))
    assert 20 <= len(sent) - len(refused) < 30


async def test_set_webhook_is_throttled(simulator: Simulator, new_bot: Bot) -> None:
    simulator.post("/telegram/control", {"limits": REAL_LIMITS})
    await new_bot.set_webhook("http://127.0.0.1:1/hook")
    with pytest.raises(TelegramRetryAfter):
        await new_bot.set_webhook("http://127.0.0.1:1/other")


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("429", TelegramRetryAfter),
        ("500", TelegramServerError),
        ("401", TelegramUnauthorizedError),
        ("reset", TelegramNetworkError),
        ("timeout", TelegramNetworkError),
        ("lost_answer", TelegramNetworkError),
    ],
)
async def test_ordered_faults(
    simulator: Simulator, new_bot: Bot, phone: Phone, kind: str, error: type[Exception]
) -> None:
    await phone.start(new_bot.id)
    simulator.fail(kind, method="sendMessage", bot=new_bot.id, retry_after=7)
    assert await new_bot.get_me(), "other methods are well"
    with pytest.raises(error) as failed:
        await new_bot.send_message(phone.person, "раз", request_timeout=1)
    if isinstance(failed.value, TelegramRetryAfter):
        assert failed.value.retry_after == 7
    done = ["раз"] if kind == "lost_answer" else []
    assert await texts(phone, new_bot) == done
    await new_bot.send_message(phone.person, "два")
    assert await texts(phone, new_bot) == [*done, "два"]


async def test_the_log_tells_the_calls(simulator: Simulator, new_bot: Bot, phone: Phone) -> None:
    await phone.start(new_bot.id)
    await new_bot.send_message(phone.person, "раз")
    log = simulator.get("/telegram/control/log", bot=new_bot.id, method="sendMessage")
    assert [entry["params"]["text"] for entry in log] == ["раз"]


# Restarts


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_nothing_is_lost_by_a_restart(own_simulator: Simulator, end: str) -> None:
    world = own_simulator
    person = world.new_person()
    bot_id, token = world.new_bot(person)
    received: asyncio.Queue[int] = asyncio.Queue()

    async def hook(request: web.Request) -> web.Response:
        update = Update.model_validate(await request.json())
        await received.put(update.update_id)
        return web.Response()

    async with (
        httpx.AsyncClient(base_url=world.base_url, trust_env=False) as client,
        sessions(world) as make,
        server(hook) as url,
    ):
        phone, bot = Phone(client, person), make(token)
        await phone.start(bot_id)
        await bot.send_message(person, "до")
        (waiting,) = await bot.get_updates()
        simulator_token = await make(world.sales_bot_token).get_me()
        await asyncio.to_thread(getattr(world, end))
        await asyncio.to_thread(world.start)
        world.reset_knobs()
        assert await bot.get_updates() == [waiting]
        assert [m["text"] for m in await phone.messages(bot_id)] == ["/start", "до"]
        assert (await make(world.sales_bot_token).get_me()) == simulator_token
        later = await bot.send_message(person, "после")
        assert later.message_id == 3
        dead = url.replace("/hook", "/nobody-here")
        await bot.set_webhook(dead)
        await phone.say(bot_id, "ещё")
        await bot.set_webhook(url)
        assert await asyncio.wait_for(received.get(), DEADLINE_SECONDS) == waiting.update_id
        assert await asyncio.wait_for(received.get(), DEADLINE_SECONDS) == waiting.update_id + 1


async def test_deliveries_go_on_after_a_restart(own_simulator: Simulator) -> None:
    world = own_simulator
    person = world.new_person()
    bot_id, token = world.new_bot(person)
    received: asyncio.Queue[str] = asyncio.Queue()
    well = asyncio.Event()

    async def hook(request: web.Request) -> web.Response:
        update = Update.model_validate(await request.json())
        assert update.message is not None
        await received.put(update.message.text or "")
        return web.Response(status=200 if well.is_set() else 500)

    async with (
        httpx.AsyncClient(base_url=world.base_url, trust_env=False) as client,
        sessions(world) as make,
        server(hook) as url,
    ):
        await make(token).set_webhook(url)
        await Phone(client, person).say(bot_id, "не потеряйте")
        assert await asyncio.wait_for(received.get(), DEADLINE_SECONDS) == "не потеряйте"
        await asyncio.to_thread(world.kill)
        well.set()
        while not received.empty():
            received.get_nowait()
        await asyncio.to_thread(world.start)
        assert await asyncio.wait_for(received.get(), DEADLINE_SECONDS) == "не потеряйте"


async def test_it_stops_at_once_though_streams_are_open(own_simulator: Simulator) -> None:
    world = own_simulator
    person = world.new_person()
    _, token = world.new_bot(person)
    async with (
        httpx.AsyncClient(base_url=world.base_url, trust_env=False) as client,
        sessions(world) as make,
        client.stream("GET", "/telegram/events") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == ": watching"
        poll = asyncio.create_task(make(token).get_updates(timeout=40))
        await until(lambda: logged(Phone(client, person), make(token), "getUpdates"), "a poll")
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.to_thread(world.stop)
        assert loop.time() - began < 3
        assert await poll == []
