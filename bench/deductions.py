"""Deductions in this process, and the two baselines: pgbench's one statement, and one statement."""

import asyncio
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

import asyncpg

from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Item, Rules, Verb
from zapisano.db import Database
from zapisano.stack import binaries

WAITING = 256
CLIENTS = 16
ALONE = 1_000
PENNY = Decimal("0.01")
OPERATION = "Анализ ЭКГ"
METADATA = '{"model": "anthropic/claude-opus-4.6", "tokens": {"input": 1000, "output": 500}}'
ACCOUNTS = 10_000
BALANCE = 10_000_000
# The documented tables without a ledger under them, for the baselines.
PLAIN_TABLES = """
    CREATE SCHEMA plain;
    CREATE TABLE plain.user_balances (
        id SERIAL PRIMARY KEY,
        email VARCHAR(255) UNIQUE NOT NULL,
        balance DECIMAL(10,2) DEFAULT 50.00 CHECK (balance >= -5.00),
        total_spent DECIMAL(10,2) DEFAULT 0.00,
        is_test_account BOOLEAN DEFAULT true,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
        updated_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
    );
    CREATE INDEX ON plain.user_balances (email);
    CREATE TABLE plain.credit_transactions (
        id SERIAL PRIMARY KEY,
        email VARCHAR(255) NOT NULL,
        amount DECIMAL(10,2) NOT NULL,
        operation TEXT NOT NULL,
        metadata JSONB,
        balance_after DECIMAL(10,2) NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP
    );
    CREATE INDEX ON plain.credit_transactions (email, created_at DESC);
"""
ONE_STATEMENT = """
    WITH paid AS (
        UPDATE plain.user_balances
        SET balance = balance - {amount}, total_spent = total_spent + {amount}, updated_at = now()
        WHERE email = {email} AND balance - {amount} >= -5 RETURNING email, balance
    )
    INSERT INTO plain.credit_transactions (email, amount, operation, metadata, balance_after)
    SELECT email, {amount}, {operation}, {metadata}, balance FROM paid RETURNING balance_after
"""


def address(number: int) -> str:
    """Name the n-th account."""
    return f"user{number}@example.com"


async def fill(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Make the baseline's tables, and as many accounts in them as in the ledger."""
    await admin.execute(PLAIN_TABLES)
    for table in ("plain.user_balances", "public.user_balances"):
        await admin.execute(
            f"INSERT INTO {table} (email, balance, total_spent, is_test_account)"
            f" SELECT 'user' || n || '@example.com', {BALANCE}, 0, false"
            f" FROM generate_series(1, {ACCOUNTS}) AS n"
        )
    await admin.execute("SELECT credits.adopt()")


async def in_process(database: Database, accounts: int, count: int) -> float:
    """Deduct `count` times, 256 waiting at each instant; return deductions a second."""
    ledger = Ledger(database, _rules(), lambda: datetime.now(UTC))
    draw = random.Random(accounts)
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await ledger.post(_charge(draw.randint(1, accounts)))

    await ledger.post(_charge(1))  # the connection is there, its plans are made
    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(WAITING)))
    spent = time.perf_counter() - began
    await ledger.close()
    return count / spent


def _rules() -> Rules:
    return Rules(Decimal(-5), None, Decimal(50), Decimal(100), frozenset())


def _charge(number: int) -> Item:
    return Item(address(number), Verb.CHARGE, PENNY, operation=OPERATION, metadata=METADATA)


def pgbench(dsn: str, accounts: int, seconds: int) -> float:
    """Let 16 clients of pgbench do the one statement; return how often they did in a second."""
    parts, script = urlsplit(dsn), ONE_STATEMENT.format(
        email="'user'||:n||'@example.com'",
        amount=PENNY,
        operation=f"'{OPERATION}'",
        metadata=f"'{METADATA}'",
    )  # fmt: skip
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(f"\\set n random(1, {accounts})\n{' '.join(script.split())};\n")
        file.flush()
        done = subprocess.run(
            [
                str(binaries.postgres_programs(binaries.postgres_package()) / "pgbench"),
                "--no-vacuum",
                "--protocol=prepared",
                f"--client={CLIENTS}",
                f"--time={seconds}",
                f"--file={file.name}",
                f"--host={parts.hostname}",
                f"--port={parts.port}",
                f"--username={parts.username}",
                parts.path.lstrip("/"),
            ],
            env={**os.environ, "PGPASSWORD": parts.password or ""},
            capture_output=True,
            text=True,
            check=True,
        )
    line = next(line for line in done.stdout.splitlines() if line.startswith("tps"))
    return float(line.split()[2])


async def alone(database: Database, dsn: str) -> tuple[float, float]:
    """Take a deduction and the one statement in turn; return both medians in seconds."""
    ledger = Ledger(database, _rules(), lambda: datetime.now(UTC))
    raw = await asyncpg.connect(dsn)
    sql = ONE_STATEMENT.format(
        email="$1", amount="$2::numeric", operation="$3::text", metadata="$4::jsonb"
    )
    try:
        return await _medians(
            [
                lambda: ledger.post(_charge(1)),
                lambda: raw.fetchval(sql, address(1), PENNY, OPERATION, METADATA),
            ]
        )
    finally:
        await raw.close()
        await ledger.close()


async def _medians(
    ways: Sequence[Callable[[], Coroutine[None, None, object]]],
) -> tuple[float, float]:
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(ALONE):
        for way, seconds in zip(ways, spent, strict=True):
            began = time.perf_counter()
            await way()
            seconds.append(time.perf_counter() - began)
    ours, theirs = (statistics.median(seconds) for seconds in spent)
    return ours, theirs


async def pile_up(dsn: str, postings: int) -> None:
    """Write so many postings as if the accounts had been charged long ago; rows of real size."""
    raw = await asyncpg.connect(dsn)
    try:
        await raw.execute(
            """CREATE TEMPORARY TABLE piled AS
               SELECT a.id AS account, a.email, nextval('credits.movements') AS movement,
                   nextval('public.credit_transactions_id_seq') AS transaction
               FROM generate_series(1, $1::bigint) AS n
               JOIN public.user_balances AS a ON a.email = 'user' || 1 + n % $2 || '@example.com'
            """.replace("$1", str(postings // 2)).replace("$2", str(ACCOUNTS))
        )
        await raw.execute(
            f"""INSERT INTO public.credit_transactions
                    (id, email, amount, operation, metadata, balance_after, movement)
                SELECT transaction, email, 0.01, '{OPERATION}', '{METADATA}', 1000, movement
                FROM piled"""
        )
        await raw.execute(
            """INSERT INTO credits.postings (account, movement, amount, counter, kind,
                   balance_after, remainder, transaction, created_at, link)
               SELECT account, movement, -0.01, -1, 'charge', 1000, 0, transaction,
                   '2025-01-01', sha256(movement::text::bytea) FROM piled"""
        )
        await raw.execute(
            """INSERT INTO credits.postings (account, movement, amount)
               SELECT -1, movement, 0.01 FROM piled"""
        )
    finally:
        await raw.close()
