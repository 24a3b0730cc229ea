"""A ledger of a test's own, on real PostgreSQL; at the end every invariant is asked for."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import LiteralString, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger_invariants import broken_invariants
from own_settings import settings_for
from shared_servers import Servers
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Answer, Item, Posted, Rules, Verb
from zapisano.credits.store import movements as store
from zapisano.db import Database, ledger, open_database
from zapisano.settings import Settings

Witness = asyncpg.Connection
Thing = TypeVar("Thing")
D = Decimal  # amounts stand in every other line
RULES = Rules(
    floor=D("-5.00"),
    threshold=D("10.00"),
    opening=D("50.00"),
    test_opening=D("100.00"),
    test_accounts=frozenset({"test@doctor-opus.ru", "support@doctor-opus.ru"}),
)
ANNA, BORIS = "anna@example.org", "boris@example.org"


@dataclass
class Wallets:
    """A ledger, its clock, and the second connection."""

    settings: Settings
    database: Database
    witness: "asyncpg.Connection[asyncpg.Record]"
    now: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC)
    rules: Rules = RULES
    ledger: Ledger = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = self.another()

    def another(self) -> Ledger:
        """One more ledger on the same database, as another process would have."""
        return Ledger(self.database, self.rules, lambda: self.now)

    def later(self, **by: float) -> datetime:
        return self.now + timedelta(**by)

    async def pass_time(self, **by: float) -> None:
        self.now = self.later(**by)

    async def charge(self, email: str, amount: str, key: str | None = None) -> Posted:
        return await self.ledger.post(charge(email, amount, key))

    async def top_up(self, email: str, amount: str) -> Posted:
        return await self.ledger.post(Item(email, Verb.TOPUP, D(amount), operation="Top-up"))

    async def grant(self, email: str, amount: str, **lasts: float) -> Posted:
        """A grant that ends after `lasts`, or never."""
        ends = self.later(**lasts) if lasts else None
        item = Item(email, Verb.GRANT, D(amount), operation="Gift", expires_at=ends)
        return await self.ledger.post(item)

    async def hold(self, email: str, amount: str, key: str | None = None, **lasts: float) -> UUID:
        ends = self.later(**(lasts or {"hours": 1}))
        item = Item(
            email, Verb.HOLD, D(amount), operation="Hold", hold=uuid4(), expires_at=ends, key=key
        )
        posted = await self.ledger.post(item)
        assert posted.hold is not None
        return posted.hold

    async def settle(
        self,
        email: str,
        hold: UUID,
        amount: str,
        key: str | None = None,
        *,
        partial: bool = False,
    ) -> Posted:
        item = Item(email, Verb.SETTLE, D(amount), hold=hold, key=key, partial=partial)
        return await self.ledger.post(item)

    async def release(self, email: str, hold: UUID, key: str | None = None) -> Posted:
        return await self.ledger.post(Item(email, Verb.RELEASE, hold=hold, key=key))

    async def refund(
        self, email: str, movement: int, amount: str, key: str | None = None
    ) -> Posted:
        return await self.ledger.post(Item(email, Verb.REFUND, D(amount), refers=movement, key=key))

    async def batch(self, *items: Item) -> list[Answer]:
        """One batch, with nothing put right."""
        async with self.database.statements() as conn:
            return await store.post(conn, self.rules, items, self.now)

    async def balance(self, email: str) -> Decimal:
        """What has been committed."""
        return await self.value(
            "SELECT balance FROM public.user_balances WHERE credits.fold(email) = credits.fold($1)",
            email,
        )

    async def value(self, question: LiteralString, *values: object) -> Decimal:
        found = await self.witness.fetchval(question, *values)
        assert found is not None
        return found

    async def kinds(self, email: str) -> list[str]:
        """What was posted, in order: `charge -1.50`."""
        rows = await self.witness.fetch(
            """SELECT p.kind || ' ' || p.amount AS said FROM credits.postings AS p
               JOIN public.user_balances AS a ON a.id = p.account
               WHERE credits.fold(a.email) = credits.fold($1) ORDER BY p.movement""",
            email,
        )
        return [row["said"] for row in rows]


def charge(email: str, amount: str, key: str | None = None) -> Item:
    return Item(email, Verb.CHARGE, D(amount), operation="Анализ ЭКГ", key=key)


async def install(database: Database) -> None:
    """Bring a test's database to the head of the credits."""
    async with database.owner() as conn:
        await ledger.upgrade(conn)


@pytest.fixture(scope="session")
def ledger_template(
    servers: Servers, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A database at the head of both chains, to be cloned for each test."""
    name = f"ledger_{secrets.token_hex(6)}"

    async def prepare() -> None:
        async with _admin(servers) as admin:
            await admin.execute(
                f"CREATE DATABASE {name} TEMPLATE {template_database} OWNER booking_user"
            )
        settings = settings_for(servers.postgres.dsn(name), tmp_path_factory.mktemp("data"))
        database = await open_database(settings)
        await install(database)
        await database.close()

    async def drop() -> None:
        async with _admin(servers) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    asyncio.run(prepare())
    yield name
    asyncio.run(drop())


@asynccontextmanager
async def _admin(servers: Servers) -> AsyncGenerator[Witness]:
    connection = await asyncpg.connect(servers.postgres.dsn("postgres", user="postgres"))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def ledger_settings(
    servers: Servers, ledger_template: str, tmp_path: Path
) -> AsyncGenerator[Settings]:
    """Settings of a fresh database with an empty ledger."""
    name = f"test_{secrets.token_hex(6)}"
    async with _admin(servers) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {ledger_template} OWNER booking_user")
        try:
            yield settings_for(servers.postgres.dsn(name), tmp_path)
        finally:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def wallets(ledger_settings: Settings) -> AsyncGenerator[Wallets]:
    """A ledger with nobody in it; whatever a test did to it, the invariants hold afterwards."""
    database = await open_database(ledger_settings)
    witness = await asyncpg.connect(ledger_settings.database_url.get_secret_value())
    ours = Wallets(ledger_settings, database, witness)
    try:
        yield ours
        await ours.ledger.close()
        broken = await broken_invariants(witness)
        assert not broken, broken
    finally:
        await witness.close()
        await database.close()
