"""Somebody whose tenant is paid by autopay, at the simulated YooKassa."""

from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import datetime

import pytest

from integration.payments_fixtures import BUYER, Buyer, Witness, now, shop_settings
from integration.yookassa_fixtures import Simulator
from zapisano import subscriptions
from zapisano.payments import Outcome, PlanOrder, SavedMethod, choose, methods, settle
from zapisano.payments import store as money
from zapisano.payments.charges import charge, period_key
from zapisano.settings import Settings
from zapisano.subscriptions import Charge, Subscription
from zapisano.tenancy import Tenant, TenantId, activate

NO_MONEY, EXPIRED = "5555555555554600", "5555555555554543"
SPENT = """SELECT count(*) FROM shared.orders WHERE charge_key IS NOT NULL AND status = 'paid'"""


@pytest.fixture
def settings(settings: Settings, kassa: Simulator) -> Settings:
    return shop_settings(settings, kassa, yookassa_autopay=True)


@pytest.fixture(autouse=True)
def agreement(kassa: Simulator) -> Iterator[None]:
    """YooKassa agrees, and does so again after a test."""
    yield
    kassa.control("shop", {"recurring": True})


@dataclass(frozen=True)
class Owner:
    """Somebody whose tenant is paid, with the box ticked."""

    buyer: Buyer
    tenant: TenantId
    other: TenantId
    witness: Witness

    async def buys(self, plan: str = "1m", *, saves: bool = True) -> PlanOrder:
        """Order for the tenant, choose, pay, and let the news arrive."""
        order = await self.buyer.orders(plan, tenant_id=self.tenant)
        async with self.buyer.database.shared() as conn:
            await choose(conn, self.buyer.settings, order.id, keeps_method=saves, contact=None)
        return await self.pays(order)

    async def pays(self, order: PlanOrder) -> PlanOrder:
        payment_id = await self.buyer.starts(order)
        self.buyer.kassa.control("pay", {"payment_id": payment_id})
        await self.settles(payment_id)
        return await self.buyer.order(order.id)

    async def settles(self, payment_id: str) -> Outcome:
        buyer = self.buyer
        return await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())

    async def paid(self) -> Subscription:
        async with self.buyer.database.shared() as conn:
            return await subscriptions.get(conn, self.tenant)

    async def method(self) -> SavedMethod | None:
        async with self.buyer.database.shared() as conn:
            return await methods.find(conn, self.tenant)

    async def is_charged(
        self, attempt: int = 0, *, settings: Settings | None = None, at: datetime | None = None
    ) -> PlanOrder | None:
        """Let the attempt be made as if its day had come; return its order, settled."""
        paid, buyer = await self.paid(), self.buyer
        await self.days_go_by(attempt)
        job = Charge(self.tenant, paid.paid_until, attempt)
        when = at or now()
        await charge(buyer.database, buyer.provider, settings or buyer.settings, job, when)
        async with buyer.database.shared() as conn:
            key = f"{period_key(self.tenant, paid.paid_until)}{attempt}"
            order = await money.find_by_charge(conn, key)
        if order and order.is_open and order.payment_id:
            await self.settles(order.payment_id)
            return await buyer.order(order.id)
        return order

    async def days_go_by(self, attempt: int) -> None:
        """Earlier attempts that came to nothing were days ago, as the schedule has it."""
        await self.witness.execute(
            """UPDATE shared.orders SET requested_at = requested_at - interval '2 days'
               WHERE status = 'canceled' AND charge_key IS NOT NULL
                   AND right(charge_key, 1)::int < $1""",
            attempt,
        )

    async def changes_card(self, *, revoked: bool = False, card: str | None = None) -> None:
        method = await self.method()
        assert method is not None
        body = {"payment_method_id": method.method_id, "revoked": revoked, "card": card}
        self.buyer.kassa.control("method", body)


@pytest.fixture
async def owner(
    buyer: Buyer, tenants: tuple[Tenant, Tenant], witness: Witness
) -> AsyncGenerator[Owner]:
    """The first tenant's owner; the second tenant is left alone by every test."""
    async with buyer.database.shared() as conn:
        for tenant in tenants:
            await activate(conn, tenant.id)
    await witness.execute("UPDATE shared.tenants SET owner_id = $1", BUYER)
    yield Owner(buyer, tenants[0].id, tenants[1].id, witness)
    untouched = await witness.fetchval(
        """SELECT (SELECT count(*) FROM shared.saved_methods WHERE tenant_id = $1)
                + (SELECT count(*) FROM shared.orders WHERE tenant_id = $1)
                + (SELECT count(*) FROM shared.day_grants WHERE tenant_id = $1)""",
        tenants[1].id,
    )
    assert untouched == 0


def charges_asked(kassa: Simulator) -> list[str]:
    """The keys under which YooKassa was asked to charge a saved method."""
    return [c["key"] for c in kassa.log()["calls"] if "payment_method_id" in (c["body"] or "")]
