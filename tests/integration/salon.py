"""A salon with its bot: the product's route and worker in this process, Telegram as a process."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from aiogram import Bot
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from house import in_the_world, serving_api, working
from simulator import Json, Phone, Simulator
from telegram_bots import until

from zapisano.bots import store
from zapisano.bots.registry import Bots
from zapisano.db import Database
from zapisano.settings import Settings
from zapisano.tenancy import State, Tenant, activate, register
from zapisano.tenancy import store as tenants
from zapisano.worker import open_parts, prepare

Witness = asyncpg.Connection

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


async def provisioned(database: Database) -> int:
    """Count the tenants that the worker has made ready."""
    async with database.shared() as conn:
        ready = await tenants.page(conn, after="", limit=9, state=State.AWAITING_BOT)
    return len(ready)


async def open_salon(
    simulator: Simulator, database: Database, bots: Bots, webhook: str
) -> tuple[Tenant, Bot, int]:
    """Register a tenant and connect a bot to it: the tenant, the bot, the owner."""
    owner = simulator.new_person("Ольга")
    async with database.shared() as conn:
        tenant = await register(conn, name="Салон Ромашка", owner_id=owner)
        await register(conn, name="Барбершоп Борода", owner_id=owner)

    async def both_are_ready() -> bool:
        return await provisioned(database) == 2

    await until(both_are_ready, "the worker has provisioned both tenants")
    bot_id, token = simulator.new_bot(owner)
    async with database.shared() as conn:
        await store.insert(
            conn,
            bot_id=bot_id,
            tenant_id=tenant.id,
            username=f"salon_{bot_id}_bot",
            token=bots.vault.lock(token),
            managed=False,
        )
        await activate(conn, tenant.id)
        row = await store.of_tenant(conn, tenant.id)
    assert row is not None
    bot = bots.candidate(token)
    await bot.set_webhook(f"{webhook}/telegram/{row.path}", secret_token=row.secret)
    return tenant, bot, owner


@pytest.fixture
async def salon(
    simulator: Simulator, settings: Settings, database: Database, valkey_url: str
) -> AsyncGenerator[Salon]:
    """A salon that is open; the second tenant beside it must stay as it was made."""
    clock = Clock()
    settings = in_the_world(settings, simulator, valkey_url)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        webhook = f"http://127.0.0.1:{listening.getsockname()[1]}"
        async with (
            serving_api(settings, database, listening),
            open_parts(settings, clock) as parts,
            working(parts),
            httpx.AsyncClient(base_url=simulator.base_url, timeout=30, trust_env=False) as client,
        ):
            await prepare(parts)
            tenant, bot, owner = await open_salon(simulator, database, parts.bots, webhook)
            yield Salon(
                simulator=simulator,
                database=database,
                tenant=tenant,
                bot=bot.id,
                owner=Guest(client, owner, bot.id),
                clock=clock,
                client=client,
                telegram=bot,
            )
    async with database.tenant("client_002") as conn:
        assert await conn.fetchval("SELECT count(*) FROM bookings") == 0
        assert await conn.fetchval("SELECT count(*) FROM users") == 0


async def idle(witness: Witness) -> None:
    """Wait until no job is left."""

    async def none_left() -> bool:
        return await witness.fetchval("SELECT count(*) FROM shared.pgqueuer") == 0

    await until(none_left, "every job is done")
