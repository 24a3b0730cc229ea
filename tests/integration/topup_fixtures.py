"""A person with an account of credits, in the shop of `payments_fixtures`."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pytest

from integration.payments_fixtures import Witness, now
from integration.yookassa_fixtures import Simulator
from zapisano.credits import ledger as credit_ledger
from zapisano.credits.model import Account, Rules
from zapisano.db import Database, ledger
from zapisano.payments import (
    CreditsOrder,
    Outcome,
    YooKassa,
    settle,
    top_up,
    topup_status,
)
from zapisano.payments import store as money
from zapisano.payments.model import OrderId
from zapisano.settings import Settings

ANNA, BORIS = "anna@example.ru", "boris@example.ru"


@dataclass(frozen=True)
class Payer:
    """Somebody signed in to the web app."""

    database: Database
    settings: Settings
    provider: YooKassa
    kassa: Simulator

    async def asks(
        self,
        amount: str = "500",
        *,
        email: str = ANNA,
        key: str | None = None,
        language: str = "ru",
    ) -> CreditsOrder:
        """Ask for a top-up; the answer says where to pay."""
        return await top_up(
            self.database,
            self.provider,
            self.settings,
            email=email,
            amount=Decimal(amount),
            key=key,
            language=language,
            now=now(),
        )

    async def pays(self, amount: str = "500", **other: str) -> tuple[CreditsOrder, str]:
        """Ask for a top-up and pay at YooKassa; nobody has told us yet."""
        order = await self.asks(amount, **other)
        assert order.payment_id is not None
        self.kassa.control("pay", {"payment_id": order.payment_id})
        return order, order.payment_id

    async def settles(self, payment_id: str, at: datetime | None = None) -> Outcome:
        return await settle(self.database, self.provider, self.settings, payment_id, at or now())

    async def order(self, order_id: str) -> CreditsOrder:
        async with self.database.shared() as conn:
            return await money.get_credits_order(conn, OrderId(order_id))

    async def status(self, order_id: str, *, email: str = ANNA) -> CreditsOrder:
        async with self.database.shared() as conn:
            return await topup_status(conn, email, order_id, now())

    async def account(self, email: str = ANNA) -> Account:
        async with self.database.statements() as conn:
            return await credit_ledger.account(conn, Rules.of(self.settings), email, now())


@pytest.fixture
async def payer(
    with_ledger: None, database: Database, settings: Settings, provider: YooKassa, kassa: Simulator
) -> AsyncGenerator[Payer]:
    """Somebody in a shop that has a ledger; Boris's account must stay as it is."""
    somebody = Payer(database, settings, provider, kassa)
    before = await somebody.account(BORIS)
    yield somebody
    if await _is_there(database):
        assert await somebody.account(BORIS) == before


async def _is_there(database: Database) -> bool:
    async with database.shared() as conn:
        return await ledger.is_installed(conn)


async def topups(witness: Witness) -> list[tuple[str, Decimal]]:
    """Every posting that has brought credits for money: whose, and how many."""
    rows = await witness.fetch(
        """SELECT a.email, p.amount FROM credits.postings AS p
           JOIN public.user_balances AS a ON a.id = p.account
           WHERE p.kind = 'topup' ORDER BY p.movement"""
    )
    return [(row[0], row[1]) for row in rows]


async def sums_to_zero(witness: Witness) -> bool:
    """Are both sides of every movement there, and is every balance the sum of its postings?"""
    both = await witness.fetchval("SELECT coalesce(sum(amount), 0) FROM credits.postings")
    wrong = await witness.fetchval(
        """SELECT count(*) FROM public.user_balances AS a WHERE a.balance <>
               (SELECT sum(p.amount) FROM credits.postings AS p WHERE p.account = a.id)"""
    )
    return (both, wrong) == (0, 0)


async def told_in_telegram(witness: Witness) -> int:
    """How many notices the bots were asked for, and tenants and paid periods there are."""
    count: int = await witness.fetchval(
        """SELECT (SELECT count(*) FROM shared.pgqueuer
                WHERE entrypoint NOT IN ('payments.settle', 'payments.poll'))
            + (SELECT count(*) FROM shared.tenants) + (SELECT count(*) FROM shared.day_grants)"""
    )
    return count
