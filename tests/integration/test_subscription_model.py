"""Hypothesis against everything that money and time do to a subscription, in whatever order.

Orders, charges, declines, refunds of ours and of the cabinet, changes of plan, pauses, outages and
support, with real PostgreSQL, the simulated YooKassa and every job that follows. Paid days are the
days granted; what is final stays so; both tills agree. ZAPISANO_EXAMPLES=500 looks longer.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Coroutine
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from math import floor
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

import asyncpg
import hypothesis.strategies as st
import pytest
from hypothesis import Phase
from hypothesis import settings as run_settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from integration.money_world import World
from integration.paid_time import DAY, PaidTime
from integration.payments_fixtures import BUYER, kassa, shared_kassa, shop_settings
from integration.refunds_fixtures import in_cabinet
from integration.yookassa_fixtures import Simulator
from zapisano.db import open_database
from zapisano.errors import Conflict, Passing, Refused
from zapisano.jobs import Job, enqueue, schedule
from zapisano.payments import (
    ChoiceFrozen,
    OrderClosed,
    OrderId,
    ProviderRefused,
    Reconcile,
    Settle,
    SettleRefund,
    YooKassa,
    ask_refund,
    choose,
    create_order,
    methods,
    retry_order,
    start_payment,
    start_refund,
)
from zapisano.settings import Settings
from zapisano.subscriptions import Grant, Live, Reason, give, plan_next
from zapisano.subscriptions.model import NoSubscription
from zapisano.tenancy import (
    Suspension,
    TenantId,
    UnknownTenant,
    WrongState,
    activate,
    provision,
    register,
    resume,
    suspend,
)

__all__ = ["kassa", "shared_kassa"]

Row = asyncpg.Record
Thing = TypeVar("Thing")
EXAMPLES = int(os.environ.get("ZAPISANO_EXAMPLES", "40"))
# As it was drawn, in seconds; shrinking takes minutes: ZAPISANO_SHRINK=1.
PHASES = [one for one in Phase if one is not Phase.shrink or os.environ.get("ZAPISANO_SHRINK")]
NUMBERS = count()
# Of the default terms: a charge announced late, the days of grace, a warning and a night or two.
GRACE = 10 * DAY
WAITS = 3 * DAY  # after that nothing of before is under way
GOOD, NO_MONEY, EXPIRED = "5555555555554477", "5555555555554600", "5555555555554543"
FINAL = {"paid", "canceled"}
ORDERS = """SELECT id::text, status, amount, days, refunded, payment_id, paid_at
    FROM shared.orders WHERE tenant_id = $1 ORDER BY created_at"""
PAYMENT_OF = "SELECT payment_id FROM shared.orders WHERE id = $1"
METHOD = "SELECT method_id FROM shared.saved_methods WHERE tenant_id = $1 AND ended_at IS NULL"
REFUNDED = """SELECT r.order_id::text, r.amount, r.days_taken, r.finished_at
    FROM shared.refunds AS r JOIN shared.orders AS o ON o.id = r.order_id
    WHERE o.tenant_id = $1 AND r.status = 'succeeded'"""
UNDECIDED = """SELECT r.refund_id
    FROM shared.refunds AS r JOIN shared.orders AS o ON o.id = r.order_id
    WHERE o.tenant_id = $1 AND r.refund_id IS NOT NULL AND r.status IN ('requested', 'pending')"""
GRANTS = "SELECT source, days, reason FROM shared.day_grants WHERE tenant_id = $1"
TENANT = """SELECT t.state, t.suspended_for, t.also_unpaid, s.paid_until
    FROM shared.tenants AS t LEFT JOIN shared.subscriptions AS s ON s.tenant_id = t.id
    WHERE t.id = $1"""
LOOKED_AT = "SELECT at FROM shared.due WHERE kind = $1 AND subject = $2"
CHARGES = """SELECT count(*) FILTER (WHERE status = 'paid') AS paid,
        count(*) FILTER (WHERE requested_at IS NOT NULL
            AND status IN ('created', 'pending')) AS pending
    FROM shared.orders WHERE tenant_id = $1 AND charge_key IS NOT NULL
    GROUP BY regexp_replace(charge_key, ':[0-9]+$', '')"""


class Event(NamedTuple):
    """Days that were given."""

    at: datetime
    source: str
    days: int


class Money(RuleBasedStateMachine):
    """One tenant of one shop. What was given by hand is the model's own; the rest it reads."""

    world: World
    ordered: Bundle[str] = Bundle("ordered")

    @initialize(target=ordered, plan=st.sampled_from(["1m", "3m"]))
    def begin(self, plan: str) -> Any:
        self.world.sleep(10 * DAY)  # of whatever was before nothing is under way
        self.gifts: list[Event] = []
        self.last: dict[str, Row] = {}
        self.was_archived, self.is_driven = False, False
        self.tenant = self.do(self._made())
        return self.buys(plan, saves=True)

    def do(self, work: Coroutine[Any, Any, Thing]) -> Thing:
        return self.world.do(work)

    def touched(self) -> None:
        self.changed_at, self.is_driven = self.world.clock(), False

    async def _made(self) -> TenantId:
        await self.world.forget()
        async with self.world.database.shared() as conn:
            made = await register(conn, name="Ромашка", owner_id=BUYER)
        await provision(self.world.database, made.id)
        async with self.world.database.shared() as conn:
            await activate(conn, made.id)
            await schedule(conn, Reconcile(), at=self.world.clock.at, subject="")
        return made.id

    # The buyer

    @rule(
        target=ordered,
        plan=st.sampled_from(["1m", "3m"]),
        saves=st.booleans(),
        is_switch=st.booleans(),
        trouble=st.sampled_from(["", "", "500", "500_after_create"]),
    )
    def orders(self, plan: str, saves: bool, is_switch: bool, trouble: str) -> Any:
        self.touched()
        order = self.do(self._order(plan, is_switch))
        if order is None:
            return multiple()
        self.do(self._start(order, saves, trouble))
        return order

    async def _order(self, plan: str, is_switch: bool) -> OrderId | None:
        """None where the business is archived."""
        world = self.world
        async with world.database.shared() as conn:
            with contextlib.suppress(UnknownTenant):
                order = await create_order(
                    conn,
                    world.settings,
                    buyer_id=BUYER,
                    language="ru",
                    company_name="Ромашка",
                    plan=plan,
                    tenant_id=self.tenant,
                    is_switch=is_switch,
                    now=world.clock(),
                )
                return order.id
        return None

    async def _start(self, order: OrderId, saves: bool, trouble: str) -> None:
        world = self.world
        async with world.database.shared() as conn:
            with contextlib.suppress(ChoiceFrozen, OrderClosed):
                await choose(conn, world.settings, order, keeps_method=saves, contact=None)
        with world.trouble(trouble, "/payments"), contextlib.suppress(Passing, OrderClosed):
            await start_payment(world.database, world.provider, order, world.clock())

    @rule(target=ordered, plan=st.sampled_from(["1m", "3m"]), saves=st.booleans())
    def buys(self, plan: str, *, saves: bool) -> Any:
        """As it goes mostly; what may go wrong on the way has rules of its own."""
        self.touched()
        order = self.do(self._order(plan, is_switch=False))
        if order is None:
            return multiple()
        self.do(self._start(order, saves, ""))
        self.pays(order, GOOD, is_told=True)
        return order

    @rule(order=ordered, card=st.sampled_from([GOOD, GOOD, NO_MONEY]), is_told=st.booleans())
    def pays(self, order: str, card: str, is_told: bool) -> None:
        payment = self._payment(order)
        if payment and payment["status"] == "pending":
            self.touched()
            self.world.kassa.control("pay", {"payment_id": payment["id"], "card": card})
        if payment and is_told:
            self.news(order)

    @rule(order=ordered)
    def fails_at_the_provider(self, order: str) -> None:
        payment = self._payment(order)
        if payment and payment["status"] == "pending":
            self.world.kassa.control("fail", {"payment_id": payment["id"]})

    def _payment(self, order: str) -> dict[str, Any] | None:
        """The payment of an order as the provider shows it, once we know of it."""
        id_ = self.do(self.world.witness.fetchval(PAYMENT_OF, order))
        return self.world.kassa.get(f"/payments/{id_}").json() if id_ else None

    @rule(order=ordered)
    def news(self, order: str) -> None:
        """A notification, of whatever it may be, maybe for the tenth time."""
        self.touched()
        id_ = self.do(self.world.witness.fetchval(PAYMENT_OF, order))
        self.do(self._enqueue(Settle(id_))) if id_ else None
        self.do(self.world.work())

    async def _enqueue(self, job: Job) -> None:
        async with self.world.database.shared() as conn:
            await enqueue(conn, job)

    @rule(target=ordered, order=ordered, saves=st.booleans())
    def tries_again(self, order: str, saves: bool) -> Any:
        new = self.do(self._retry(OrderId(order)))
        if new is None:
            return multiple()
        self.touched()
        self.do(self._start(new, saves, ""))
        return new

    async def _retry(self, order: OrderId) -> OrderId | None:
        async with self.world.database.shared() as conn:
            with contextlib.suppress(OrderClosed):
                return (await retry_order(conn, self.world.settings, order, self.world.clock())).id
        return None

    @rule(plan=st.sampled_from(["1m", "3m"]))
    def wants_another_plan_next(self, plan: str) -> None:
        self.touched()
        with contextlib.suppress(NoSubscription):
            self.do(self._plan_next(plan))

    async def _plan_next(self, plan: str) -> None:
        async with self.world.database.shared() as conn:
            await plan_next(conn, self.tenant, plan, by="owner")

    @rule()
    def ends_autopay(self) -> None:
        self.touched()
        self.do(self._end_autopay())

    async def _end_autopay(self) -> None:
        async with self.world.database.shared() as conn:
            await methods.end(conn, self.tenant, "owner", by="owner", now=self.world.clock())

    @rule(card=st.sampled_from([GOOD, NO_MONEY, NO_MONEY, EXPIRED]), revoked=st.booleans())
    def the_card_changes(self, card: str, revoked: bool) -> None:
        """At the bank: nobody tells us."""
        method = self.do(self.world.witness.fetchval(METHOD, self.tenant))
        body = {"payment_method_id": method, "card": card, "revoked": revoked and card == EXPIRED}
        if method:
            self.world.kassa.control("method", body)

    # The operator

    @rule(
        order=ordered,
        amount=st.sampled_from(["1.00", "99.67", "149.50", "", ""]),
        trouble=st.sampled_from(["", "500", "500_after_create", "refund_pending"]),
    )
    def is_refunded(self, order: str, amount: str, trouble: str) -> None:
        self.touched()
        with contextlib.suppress(Conflict, Refused):
            self.do(self._refund(order, amount, trouble))
        self.do(self.world.work())

    async def _refund(self, order: str, amount: str, trouble: str) -> None:
        world, sum_ = self.world, Decimal(amount) if amount else None
        async with world.database.shared() as conn:
            row = await ask_refund(conn, order, amount=sum_, reason=None, now=world.clock())
        # It refuses where the payer has never paid.
        with world.trouble(trouble, "/refunds"), contextlib.suppress(Passing, ProviderRefused):
            await start_refund(world.database, world.provider, row.id, world.clock())

    @rule(order=ordered, amount=st.sampled_from(["1.00", "100.33", "", ""]), is_told=st.booleans())
    def is_refunded_in_the_cabinet(self, order: str, amount: str, is_told: bool) -> None:
        payment = self._payment(order)
        if payment is None or payment["status"] != "succeeded":
            return
        back = payment.get("refunded_amount", {"value": "0"})["value"]
        left = Decimal(payment["amount"]["value"]) - Decimal(back)
        sum_ = min(Decimal(amount or left), left)
        if sum_ <= 0:
            return
        self.touched()
        refund = in_cabinet(self.world.kassa, payment["id"], str(sum_))
        if is_told:
            self.do(self._enqueue(SettleRefund(refund)))
            self.do(self.world.work())

    @rule(ends=st.sampled_from(["succeeded", "canceled"]))
    def the_bank_decides(self, ends: str) -> None:
        self.touched()
        for refund in self.do(self.world.witness.fetch(UNDECIDED, self.tenant)):
            there = self.world.kassa.get(f"/refunds/{refund['refund_id']}").json()
            if there["status"] == "pending":
                self.world.kassa.control("refund", {"refund_id": there["id"], "status": ends})

    @rule(days=st.integers(1, 40))
    def support_gives(self, days: int) -> None:
        self.touched()
        grant = Grant(f"support:{next(NUMBERS)}", days, Reason.SUPPORT, by="support")
        at = self.world.clock()
        self.do(self._give(grant, at))
        self.gifts.append(Event(at, grant.source, days))

    async def _give(self, grant: Grant, at: datetime) -> None:
        async with self.world.database.shared() as conn:
            await give(conn, self.tenant, grant, plan="1m", now=at)

    @rule(pauses=st.booleans())
    def the_operator_acts(self, pauses: bool) -> None:
        self.touched()
        with contextlib.suppress(WrongState):
            self.do(self._act(pauses))

    async def _act(self, pauses: bool) -> None:
        async with self.world.database.shared() as conn:
            act = suspend if pauses else resume
            await act(conn, self.tenant, Suspension.OPERATOR)

    # Time

    @rule(hours=st.integers(1, 200))
    def nothing_runs_for_a_while(self, hours: int) -> None:
        self.world.sleep(timedelta(hours=hours))
        self.is_driven = False

    @rule(days=st.sampled_from([1, 3, 5, 10, 20, 30, 100]))
    def days_go_by(self, days: int) -> None:
        self.is_driven = True
        self.world.live(days * DAY)

    # What always holds

    @invariant()
    def what_is_final_stays_so(self) -> None:
        before, self.last = self.last, self._orders()
        for id_, row in before.items():
            assert row["status"] not in FINAL or self.last[id_]["status"] == row["status"]
            assert self.last[id_]["refunded"] >= row["refunded"]

    def _orders(self) -> dict[str, Row]:
        rows = self.do(self.world.witness.fetch(ORDERS, self.tenant))
        return {row["id"]: row for row in rows}

    @invariant()
    def paid_days_are_days_granted(self) -> None:
        rows = self.do(self.world.witness.fetch(GRANTS, self.tenant))
        tenant, time = self._tenant(), self._reckoned()
        assert tenant["paid_until"] == time.end
        assert sum(row["days"] for row in rows) == len(time.days)
        paid = [row for row in self._orders().values() if row["status"] == "paid"]
        assert {row["source"]: row["days"] for row in rows if row["reason"] == "payment"} == {
            row["payment_id"]: row["days"] for row in paid
        }

    def _tenant(self) -> Row:
        (row,) = self.do(self.world.witness.fetch(TENANT, self.tenant))
        return row

    def _reckoned(self) -> PaidTime:
        """Go through all that has given or taken, by the moments at which it did."""
        time, back, taken = PaidTime(), Counter[str](), Counter[str]()
        orders = self._orders()
        events: list[tuple[datetime, Event | Row]] = [(one.at, one) for one in self.gifts]
        for row in orders.values():
            if row["status"] == "paid":
                given = Event(row["paid_at"], row["payment_id"], row["days"])
                events.append((given.at, given))
        refunds = self.do(self.world.witness.fetch(REFUNDED, self.tenant))
        events.extend((row["finished_at"], row) for row in refunds)
        for at, event in sorted(events, key=itemgetter(0)):
            if isinstance(event, Event):
                time.give(event.source, event.days, at)
                continue
            order = orders[event["order_id"]]
            back[order["id"]] += event["amount"]
            share = Fraction(back[order["id"]]) / Fraction(order["amount"])
            due = floor(order["days"] * share) - taken[order["id"]]
            gone = time.take(order["payment_id"], due, at)
            assert event["days_taken"] == gone
            taken[order["id"]] += gone
        return time

    @invariant()
    def a_period_is_charged_once_at_a_time_and_paid_once(self) -> None:
        for found in self.do(self.world.witness.fetch(CHARGES, self.tenant)):
            assert found["pending"] <= 1
            assert found["paid"] <= 1

    @invariant()
    def the_state_is_what_was_paid_for(self) -> None:
        row = self._tenant()
        now, end, is_archived = self.world.clock.at, row["paid_until"], row["state"] == "archived"
        assert is_archived or not self.was_archived, "what is archived stays so"
        self.was_archived = is_archived
        if end is None or end > now:
            assert row["suspended_for"] != "unpaid"
            assert not row["also_unpaid"] or is_archived
        elif self.is_driven and now > max(end, self.changed_at) + GRACE:
            assert row["state"] in {"suspended", "archived"}, "grace is over"
        if end is not None and not is_archived:
            asked = self.world.witness.fetchval(LOOKED_AT, Live.kind, self.tenant)
            assert self.do(asked), "somebody looks again"

    def teardown(self) -> None:
        """Once everybody has been at work for some days, both tills agree and nothing is left."""
        self.the_bank_decides("succeeded")
        self.days_go_by(WAITS // DAY)
        self.what_is_final_stays_so()
        self.paid_days_are_days_granted()
        there = {
            payment["metadata"]["order_id"]: payment
            for payment in self.world.kassa.payments()
            if payment["metadata"].get("order_id") in self.last
        }
        for row in self.last.values():
            payment = there.pop(row["id"], None)
            if payment is None:
                assert (row["payment_id"], row["refunded"]) == (None, 0)
                assert row["status"] in {"created", "canceled", "review"}
                continue
            assert row["payment_id"] == payment["id"]
            assert row["status"] == {"succeeded": "paid"}.get(payment["status"], payment["status"])
            back = payment.get("refunded_amount", {"value": "0"})["value"]
            assert row["refunded"] == Decimal(back)
        assert not there
        left = self.do(self.world.witness.fetch("SELECT entrypoint FROM shared.pgqueuer"))
        assert left == []


@pytest.fixture
def settings(settings: Settings, kassa: Simulator) -> Settings:
    return shop_settings(settings, kassa, yookassa_autopay=True, yookassa_rate=1000)


def test_any_order_of_events_keeps_what_was_paid_for(settings: Settings, kassa: Simulator) -> None:
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(open_database(settings))
    address = settings.database_url.get_secret_value()
    witness = loop.run_until_complete(asyncpg.connect(address))
    provider = YooKassa(settings)

    class Ours(Money):
        pass

    Ours.world = World(database, witness, settings, kassa, provider, loop)
    steps = run_settings(max_examples=EXAMPLES, stateful_step_count=25, phases=PHASES)
    try:
        run_state_machine_as_test(Ours, settings=steps)
    finally:
        loop.run_until_complete(provider.close())
        loop.run_until_complete(witness.close())
        loop.run_until_complete(database.close())
        loop.close()
