"""The pool: few connections, known tenants preferred, memory bounded, waiting in order."""

import asyncio
import subprocess
import sys

import asyncpg
import pytest

from zapisano.db import open_alone, open_database
from zapisano.db.connection import RawConnection
from zapisano.db.pool import Pool
from zapisano.errors import Busy
from zapisano.settings import Settings


def pool(dsn: str, *, size: int = 2, tenants: int = 3) -> Pool:
    return Pool(dsn, size=size, tenants_per_connection=tenants, statement_cache=16)


async def backend(of: Pool, tenant: str = "") -> int:
    async with of.acquire(tenant) as raw:
        return raw.get_server_pid()


async def test_a_tenant_comes_back_to_the_connection_that_knows_it(dsn: str) -> None:
    small = pool(dsn)
    async with small.acquire("client_001") as one, small.acquire("client_002") as two:
        first, second = one.get_server_pid(), two.get_server_pid()
    assert [await backend(small, t) for t in ("client_002", "client_001", "client_002")] == [
        second,
        first,
        second,
    ]
    await small.close()


async def test_affinity_is_soft(dsn: str) -> None:
    small = pool(dsn)
    async with small.acquire("client_001") as held:
        assert await backend(small, "client_001") != held.get_server_pid()
    await small.close()


async def test_a_connection_that_met_enough_tenants_is_closed(dsn: str) -> None:
    small = pool(dsn, size=1, tenants=3)
    pids = [await backend(small, f"client_00{n}") for n in (1, 2, 3, 4)]
    assert pids[0] == pids[1] == pids[2] != pids[3]
    await small.close()


async def test_those_who_wait_are_served_in_order(dsn: str) -> None:
    small = pool(dsn, size=1)
    served: list[int] = []

    async def one(number: int) -> None:
        async with small.acquire() as raw:
            await raw.execute("SELECT 1")
            served.append(number)

    await asyncio.gather(*(one(n) for n in range(20)))
    assert served == list(range(20))
    await small.close()


async def test_what_is_acknowledged_is_on_the_disk_whatever_the_databases_default(
    settings: Settings, dsn: str
) -> None:
    raw = await asyncpg.connect(dsn)
    name = await raw.fetchval("SELECT current_database()")
    await raw.execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    await raw.close()
    database = open_alone(settings)
    try:
        async with database.statements() as conn:
            assert await conn.fetchval("SHOW synchronous_commit") == "on"
        async with database.shared() as conn:
            assert await conn.fetchval("SHOW synchronous_commit") == "on"
    finally:
        await database.close()


async def test_a_broken_connection_is_replaced(dsn: str) -> None:
    small = pool(dsn, size=1)
    broken: list[RawConnection] = []
    async with small.acquire() as raw:
        broken.append(raw)
        raw.terminate()
    async with small.acquire() as raw:
        assert raw is not broken[0]
        assert await raw.fetchval("SELECT 1") == 1
    await small.close()


@pytest.mark.parametrize("trusted_seconds", [30, 0])
async def test_who_slept_while_the_server_hung_up_gets_another_connection(
    dsn: str, trusted_seconds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zapisano.db.pool.TRUSTED_SECONDS", trusted_seconds)
    small = pool(dsn, size=1)
    first = await backend(small)
    assert await backend(small) == first
    hang_up = f"""import asyncio, asyncpg
async def hang_up():
    conn = await asyncpg.connect({dsn!r})
    assert await conn.fetchval("SELECT pg_terminate_backend({first}, 5000)")
    await conn.close()
asyncio.run(hang_up())"""
    subprocess.run([sys.executable, "-c", hang_up], check=True)  # noqa: ASYNC221 # we sleep
    async with small.acquire() as raw:
        assert await raw.fetchval("SELECT pg_backend_pid()") != first
    await small.close()


async def test_what_only_other_drivers_understand_is_left_out(dsn: str) -> None:
    neons = pool(f"{dsn}?sslmode=prefer&channel_binding=require", size=1)
    assert await backend(neons) > 0
    await neons.close()


async def test_an_unreachable_server_is_said_in_one_sentence() -> None:
    away = pool("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Busy, match="not answering"):
        await backend(away)


async def test_a_tenant_that_cannot_be_entered_spoils_no_connection(settings: Settings) -> None:
    alone = await open_database(settings.model_copy(update={"database_pool_size": 2}))
    for _ in range(3):
        with pytest.raises(Busy, match="cannot be entered"):
            async with alone.tenant("client_999"):
                pass
    async with alone.shared() as one, alone.shared() as two:
        assert (await one.fetchval("SELECT 1"), await two.fetchval("SELECT 1")) == (1, 1)
    await alone.close()


async def test_a_connection_left_inside_a_transaction_is_closed(dsn: str) -> None:
    small = pool(dsn, size=1)
    async with small.acquire() as raw:
        await raw.execute("BEGIN")
        left = raw.get_server_pid()
    assert await backend(small) != left
    await small.close()
