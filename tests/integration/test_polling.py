"""Without WEBHOOK_URL updates are fetched; with CLIENT_ID one tenant is served alone."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator

import pytest
from house import Buyer, House, Witness, found, in_the_world, serving_api, working
from simulator import Phone, Simulator, ready_socket
from telegram_bots import until

from zapisano import worker
from zapisano.bots.jobs import Attach
from zapisano.db import open_database
from zapisano.ops.database import check_database
from zapisano.settings import Settings
from zapisano.worker import open_parts, prepare


@contextlib.asynccontextmanager
async def a_worker(settings: Settings) -> AsyncGenerator[None]:
    """A whole worker for the length of the block, stopped as by SIGTERM."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(worker.run(settings, stop, on_ready=ready.set))
    await asyncio.wait([task, asyncio.create_task(ready.wait())], return_when="FIRST_COMPLETED")
    try:
        yield
    finally:
        stop.set()
        await task


async def doctors_word(settings: Settings) -> str:
    checks = await check_database(settings)
    return next(check.found for check in checks if check.name == "Tenants' bots")


@pytest.fixture
def fetching(settings: Settings, simulator: Simulator, valkey_url: str) -> Settings:
    return in_the_world(settings, simulator, valkey_url)


async def test_polling_serves_the_sales_bot_and_the_bots_it_sells(
    fetching: Settings, simulator: Simulator, phone: Phone, witness: Witness
) -> None:
    async with a_worker(fetching), open_parts(fetching) as parts:
        house = House(fetching, parts.database, parts, witness, simulator)
        buyer = Buyer(phone, simulator.sales_bot_id)
        await house.pay(await buyer.orders("Ромашка"))
        made = await buyer.creates()
        await house.bot_of(phone.person)
        own = Buyer(phone, made["id"])
        await own.phone.start(made["id"])

        async def taken_in() -> bool:
            return bool(
                await witness.fetchval("SELECT 1 FROM shared.updates WHERE bot_id = $1", made["id"])
            )

        await until(taken_in, "the new bot's update is fetched")
        manager, _ = await parts.bots.sales()
        await manager.replace_managed_bot_token(made["id"])
        await buyer.hears("снова работает")
        await own.says("/my")
        await own.hears("записей")
        bots = "SELECT unauthorized_times FROM shared.bots WHERE bot_id = $1"
        assert await witness.fetchval(bots, made["id"]) == 0


async def test_a_bot_is_polled_on_after_an_error_that_nobody_foresaw(
    fetching: Settings, simulator: Simulator, phone: Phone, witness: Witness
) -> None:
    before = len(
        simulator.get("/telegram/control/log", method="getUpdates", bot=simulator.sales_bot_id)
    )
    async with a_worker(fetching):
        buyer = Buyer(phone, simulator.sales_bot_id)
        await witness.execute("REVOKE INSERT ON shared.updates FROM booking_app")
        await phone.start(buyer.sales)

        async def has_asked_twice() -> bool:
            log = simulator.get(
                "/telegram/control/log", method="getUpdates", bot=simulator.sales_bot_id
            )
            return len([call for call in log[before:] if not int(call["params"]["offset"])]) > 1

        await until(has_asked_twice, "what could not be stored is asked for again")
        await witness.execute("GRANT INSERT ON shared.updates TO booking_app")
        await buyer.hears("Бот для записи")


async def test_a_process_with_client_id_serves_that_tenant_alone(
    house: House, buyer: Buyer, valkey_url: str
) -> None:
    made: list[int] = []
    for name in ("Первый", "Второй"):
        await house.pay(await buyer.orders(name))
        bot = await buyer.creates()
        await buyer.hears(f"@{bot['username']} работает")
        made.append(bot["id"])
    await house.idle()
    await house.witness.execute(
        "UPDATE shared.tenants SET state = 'suspended', suspended_for = 'operator'"
    )
    alone = house.settings.model_copy(update={"client_id": "client_001", "webhook_url": ""})
    async with a_worker(alone):

        async def fetched_by() -> list[int] | None:
            log = house.simulator.get("/telegram/control/log", method="getUpdates")
            return sorted({call["bot"] for call in log} & {*made}) or None

        await found(fetched_by, "updates are fetched")
        own = Buyer(buyer.phone, made[0])
        await own.phone.start(made[0])
        await own.hears("приостановлен поддержкой")
        assert await fetched_by() == [made[0]]
        assert await doctors_word(house.settings) == "1 get no updates at WEBHOOK_URL"
    address = "SELECT webhook_url FROM shared.bots WHERE bot_id = $1"

    async def brought_again() -> bool:
        return (await house.witness.fetchval(address, made[0])) is not None

    await until(brought_again, "the worker of all has set the bot's webhook again")
    assert await doctors_word(house.settings) == "their updates come to WEBHOOK_URL"
    taken_in = "SELECT count(*) FROM shared.updates WHERE bot_id = $1"
    assert await house.witness.fetchval(taken_in, made[0]) == 0


async def test_the_worker_process_starts_says_so_and_drains(
    fetching: Settings, dsn: str, simulator: Simulator, valkey_url: str
) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": dsn,
        "ZAPISANO_SECRET_KEY": fetching.secret_key.get_secret_value(),
        "REDIS_URL": valkey_url,
        "SALES_BOT_TOKEN": simulator.sales_bot_token,
        "TELEGRAM_API_BASE": simulator.base_url,
        "WEBHOOK_URL": "http://127.0.0.1:9",
        "YOOKASSA_SHOP_ID": "1",
        "YOOKASSA_SECRET_KEY": "test_x",
    }
    with ready_socket() as (address, wait):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "from zapisano.worker import main; main()",
            env={**environment, "NOTIFY_SOCKET": address},
            stderr=asyncio.subprocess.PIPE,
        )
        await asyncio.to_thread(wait)
        process.send_signal(signal.SIGTERM)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, errors.decode()
    assert simulator.sales_bot_token.encode() not in errors


async def test_a_worker_starts_while_telegram_is_away(
    settings: Settings, simulator: Simulator, valkey_url: str, witness: Witness, phone: Phone
) -> None:
    """The money's jobs do not wait for Telegram, and Telegram's own go on when it is back."""
    simulator.fail("reset", method="*", bot=simulator.sales_bot_id, times=3)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        ours = in_the_world(settings, simulator, valkey_url).model_copy(update={"webhook_url": url})
        database = await open_database(ours)
        async with serving_api(ours, database, listening), open_parts(ours) as parts:
            await prepare(parts)
            async with working(parts):
                house = House(ours, database, parts, witness, simulator)
                await house.idle()
                buyer = Buyer(phone, simulator.sales_bot_id)
                await phone.start(buyer.sales)
                await buyer.hears("Бот для записи")
        await database.close()


async def test_a_second_start_asks_telegram_for_no_second_webhook(house: House) -> None:
    def webhooks() -> int:
        log = house.simulator.get(
            "/telegram/control/log", bot=house.simulator.sales_bot_id, method="setWebhook"
        )
        return len([call for call in log if call["params"]["url"].startswith(base)])

    base = house.settings.webhook_url
    assert webhooks() == 1
    await prepare(house.parts)
    await house.do(Attach(house.simulator.sales_bot_id))
    await house.idle()
    assert webhooks() == 1


async def test_a_start_with_another_address_moves_the_webhooks_of_tenants(
    fetching: Settings, simulator: Simulator, phone: Phone, witness: Witness
) -> None:
    async with a_worker(fetching), open_parts(fetching) as parts:
        house = House(fetching, parts.database, parts, witness, simulator)
        buyer = Buyer(phone, simulator.sales_bot_id)
        await house.pay(await buyer.orders("Ромашка"))
        made = await buyer.creates()
        await house.bot_of(phone.person)
        await house.idle()
    path = await witness.fetchval("SELECT path FROM shared.bots WHERE tenant_id IS NOT NULL")
    for base in ("http://127.0.0.1:9", "http://127.0.0.1:8"):
        async with a_worker(fetching.model_copy(update={"webhook_url": base})):
            wanted = f"{base}/telegram/{path}"

            async def addressed(wanted: str = wanted) -> bool:
                log = simulator.get("/telegram/control/log", bot=made["id"], method="setWebhook")
                return bool(log) and log[-1]["params"]["url"] == wanted

            await until(addressed, f"updates come to {base}")
            await house.idle()


async def test_after_a_time_of_polling_the_webhook_is_set_again(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()

    async def address() -> str | None:
        return await house.witness.fetchval(
            "SELECT webhook_url FROM shared.bots WHERE bot_id = $1", made["id"]
        )

    before = await address()
    assert before is not None
    alone = house.settings.model_copy(update={"client_id": "client_001", "webhook_url": ""})
    async with a_worker(alone):

        async def polled() -> bool:
            log = house.simulator.get("/telegram/control/log", bot=made["id"], method="getUpdates")
            return bool(log)

        await until(polled, "updates are fetched")
        assert await address() is None
    await prepare(house.parts)
    await house.idle()
    assert await address() == before
    await Buyer(buyer.phone, made["id"]).phone.start(made["id"])
    await Buyer(buyer.phone, made["id"]).hears("Ромашка")


async def test_a_tenant_served_alone_is_polled_from_the_moment_it_has_a_bot(
    house: House, buyer: Buyer
) -> None:
    """Until then nobody is: the sales bot belongs to the worker of all."""
    await house.pay(await buyer.orders("Ромашка"))
    await house.idle()
    alone = house.settings.model_copy(update={"client_id": "client_001", "webhook_url": ""})
    before = len(house.simulator.get("/telegram/control/log", method="getUpdates"))
    async with a_worker(alone):
        made = await buyer.creates()

        async def polled() -> list[int] | None:
            log = house.simulator.get("/telegram/control/log", method="getUpdates")
            return sorted({call["bot"] for call in log[before:]}) or None

        assert await found(polled, "the new bot is polled") == [made["id"]]
