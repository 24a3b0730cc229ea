"""Somebody whose account of credits is topped up by itself, in the shop of `payments_fixtures`."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integration.payments_fixtures import Witness, now, queued
from integration.topup_fixtures import ANNA, Payer
from zapisano.credits import ledger as credit_ledger
from zapisano.credits.model import Item, Rules, Verb
from zapisano.payments import AutoTerms, CreditsOrder, choose, start_payment, top_up
from zapisano.payments.auto_methods import end, newest
from zapisano.payments.auto_model import AutoMethod
from zapisano.payments.auto_topup import charge, find_low
from zapisano.payments.jobs import FindLow
from zapisano.settings import Settings

NO_MONEY, EXPIRED, GOOD = "5555555555554600", "5555555555554543", "5555555555554444"
TERMS = AutoTerms(Decimal("100.00"), Decimal("500.00"), 1)


@dataclass(frozen=True)
class Saver:
    """Anna, and what time and the worker do to her account."""

    payer: Payer
    witness: Witness
    calls_before: int

    async def asks(self, terms: AutoTerms = TERMS, *, key: str | None = None) -> CreditsOrder:
        payer = self.payer
        return await top_up(
            payer.database,
            payer.provider,
            payer.settings,
            email=ANNA,
            amount=Decimal(100),
            key=key,
            auto=terms,
            now=now(),
        )

    async def agrees(self, terms: AutoTerms = TERMS, *, ticks: bool = True) -> CreditsOrder:
        """Ask, tick (or not), press, pay; the news arrives. 50 + 100 credits are there then."""
        payer, order = self.payer, await self.asks(terms)
        async with payer.database.shared() as conn:
            await choose(conn, payer.settings, order.id, keeps_method=ticks, contact=None)
        await start_payment(payer.database, payer.provider, order.id, now())
        payment_id = (await payer.order(order.id)).payment_id
        payer.kassa.control("pay", {"payment_id": payment_id})
        await payer.settles(payment_id or "")
        return await payer.order(order.id)

    async def spends(self, amount: str) -> None:
        item = Item(ANNA, Verb.CHARGE, Decimal(amount), operation="analysis")
        async with self.payer.database.shared() as conn:
            await credit_ledger.post(conn, Rules.of(self.payer.settings), item, now())

    async def finds(self, at: datetime | None = None, settings: Settings | None = None) -> int:
        """Let the sweep run; return how many charges it has asked for, which stay in the queue."""
        chosen = settings or self.payer.settings
        await find_low(self.payer.database, chosen, FindLow(), at or now())
        return len(await self.waiting())

    async def waiting(self) -> list[dict[str, Any]]:
        return await queued(self.witness, "payments.auto_topup")

    async def works(self, at: datetime | None = None, settings: Settings | None = None) -> None:
        """Do what the sweep has asked for."""
        payer = self.payer
        jobs = await self.waiting()
        await self.witness.execute(
            "DELETE FROM shared.pgqueuer WHERE entrypoint = 'payments.auto_topup'"
        )
        for job in jobs:
            chosen = settings or payer.settings
            await charge(payer.database, payer.provider, chosen, job["method"], at or now())

    async def lives(self, at: datetime | None = None) -> list[CreditsOrder]:
        """Sweep, charge, and let the news arrive; return the charges of the account so far."""
        await self.finds(at)
        await self.works(at)
        for order in await self.charges():
            if order.is_open and order.payment_id:
                await self.payer.settles(order.payment_id, at)
        return await self.charges()

    async def charges(self) -> list[CreditsOrder]:
        rows = await self.witness.fetch(
            "SELECT id FROM shared.orders WHERE charge_key IS NOT NULL ORDER BY created_at, id"
        )
        return [await self.payer.order(str(row["id"])) for row in rows]

    async def method(self) -> AutoMethod:
        async with self.payer.database.shared() as conn:
            found = await newest(conn, ANNA)
        assert found is not None
        return found

    async def ends(self) -> bool:
        async with self.payer.database.shared() as conn:
            return await end(conn, ANNA, "owner", by="payer", now=now())

    async def told(self) -> list[tuple[str, str]]:
        """What the app's server is to be told: of what, and why."""
        rows = await self.witness.fetch(
            """SELECT d.kind, d.reason FROM credits.alert_details AS d
               JOIN credits.alerts AS a ON a.id = d.alert ORDER BY a.created_at, d.kind"""
        )
        return [(row["kind"], row["reason"]) for row in rows]

    async def changes_card(self, *, revoked: bool = False, card: str | None = None) -> None:
        method_id = (await self.method()).method_id
        body = {"payment_method_id": method_id, "revoked": revoked, "card": card}
        self.payer.kassa.control("method", body)

    async def balance(self) -> Decimal:
        return (await self.payer.account()).balance

    def asked(self) -> list[str]:
        """The keys under which YooKassa was asked to charge this card."""
        calls = self.payer.kassa.log()["calls"][self.calls_before :]
        bodies = [(c["key"], c["body"] or "") for c in calls if c["method"] == "POST"]
        return [key for key, body in bodies if "payment_method_id" in body]


@pytest.fixture
def saver(payer: Payer, witness: Witness) -> Saver:
    return Saver(payer, witness, len(payer.kassa.log()["calls"]))


def tomorrow(at: datetime) -> datetime:
    return at + timedelta(days=1)
