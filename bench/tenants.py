"""What a tenant costs: to be made, to be entered, and to be remembered by the server."""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncGenerator, Sequence

from bench.cluster import server_memory
from bench.figures import Figure
from zapisano.db import Database, open_database
from zapisano.db.names import quoted, tenant_role, tenant_schema
from zapisano.settings import Settings
from zapisano.tenancy import provision, register
from zapisano.tenancy.seed import seed

WARM_UP = 300
SWITCHES = 3_000
TRANSACTIONS = 6_000
AT_ONCE = 8
SAMPLE = 100


async def provisioning(settings: Settings, count: int) -> AsyncGenerator[tuple[int, list[Figure]]]:
    """Make `count` tenants and say at 10, 100 and `count` what they cost until there."""
    database = await open_database(settings)
    try:
        made, spent = 0, 0.0
        for target in sorted({min(10, count), min(100, count), count}):
            alone = [await _one(database) for _ in range(min(SAMPLE, (target - made + 1) // 2))]
            before = time.perf_counter()
            rest = target - made - len(alone)
            await seed(database, await _seeded(database) + rest, lambda _done: None)
            batched = time.perf_counter() - before
            spent += sum(alone) + batched
            made = target
            yield target, [_provisioning(target, alone, batched / rest if rest else 0.0)]
    finally:
        await database.close()


def _provisioning(target: int, alone: Sequence[float], batched: float) -> Figure:
    each = statistics.median(alone)
    return Figure(
        f"provision a tenant as the worker does, up to {target} tenants",
        f"{each * 1000:.1f} ms",
        f"{batched * 1000:.1f} ms in batches of 20",
        each / batched if batched else float("nan"),
    )


async def _one(database: Database) -> float:
    before = time.perf_counter()
    async with database.shared() as conn:
        tenant = await register(conn, name="Салон", owner_id=1)
    await provision(database, tenant.id)
    return time.perf_counter() - before


async def _seeded(database: Database) -> int:
    async with database.shared() as conn:
        return int(await conn.fetchval("SELECT count(id) FROM shared.tenants WHERE owner_id = 0"))


async def names(database: Database) -> list[str]:
    """Return the tenants that have a schema."""
    async with database.shared() as conn:
        rows = await conn.fetch("SELECT schema_name FROM shared.tenant_versions ORDER BY 1")
    return [row["schema_name"] for row in rows]


async def role_switch(settings: Settings, count: int) -> list[Figure]:
    """Compare entering a tenant with and without taking its role, on one warm connection."""
    database = await open_database(settings)
    raw = await database.session("zapisano-bench")
    try:
        schemas = [tenant_schema(name) for name in await names(database)]
        entries = {
            schema: (
                begin := "BEGIN; SET LOCAL search_path TO " + quoted(schema),
                begin + "; SET LOCAL ROLE " + quoted(tenant_role(database.name, schema)),
            )
            for schema in schemas
        }
        before = time.perf_counter()
        await raw.execute(entries[schemas[0]][1])
        first = time.perf_counter() - before
        await raw.execute("COMMIT")
        spent: dict[int, list[float]] = {0: [], 1: []}
        # In turns, so that whatever else this machine does falls on both alike.
        for number in range(WARM_UP + SWITCHES):
            schema = random.choice(schemas)
            for kind in (0, 1):
                before = time.perf_counter()
                await raw.execute(entries[schema][kind])
                await raw.fetchval("SELECT 1")
                await raw.execute("COMMIT")
                if number >= WARM_UP:
                    spent[kind].append(time.perf_counter() - before)
    finally:
        await raw.close()
        await database.close()
    without, with_role = (statistics.median(spent[kind]) for kind in (0, 1))
    return [
        Figure(
            f"empty transaction with SET LOCAL ROLE, {count} tenants",
            f"{with_role * 1e6:.0f} µs",
            f"{without * 1e6:.0f} µs with search_path alone",
            with_role / without,
        ),
        Figure(
            f"first role switch on a connection, {count} tenants",
            f"{first * 1000:.2f} ms",
            f"{with_role * 1e6:.0f} µs for a later transaction",
            first / with_role,
        ),
    ]


async def pool(settings: Settings, admin_dsn: str, count: int) -> list[Figure]:
    """Compare reading in one tenant with reading in all of them, through the product's pool."""
    one, one_memory, one_processes = await _through_the_pool(settings, admin_dsn, only=1)
    many, memory, processes = await _through_the_pool(settings, admin_dsn, only=count)
    return [
        Figure(
            f"transactions in {count} tenants in turn, {AT_ONCE} at once",
            f"{many:.0f}/s",
            f"{one:.0f}/s in one tenant",
            many / one,
        ),
        Figure(
            f"server memory of {processes} connections after {count} tenants",
            f"{memory / 2**20:.1f} MiB",
            f"{one_memory / 2**20:.1f} MiB of {one_processes} after one tenant",
            memory / one_memory if one_memory else float("nan"),
        ),
    ]


async def _through_the_pool(
    settings: Settings, admin_dsn: str, *, only: int
) -> tuple[float, int, int]:
    database = await open_database(settings)
    try:
        schemas = (await names(database))[:only]
        left = iter([random.choice(schemas) for _ in range(TRANSACTIONS)])

        async def work() -> None:
            for schema in left:
                async with database.tenant(schema) as conn:
                    await conn.fetch("SELECT id, name, price FROM services WHERE active")

        before = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        rate = TRANSACTIONS / (time.perf_counter() - before)
        processes, memory = await server_memory(admin_dsn, database.name)
    finally:
        await database.close()
    return rate, memory, processes
