"""Updates a second through one worker process, for one tenant and for many, side by side."""

import asyncio
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bench.cluster import proportional_memory
from bench.figures import Figure
from bench.processes import listening
from zapisano.bots import inbox, store
from zapisano.db import Database, SharedConnection
from zapisano.jobs import Runner
from zapisano.settings import Settings
from zapisano.tenancy import State, TenantId
from zapisano.tenancy import store as tenants
from zapisano.vault import Vault
from zapisano.worker import handlers_of, open_parts

UPDATES = 2_000
ROUNDS = 3
PEOPLE = 500
FIRST_BOT = 7_000_000_000


async def updates(settings: Settings) -> list[Figure]:
    """Tap buttons in one tenant's bot and in all tenants' bots, in turn; compare the medians."""
    with listening("bench.telegram") as port:
        base = f"http://127.0.0.1:{port}"
        ours = settings.model_copy(update={"telegram_api_base": base, "webhook_url": base})
        async with open_parts(ours, lambda: datetime.now(UTC)) as parts:
            bots = await _attach_all(parts.database, Vault(ours))
            vault, number = Vault(ours), 0
            spent: dict[int, list[float]] = {1: [], len(bots): []}
            for _ in range(ROUNDS):
                for count, seconds in spent.items():
                    await _take_in(parts.database, vault, bots[:count], number)
                    number += UPDATES
                    runner = Runner(parts.database, handlers_of(parts), parts.now)
                    seconds.append(await _drain(parts.database, runner))
    return _figures(spent)


def _figures(spent: dict[int, list[float]]) -> list[Figure]:
    one, many = (UPDATES / sorted(seconds)[len(seconds) // 2] for seconds in spent.values())
    count, memory = max(spent), proportional_memory("self") / 1_048_576
    return [
        Figure(
            f"updates a second through one process, {count} tenants",
            f"{many:,.0f}/s",
            f"{one:,.0f}/s for 1 tenant",
            many / one,
        ),
        Figure(
            "memory of that process",
            f"{memory:.0f} MiB",
            "400 MiB at most",
            memory / 400,
        ),
    ]


async def _attach_all(database: Database, vault: Vault) -> Sequence[int]:
    """Give each tenant of the database a bot, as if it had been attached."""
    bots: list[int] = []
    async with database.shared() as conn:
        for each in await tenants.page(conn, after="", limit=1_000_000):
            tenant = each.tenant
            bots.append(await _attach(conn, vault, tenant.id, FIRST_BOT + len(bots)))
            await tenants.set_state(conn, tenant.id, State.ACTIVE)
    return bots


async def _attach(conn: SharedConnection, vault: Vault, tenant: TenantId, bot: int) -> int:
    await store.insert(
        conn,
        bot_id=bot,
        tenant_id=tenant,
        username=f"bench_{bot}_bot",
        token=vault.lock(f"{bot}:{'A' * 35}"),
        managed=False,
    )
    await store.set_attached(conn, bot, datetime.now(UTC))
    return bot


async def _take_in(database: Database, vault: Vault, bots: Sequence[int], first: int) -> None:
    async with database.shared() as conn:
        for number in range(first, first + UPDATES):
            bot = bots[number % len(bots)]
            await inbox.receive(conn, vault, bot, _tap(number, 1_000 + number % PEOPLE))


def _tap(number: int, person: int) -> dict[str, Any]:
    """A person presses an empty cell of a month: one statement, one answer, no message to pace."""
    return {
        "update_id": number,
        "callback_query": {
            "id": str(number),
            "from": {"id": person, "is_bot": False, "first_name": "Бенч", "language_code": "ru"},
            "chat_instance": "1",
            "data": "g:-",
        },
    }


async def _drain(database: Database, runner: Runner) -> float:
    """Run the worker until no update is left; return the seconds it took."""
    ready = asyncio.Event()
    running = asyncio.create_task(runner.run(ready.set))
    await ready.wait()
    before = time.perf_counter()
    while True:
        async with database.shared() as conn:
            left = await conn.fetchval(
                "SELECT count(id) FROM shared.pgqueuer WHERE entrypoint = 'bots.update'"
            )
        if left == 0:
            break
        await asyncio.sleep(0.02)
    spent = time.perf_counter() - before
    runner.stop()
    await running
    return spent
