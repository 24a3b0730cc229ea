"""A ledger to write in: installed on the test's own database, at an hour that the test sets."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from zapisano.credits import ledger
from zapisano.credits.model import LOWEST_FLOOR, Account, Item, Posted, Rules, Verb
from zapisano.db import Database

Witness = asyncpg.Connection
ANNA, BORIS = "anna@example.com", "boris@example.com"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
RULES = Rules(LOWEST_FLOOR, None, Decimal("50.00"), Decimal("100.00"), frozenset())


@dataclass
class Book:
    """The ledger, and what the tests do with it."""

    database: Database
    now: datetime = NOON

    async def post(self, email: str, verb: Verb, amount: str | None = None, **more: Any) -> Posted:
        """Move credits; the operation is the verb's name, if the test does not care."""
        asked: dict[str, Any] = {"operation": verb.value, **more}
        item = Item(email, verb, None if amount is None else Decimal(amount), **asked)
        async with self.database.shared() as conn:
            return await ledger.post(conn, RULES, item, self.now)

    async def account(self, email: str) -> Account:
        async with self.database.shared() as conn:
            return await ledger.account(conn, RULES, email, self.now)

    async def hold(self, email: str, amount: str, hours: int = 1) -> UUID:
        hold = uuid4()
        ends = self.now + timedelta(hours=hours)
        await self.post(email, Verb.HOLD, amount, hold=hold, expires_at=ends)
        return hold

    async def a_bit_of_everything(self, email: str = ANNA) -> None:
        """Every kind of movement: a hold settled, one released, one expired; a grant that ends."""
        await self.post(email, Verb.TOPUP, "20.00", key="topup")
        charge = await self.post(email, Verb.CHARGE, "7.50", metadata='{"tokens": 1.10}')
        await self.post(email, Verb.REFUND, "2.50", refers=charge.movement)
        for cost in ("0.004", "0.009"):
            await self.post(email, Verb.CHARGE, cost=Decimal(cost), operation="tokens")
        ends = self.now + timedelta(hours=2)
        await self.post(email, Verb.GRANT, "10.00", expires_at=ends)
        await self.post(email, Verb.GRANT, "1.00")
        settled = await self.hold(email, "4.00")
        await self.post(email, Verb.SETTLE, "3.00", hold=settled)
        released = await self.hold(email, "1.00")
        await self.post(email, Verb.RELEASE, hold=released)
        await self.hold(email, "2.00")
        await self.post(email, Verb.ADJUST, "-1.00")
        self.now += timedelta(days=1)
        await self.post(email, Verb.CHARGE, "1.00")


@pytest.fixture
def book(with_ledger: None, database: Database) -> Book:
    """An empty ledger."""
    return Book(database)


async def the_original(witness: Witness, *charges: tuple[str, str, datetime | None]) -> None:
    """The documented tables as the system before us has left them: charges by address."""
    from zapisano.db.migrations.credits.versions import c0001_the_ledger as first

    for statement in first.DOCUMENTED:
        await witness.execute(statement)
    for email, amount, at in charges:
        await witness.execute(
            """INSERT INTO user_balances (email) VALUES ($1) ON CONFLICT DO NOTHING""", email
        )
        await witness.execute(
            """INSERT INTO credit_transactions
                   (email, amount, operation, balance_after, created_at)
               VALUES ($1, $2, 'Анализ ЭКГ', 40.00, $3)""",
            email,
            Decimal(amount),
            at,
        )
