"""A salon with its bot: the product's route and worker in this process, Telegram as a process."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import uvicorn
from aiogram import Bot, Router
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from simulator import Json, Phone, Simulator

from zapisano.app import create_api
from zapisano.booking import BookingChanged, Remind
from zapisano.bots import store
from zapisano.bots.booking import BookingNotices, booking_router
from zapisano.bots.dispatch import Dispatch, dispatcher
from zapisano.bots.jobs import HandleUpdate
from zapisano.bots.model import new_secret
from zapisano.bots.registry import Bots, open_bots
from zapisano.bots.storage import create_memory
from zapisano.db import Database
from zapisano.jobs import Handlers, Runner
from zapisano.settings import Settings
from zapisano.tenancy import Tenant, TenantId, provision, register

DEADLINE_SECONDS = 20.0
MOMENT = datetime(2026, 11, 22, 9, tzinfo=UTC)  # a Sunday, noon in Moscow


@dataclass
class Clock:
    """The worker's clock, moved by hand."""

    at: datetime = MOMENT

    def __call__(self) -> datetime:
        return self.at


class Guest:
    """Somebody with a telephone in the chat with the salon's bot."""

    def __init__(self, client: httpx.AsyncClient, person: int, bot: int) -> None:
        self.phone = Phone(client, person)
        self.person = person
        self.bot = bot

    async def start(self) -> None:
        await self.phone.start(self.bot)

    async def say(self, text: str) -> None:
        await self.phone.say(self.bot, text)

    async def share_contact(self) -> None:
        await self.phone.post(self.bot, "/contact")

    async def sees(self, *texts: str, times: int = 1) -> Json:
        """Return the newest message that holds all of `texts`, as soon as there are `times`."""
        end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
        while True:
            answers = await self.phone.answers(self.bot)
            found = [m for m in answers if all(text in shown(m) for text in texts)]
            if len(found) >= times:
                return found[-1]
            late = asyncio.get_running_loop().time() > end
            assert not late, f"{texts} not among {[shown(m) for m in answers]}"
            await asyncio.sleep(0.02)

    async def messages(self) -> list[str]:
        return [m["text"] or "" for m in await self.phone.answers(self.bot)]

    async def press(self, message: Json, text: str) -> Json:
        """Press the button of a message whose text begins with `text`."""
        data = next(
            (
                button["callback_data"]
                for button in buttons(message)
                if button["text"].startswith(text)
            ),
            None,
        )
        assert data is not None, f"{text!r} not among {[b['text'] for b in buttons(message)]}"
        return await self.send(message, data)

    async def send(self, message: Json, data: str) -> Json:
        """Send the data of a button of this message."""
        return await self.phone.press(self.bot, message["message_id"], data)

    async def tap(self, seen: str, button: str) -> Json:
        """Wait for a message, press its button, return the answer to the tap."""
        return await self.press(await self.sees(seen), button)

    async def book(self, time: str, day: str = "23") -> Json:
        """Walk the whole path; return the card."""
        await self.say("/book")
        await self.tap("На что вас записать?", "Стрижка")
        await self.tap("В какой день?", day)
        await self.tap("Во сколько?", time)
        await self.tap("Всё верно?", "✅")
        return await self.sees("Вы записаны!", time)


def buttons(message: Json) -> list[dict[str, Any]]:
    return [button for row in message["inline_keyboard"] or [] for button in row]


def shown(message: Json) -> str:
    """Everything a person sees of a message."""
    name = (message["document"] or {}).get("name", "")
    return "\n".join([message["text"] or "", name, *(b["text"] for b in buttons(message))])


@dataclass
class Salon:
    """The tenant, its bot and everybody around."""

    simulator: Simulator
    settings: Settings
    database: Database
    tenant: Tenant
    bot: int
    owner: Guest
    clock: Clock
    client: httpx.AsyncClient
    telegram: Bot

    async def press_any(self, guest: Guest, data: str) -> str | None:
        """Let a person press a button with any data, as old messages and strange programs have."""
        button = InlineKeyboardButton(text="?", callback_data=data)
        keyboard = InlineKeyboardMarkup(inline_keyboard=[[button]])
        sent = await self.telegram.send_message(guest.person, "?", reply_markup=keyboard)
        answer = await guest.phone.press(self.bot, sent.message_id, data)
        return answer["text"]

    async def guest(self, name: str, language: str = "ru") -> Guest:
        """Let somebody new open the bot."""
        made = Guest(self.client, self.simulator.new_person(name, language), self.bot)
        await made.start()
        await made.sees("Салон Ромашка")
        return made


class Server(uvicorn.Server):
    """A server that leaves the signals to the test runner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.asynccontextmanager
async def serving(settings: Settings, database: Database) -> AsyncGenerator[str]:
    """Serve the product's API on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_api(settings, database), log_level="warning", lifespan="off", ws="none"
    )
    server = Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listener.close()


@contextlib.asynccontextmanager
async def working(
    settings: Settings, database: Database, bots: Bots, clock: Clock
) -> AsyncGenerator[None]:
    """Run the job process's part of the tenant's bot."""
    handlers = Handlers()
    memory = create_memory(settings)
    notices = BookingNotices(database, bots, clock)
    dispatch = Dispatch(
        settings=settings,
        database=database,
        bots=bots,
        sales=dispatcher(memory, Router()),
        tenants=dispatcher(memory, booking_router()),
        now=clock,
    )
    handlers.on(HandleUpdate, dispatch.handle)
    handlers.on(BookingChanged, notices.changed)
    handlers.on(Remind, notices.remind)
    runner = Runner(database, handlers, clock)
    ready = asyncio.Event()
    task = asyncio.create_task(runner.run(ready.set))
    try:
        await ready.wait()
        yield
    finally:
        runner.stop()
        await task
        await memory.storage.close()


async def open_salon(
    simulator: Simulator, settings: Settings, database: Database, bots: Bots, webhook: str
) -> tuple[Tenant, Bot, int]:
    """Register a tenant and connect a bot to it: the tenant, the bot, the owner."""
    owner = simulator.new_person("Ольга")
    async with database.shared() as conn:
        tenant = await register(conn, name="Салон Ромашка", owner_id=owner)
        await register(conn, name="Барбершоп Борода", owner_id=owner)
    for number in (tenant.id, TenantId("client_002")):
        await provision(database, number)
    bot_id, token = simulator.new_bot(owner)
    path, secret = new_secret(), new_secret()
    async with database.shared() as conn:
        await store.insert(
            conn,
            bot_id=bot_id,
            tenant_id=tenant.id,
            username=f"salon_{bot_id}_bot",
            token=bots.vault.lock(token),
            path=path,
            secret=secret,
            managed=False,
        )
    bot = bots.candidate(token)
    await bot.set_webhook(f"{webhook}/telegram/{path}", secret_token=secret)
    return tenant, bot, owner


@pytest.fixture
async def salon(
    simulator: Simulator, settings: Settings, database: Database
) -> AsyncGenerator[Salon]:
    """A salon that is open; the second tenant beside it must stay as it was made."""
    clock = Clock()
    settings = settings.model_copy(update={"telegram_api_base": simulator.base_url})
    bots = open_bots(settings, database)
    try:
        async with (
            serving(settings, database) as webhook,
            working(settings, database, bots, clock),
            httpx.AsyncClient(base_url=simulator.base_url, timeout=30, trust_env=False) as client,
        ):
            tenant, bot, owner = await open_salon(simulator, settings, database, bots, webhook)
            yield Salon(
                simulator=simulator,
                settings=settings,
                database=database,
                tenant=tenant,
                bot=bot.id,
                owner=Guest(client, owner, bot.id),
                telegram=bot,
                clock=clock,
                client=client,
            )
    finally:
        await bots.close()
    async with database.tenant("client_002") as conn:
        assert await conn.fetchval("SELECT count(*) FROM bookings") == 0
        assert await conn.fetchval("SELECT count(*) FROM users") == 0
