"""A job process for tests of the runner: it does one kind of job and writes what it did.

usage: job_worker.py; settings come from the environment; a job says whether to hang or to fail.
"""

import asyncio
import os
import signal
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from zapisano.db import Database, open_database
from zapisano.errors import Refused, Upstream
from zapisano.jobs import Handlers, Job, Runner
from zapisano.settings import load


@dataclass(frozen=True)
class Errand(Job):
    """A job whose name says how it goes."""

    kind: ClassVar[str] = "test.errand"

    name: str
    how: str = "well"


async def until_the_disk_is_full(database: Database) -> None:
    """Be in flight when that happens, and fail of it."""
    while True:
        async with database.shared() as conn:
            if await conn.fetchval("SELECT to_regproc('shared.no_room') IS NOT NULL"):
                await conn.execute("DO $$ BEGIN RAISE EXCEPTION SQLSTATE '53100'; END $$")
        await asyncio.sleep(0.05)


async def do(database: Database, errand: Errand) -> None:
    """Write that it was started, then go as told."""
    async with database.shared() as conn:
        row = await conn.fetchrow(
            """INSERT INTO shared.errands (name, starts) VALUES ($1, 1)
               ON CONFLICT (name) DO UPDATE SET starts = errands.starts + 1
               RETURNING starts, mended""",
            errand.name,
        )
    assert row is not None
    starts, mended = row
    match errand.how:
        case "hang once" if starts == 1:
            await asyncio.sleep(3600)
        case "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        case "away twice" if starts <= 2:
            raise Upstream
        case "told to wait":
            raise Upstream(retry_after_seconds=600)
        case "refused":
            raise Refused
        case "no room" if not mended:
            await until_the_disk_is_full(database)
        case "bug" if not mended:
            raise ZeroDivisionError
        case "no file":
            raise FileNotFoundError
        case "wrong call":
            async with database.shared() as conn:
                await conn.execute("SELECT $1::int, $2::int", 1)
        case _:
            pass
    async with database.shared() as conn:
        await conn.execute("UPDATE shared.errands SET done = true WHERE name = $1", errand.name)


async def main() -> None:
    """Run until SIGTERM."""
    database = await open_database(load())
    handlers = Handlers()
    handlers.on(Errand, lambda errand: do(database, errand))
    runner = Runner(database, handlers, lambda: datetime.now(UTC))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, runner.stop)
    await runner.run(lambda: None)
    await database.close()


if __name__ == "__main__":
    asyncio.run(main())
