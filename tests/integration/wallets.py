"""A ledger of a test's own, on real PostgreSQL; at the end every invariant is asked for."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import LiteralString, TypeVar
from uuid import UUID, uuid4

import asyncpg
import pytest

from ledger_invariants import broken_invariants
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Answer, Item, Posted, Rules, Verb
from zapisano.credits.store import movements as store
from zapisano.db import Database, ledger
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


@pytest.fixture
async def wallets(
    with_ledger: None, settings: Settings, database: Database, witness: Witness
) -> AsyncGenerator[Wallets]:
    """A ledger with nobody in it; whatever a test did to it, the invariants hold afterwards."""
    ours = Wallets(settings, database, witness)
    yield ours
    await ours.ledger.close()
    broken = await broken_invariants(witness)
    assert not broken, broken
