"""Ask a server what it is, before anything relies on it: what `zapisano doctor` looks at.

Connections here are bare, with none of our session settings, since a connection pooler may refuse
those; everything is asked inside transactions, since a pooler may mix up what is outside them.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from zapisano.db.connection import OwnerConnection, RawConnection
from zapisano.db.pool import CONNECT_TIMEOUT_SECONDS, explained, for_driver

ROUNDS = 20


@asynccontextmanager
async def bare_transaction(dsn: str) -> AsyncGenerator[OwnerConnection]:
    """Open a transaction on a connection without session settings.

    Raises:
        Busy: the server cannot be reached or refuses the login.
        BrokenSetting: the address cannot be read.
    """
    raw = await _bare(dsn)
    try:
        async with raw.transaction():
            yield OwnerConnection(raw)
    finally:
        await raw.close(timeout=5)


async def backends_are_shared(dsn: str) -> bool:
    """Say whether a transaction pooler stands between us and PostgreSQL.

    PostgreSQL gives each connection a process of its own for life. Behind a transaction pooler one
    connection meets several processes, or two open connections meet the same one. Neither can
    happen without a pooler, or behind one that pools sessions or only forwards.
    """
    first = await _bare(dsn)
    try:
        second = await _bare(dsn)
        try:
            mine = {await _process(first) for _ in range(ROUNDS)}
            others = {await _process(second) for _ in range(ROUNDS)}
        finally:
            await second.close(timeout=5)
    finally:
        await first.close(timeout=5)
    return len(mine) > 1 or len(others) > 1 or bool(mine & others)


async def _bare(dsn: str) -> RawConnection:
    with explained():
        return await asyncpg.connect(
            for_driver(dsn), timeout=CONNECT_TIMEOUT_SECONDS, statement_cache_size=0
        )


async def _process(raw: RawConnection) -> int:
    async with raw.transaction():
        return int(await raw.fetchval("SELECT pg_backend_pid()"))
