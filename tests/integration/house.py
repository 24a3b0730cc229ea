"""The product beside the simulated world: API, worker, database; people use it by their phones."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from simulator import Json, Phone, Simulator
from telegram_bots import until

from zapisano.app import create_api
from zapisano.db import Database, open_database
from zapisano.jobs import Job, Runner, enqueue
from zapisano.payments import Settle, start_payment
from zapisano.payments.model import OrderId
from zapisano.settings import Settings
from zapisano.worker import Parts, handlers_of, open_parts, prepare

Witness = asyncpg.Connection
Thing = TypeVar("Thing")


async def found(look: Callable[[], Awaitable[Thing | None]], what: str) -> Thing:
    """Look again until there is something."""
    thing = await until(look, what)
    assert thing is not None
    return thing


@dataclass
class House:
    """What a test of the bots sees of the product."""

    settings: Settings
    database: Database
    parts: Parts
    witness: Witness
    simulator: Simulator

    async def do(self, job: Job) -> None:
        """Ask for a job as the product does."""
        async with self.database.shared() as conn:
            await enqueue(conn, job)

    async def jobs(self, kind: str) -> int:
        count = await self.witness.fetchval(
            "SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = $1", kind
        )
        return int(count)

    async def idle(self) -> None:
        """Wait until no job is left."""

        async def none_left() -> bool:
            left = await self.witness.fetchval(
                "SELECT count(*) FROM shared.pgqueuer WHERE entrypoint NOT LIKE 'payments.poll'"
            )
            return left == 0

        await until(none_left, "every job is done")

    async def pay(self, order_id: str) -> None:
        """Pay an order as its buyer does on YooKassa's page, and let the news arrive."""
        await self.pays(await self.starts(order_id))

    async def starts(self, order_id: str) -> str:
        """Press our button to pay; return the id of the payment that waits at YooKassa."""
        await start_payment(
            self.database, self.parts.provider, OrderId(order_id), datetime.now(UTC)
        )
        found = "SELECT payment_id FROM shared.orders WHERE id = $1"
        return str(await self.witness.fetchval(found, order_id))

    async def pays(self, payment_id: str) -> None:
        """Give the card to YooKassa, and let the news arrive."""
        self.simulator.post("/yookassa/control/pay", {"payment_id": payment_id})
        await self.do(Settle(payment_id))

    async def bot_of(self, person: int) -> Json:
        """Wait for the working bot of a person's newest tenant."""

        async def look() -> Json | None:
            row = await self.witness.fetchrow(
                """SELECT b.bot_id, b.username, t.id, t.state FROM shared.bots b
                   JOIN shared.tenants t ON t.id = b.tenant_id
                   WHERE t.owner_id = $1 AND t.state = 'active'
                   ORDER BY b.attached_at DESC LIMIT 1""",
                person,
            )
            return dict(row) if row else None

        return await found(look, "the bot is attached")


@dataclass
class Buyer:
    """Somebody with a phone and the sales bot open."""

    phone: Phone
    sales: int

    async def newest(self) -> Json:
        answers = await self.phone.answers(self.sales)
        return answers[-1] if answers else {"message_id": 0, "text": ""}

    async def hears(self, part: str) -> Json:
        """Wait for a message of the bot with these words in it."""

        async def look() -> Json | None:
            said = await self.phone.answers(self.sales)
            return next((m for m in reversed(said) if part in m["text"]), None)

        return await found(look, f"“{part}” is said")

    async def says(self, text: str) -> None:
        await self.phone.say(self.sales, text)

    async def presses(self, part: str) -> Json:
        """Press the newest button with these words on it."""
        message, button = await self.sees(part)
        return await self.phone.press(self.sales, message["message_id"], button["callback_data"])

    async def sees(self, part: str, under: str = "") -> tuple[Json, Json]:
        """Wait for a button with these words, `under` such a text; return message and button."""

        async def look() -> tuple[Json, Json] | None:
            for message in reversed(await self.phone.answers(self.sales)):
                for row in message["inline_keyboard"] or []:
                    for button in row:
                        if part in button["text"] and under in message["text"]:
                            return message, button
            return None

        return await found(look, f"a button “{part}”")

    async def orders(self, company: str, plan: str = "1 месяц") -> str:
        """Go all the way to the button that pays; return the order's id."""
        await self.phone.start(self.sales)
        await self.presses("Выбрать тариф")
        await self.presses(plan)
        await self.begins_a_new_one()
        await self.says(company)
        shown = company.replace("«", "„").replace("»", "“")  # quotation marks inside ours
        _, pay = await self.sees("Оплатить", under=shown)
        return str(pay["url"].rpartition("/")[2])

    async def begins_a_new_one(self) -> None:
        """Say that a new bot is meant, if that is asked, which it is of whoever has one."""

        async def look() -> Json | None:
            said = reversed(await self.phone.answers(self.sales))
            asked = ("Как называется", "или сделать")
            return next((m for m in said if any(part in m["text"] for part in asked)), None)

        if "или сделать" in (await found(look, "the name is asked for"))["text"]:
            await self.presses("Новый бот")
        await self.hears("Как называется")

    async def offer(self) -> Json:
        """Wait for the button that creates a bot; return what it suggests."""

        async def look() -> Json | None:
            keyboard = (await self.phone.chat(self.sales))["keyboard"]
            return keyboard["rows"][0][0]["request_managed_bot"] if keyboard else None

        return await found(look, "the button that creates a bot")

    async def creates(self, **changes: Any) -> Json:
        """Press that button and confirm Telegram's dialog."""
        offer = await self.offer()
        wish = {
            "request_id": offer["request_id"],
            "name": offer["suggested_name"],
            "username": f"probe_{secrets.token_hex(5)}_bot",
            **changes,
        }
        path = self.phone.path(self.sales, "/managed-bots")
        return (await self.phone.client.post(path, json=wish)).raise_for_status().json()


def in_the_world(settings: Settings, simulator: Simulator, valkey_url: str) -> Settings:
    """Settings of a product that lives in the simulated world."""
    # People of two test processes may have one id; a Redis database keeps them apart.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 14 + 1
    values: dict[str, object] = {
        "redis_url": SecretStr(f"{valkey_url.rpartition('/')[0]}/{worker}"),
        "telegram_api_base": simulator.base_url,
        "sales_bot_token": SecretStr(simulator.sales_bot_token),
        "yookassa_api_url": f"{simulator.base_url}/v3",
        "yookassa_shop_id": simulator.config.yookassa_shop_id,
        "yookassa_secret_key": SecretStr(simulator.config.yookassa_secret_key),
        "support_contact": "help@example.org",
    }
    return settings.model_copy(update=values)


@pytest.fixture
async def house(
    simulator: Simulator, settings: Settings, valkey_url: str, witness: Witness
) -> AsyncGenerator[House]:
    """A running product: API on a free port, worker in this process."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        settings = in_the_world(settings, simulator, valkey_url).model_copy(
            update={"webhook_url": url}
        )
        database = await open_database(settings)
        async with serving_api(settings, database, listening), open_parts(settings) as parts:
            await prepare(parts)
            async with working(parts):
                made = House(settings, database, parts, witness, simulator)
                await made.idle()
                yield made
        await database.close()


@contextlib.asynccontextmanager
async def serving_api(
    settings: Settings, database: Database, listening: socket.socket
) -> AsyncGenerator[None]:
    config = uvicorn.Config(create_api(settings, database), log_level="warning")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    yield
    server.should_exit = True
    await task


@contextlib.asynccontextmanager
async def working(parts: Parts) -> AsyncGenerator[None]:
    """Let a runner work for the length of the block."""
    runner = Runner(parts.database, handlers_of(parts), parts.now)
    ready = asyncio.Event()
    task = asyncio.create_task(runner.run(ready.set))
    await ready.wait()
    try:
        yield
    finally:
        runner.stop()
        await task


@pytest.fixture
def buyer(house: House, phone: Phone) -> Buyer:
    """A new person who has the sales bot open."""
    return Buyer(phone, house.simulator.sales_bot_id)


@pytest.fixture
async def another_buyer(house: House, phone: Phone) -> AsyncGenerator[Buyer]:
    """Somebody else."""
    async with httpx.AsyncClient(base_url=phone.client.base_url, timeout=30) as client:
        yield Buyer(Phone(client, house.simulator.new_person("Глеб")), house.simulator.sales_bot_id)


async def due(witness: Witness) -> list[tuple[str, str, datetime]]:
    rows = await witness.fetch(
        "SELECT kind, subject, at FROM shared.due WHERE kind LIKE 'bots.remind%' ORDER BY at"
    )
    return [(row["kind"], row["subject"], row["at"]) for row in rows]


async def journal_kinds(witness: Witness, tenant: str) -> list[str]:
    rows = await witness.fetch(
        "SELECT kind FROM shared.journal WHERE tenant = $1 ORDER BY id", tenant
    )
    return [row["kind"] for row in rows]
