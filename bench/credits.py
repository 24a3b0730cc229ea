"""What a deduction costs: alone, many at once, over HTTP, and on a ledger that is full already."""

import statistics
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from bench import deductions, over_http
from bench.deductions import ACCOUNTS
from bench.figures import Figure
from zapisano.db import Database, open_alone
from zapisano.db import ledger as chain
from zapisano.db.database import database_name
from zapisano.settings import Settings

ROUNDS = 3
COUNT = 60_000
PGBENCH_SECONDS = 4
POSTINGS = 5_000_000


async def deduction_figures(
    settings: Settings, admin_dsn: str, postings: int
) -> AsyncGenerator[list[Figure]]:
    """Measure everything on one database, and yield the figures as they come."""
    dsn = settings.database_url.get_secret_value()
    async with _opened(settings) as database:
        async with chain.migrating(database) as conn:
            await deductions.fill(conn.raw)
        await _vacuum(dsn)
        ours, alone, bench = await _in_process(database, dsn)
        yield [alone, *_beside(ours, bench)]
    yield await _slow_commits(settings, admin_dsn)
    yield await _over_http(dsn)
    await deductions.pile_up(dsn, postings)
    await _vacuum(dsn)
    async with _opened(settings) as database:
        full = {n: await _median(database, n) for n in ours}
        yield [
            Figure(f"{_where(n)}, {postings:,} postings there before", f"{full[n]:,.0f}/s",
                   f"{ours[n]:,.0f}/s on an empty ledger", full[n] / ours[n])
            for n in ours
        ]  # fmt: skip


async def _in_process(
    database: Database, dsn: str
) -> tuple[dict[int, float], Figure, dict[int, float]]:
    """Take ours and pgbench in turn, so that a noisy minute meets both."""
    alone: list[tuple[float, float]] = []
    ours: dict[int, list[float]] = {1: [], ACCOUNTS: []}
    theirs: dict[int, list[float]] = {1: [], ACCOUNTS: []}
    for _ in range(ROUNDS):
        alone.append(await deductions.alone(database, dsn))
        for n in (1, ACCOUNTS):
            theirs[n].append(deductions.pgbench(dsn, n, PGBENCH_SECONDS))
            ours[n].append(await deductions.in_process(database, n, COUNT))
    single, one = sorted(alone, key=lambda pair: pair[0] / pair[1])[ROUNDS // 2]
    figure = Figure(
        "a deduction alone, p50",
        f"{single * 1e6:,.0f} µs",
        f"{one * 1e6:,.0f} µs for one asyncpg statement",
        single / one,
    )
    return _medians(ours), figure, _medians(theirs)


def _medians(rates: dict[int, list[float]]) -> dict[int, float]:
    return {n: statistics.median(seen) for n, seen in rates.items()}


async def _median(database: Database, accounts: int) -> float:
    rates = [await deductions.in_process(database, accounts, COUNT) for _ in range(ROUNDS)]
    return statistics.median(rates)


def _beside(ours: dict[int, float], bench: dict[int, float], how: str = "") -> list[Figure]:
    return [
        Figure(
            f"{_where(n)}{how}",
            f"{ours[n]:,.0f}/s",
            f"{bench[n]:,.0f}/s of pgbench's one statement",
            ours[n] / bench[n],
        )
        for n in ours
    ]


def _where(accounts: int) -> str:
    return f"deductions on {'one account' if accounts == 1 else f'{accounts:,} accounts'}"


async def _slow_commits(settings: Settings, admin_dsn: str) -> list[Figure]:
    """Make every commit 2 ms slower, as a cloud's disk does."""
    dsn = settings.database_url.get_secret_value()
    name = database_name(dsn)
    admin = await asyncpg.connect(admin_dsn)
    try:
        await admin.execute(f"ALTER DATABASE {name} SET commit_delay = 2000")
        await admin.execute(f"ALTER DATABASE {name} SET commit_siblings = 0")
        theirs = {1: deductions.pgbench(dsn, 1, PGBENCH_SECONDS)}
        async with _opened(settings) as database:
            ours = {1: await deductions.in_process(database, 1, COUNT // 2)}
    finally:
        await admin.execute(f"ALTER DATABASE {name} RESET ALL")
        await admin.close()
    return _beside(ours, theirs, ", commits 2 ms slower")


async def _over_http(dsn: str) -> list[Figure]:
    rates: dict[str, list[float]] = {"ours": [], "bare": [], "usual": []}
    for _ in range(ROUNDS):
        for which, seen in rates.items():
            seen.append(await over_http.requests_a_second(which, dsn))
    ours, bare, usual = (statistics.median(seen) for seen in rates.values())
    return [
        Figure(
            "deductions over HTTP, one account, one process",
            f"{ours:,.0f}/s",
            f"{bare:,.0f}/s of an endpoint that asks no database",
            ours / bare,
        ),
        Figure(
            "deductions over HTTP, one account, one process",
            f"{ours:,.0f}/s",
            f"{usual:,.0f}/s in five round trips with FOR UPDATE",
            ours / usual,
        ),
    ]


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[Database]:
    database = open_alone(settings)
    try:
        yield database
    finally:
        await database.close()


async def _vacuum(dsn: str) -> None:
    raw = await asyncpg.connect(dsn)
    await raw.execute("VACUUM ANALYZE")
    await raw.close()
