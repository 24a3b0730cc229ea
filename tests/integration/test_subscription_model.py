"""Hypothesis against a subscription's life on a real database: whatever happens in whatever order.

Paid days are the days granted, however they were paid, taken back or changed; nobody who has paid
is paused for want of payment, and who has not is, once grace is over; what is archived stays so.
ZAPISANO_EXAMPLES=1000 looks longer.
"""

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, TypeVar

import asyncpg
import hypothesis.strategies as st
from hypothesis import settings as run_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from test_subscription_life import BOUGHT, DAY, Clock

from zapisano.db import Database, open_database
from zapisano.payments.methods import will_charge
from zapisano.settings import Settings
from zapisano.subscriptions import Grant, Live, Living, Reason, extend, give, take
from zapisano.tenancy import (
    Suspension,
    TenantId,
    WrongState,
    activate,
    provision,
    register,
    resume,
    suspend,
)

Thing = TypeVar("Thing")
EXAMPLES = int(os.environ.get("ZAPISANO_EXAMPLES", "12"))
NUMBERS = count()
GRACE = 6 * DAY  # of the default terms, a late warning and a night or two included


class Life(RuleBasedStateMachine):
    """One tenant. The model is two numbers: the end of paid time, and how much has lapsed."""

    database: Database
    witness: "asyncpg.Connection[asyncpg.Record]"
    app_settings: Settings
    loop: asyncio.AbstractEventLoop

    def do(self, work: Coroutine[Any, Any, Thing]) -> Thing:
        return self.loop.run_until_complete(work)

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.tenant = self.do(self._made())
        self.end: datetime | None = None
        self.first = BOUGHT
        self.granted = 0
        self.lapsed = timedelta(0)
        self.payments: list[str] = []
        self.changed_at = BOUGHT
        self.was_archived = False
        self.is_driven = False

    async def _made(self) -> TenantId:
        async with self.database.shared() as conn:
            made = await register(conn, name="Ромашка", owner_id=100200301)
        await provision(self.database, made.id)
        async with self.database.shared() as conn:
            await activate(conn, made.id)
        return made.id

    def _given(self, days: int) -> None:
        now = self.clock.at
        if self.end is None:
            self.first = self.end = now
        self.lapsed += max(now - self.end, timedelta(0))
        self.end = max(self.end, now) + days * DAY
        self._counted(days)

    def _taken(self, days: int) -> None:
        assert self.end is not None
        self.end -= days * DAY
        self._counted(-days)

    def _counted(self, days: int) -> None:
        self.granted += days
        self.changed_at = self.clock.at
        self.is_driven = False

    @rule(days=st.sampled_from([1, 7, 30, 365]))
    def pays(self, days: int) -> None:
        self.payments.append(f"p{next(NUMBERS)}")
        self._given(days)
        self.do(self._extend(self.payments[-1], days))

    @precondition(lambda self: self.payments)
    @rule(data=st.data())
    def is_told_again_of_a_payment(self, data: st.DataObject) -> None:
        self.do(self._extend(data.draw(st.sampled_from(self.payments)), 30))

    async def _extend(self, payment: str, days: int) -> None:
        async with self.database.shared() as conn:
            await extend(
                conn, self.tenant, plan="1m", days=days, payment_id=payment, now=self.clock.at
            )

    @precondition(lambda self: self.end is not None)
    @rule(days=st.integers(1, 40), twice=st.booleans())
    def is_refunded(self, days: int, twice: bool) -> None:
        back = Grant(f"refund:{next(NUMBERS)}", -days, Reason.REFUND, by="refund")
        self._taken(days)
        for _ in range(2 if twice else 1):
            self.do(self._take(back))

    async def _take(self, back: Grant) -> None:
        async with self.database.shared() as conn:
            await take(conn, self.tenant, back, self.clock.at)

    @precondition(lambda self: self.end is not None and self.end > self.clock.at + 2 * DAY)
    @rule(days=st.integers(1, 60))
    def changes_the_plan(self, days: int) -> None:
        self._taken(1)
        self._given(days)
        self.do(self._change(days))

    async def _change(self, days: int) -> None:
        source, now = f"change:{next(NUMBERS)}", self.clock.at
        async with self.database.shared() as conn:
            off = Grant(f"{source}:off", -1, Reason.CHANGE, by="owner")
            await take(conn, self.tenant, off, now)
            on = Grant(source, days, Reason.CHANGE, by="owner")
            await give(conn, self.tenant, on, plan="3m", now=now)

    @rule(pauses=st.booleans())
    def the_operator_acts(self, pauses: bool) -> None:
        self.changed_at, self.is_driven = self.clock.at, False
        with contextlib.suppress(WrongState):
            self.do(self._act(pauses))

    async def _act(self, pauses: bool) -> None:
        async with self.database.shared() as conn:
            act = suspend if pauses else resume
            await act(conn, self.tenant, Suspension.OPERATOR)

    @rule(hours=st.integers(1, 200))
    def nothing_runs_for_a_while(self, hours: int) -> None:
        self.clock.at += timedelta(hours=hours)
        self.is_driven = False

    @rule()
    def a_look_comes_early_and_twice(self) -> None:
        for _ in range(2):
            self.do(self._live())

    @rule(days=st.sampled_from([1, 5, 10, 40, 100]))
    def days_go_by(self, days: int) -> None:
        """Everything happens when it is scheduled."""
        goal, self.is_driven = self.clock.at + days * DAY, True
        while (at := self.do(self._next_at())) is not None and at <= goal:
            self.clock.at = max(at, self.clock.at)
            self.do(self._live())
        self.clock.at = goal

    async def _next_at(self) -> datetime | None:
        at: datetime | None = await self.witness.fetchval(
            "SELECT at FROM shared.due WHERE kind = $1 AND subject = $2", Live.kind, self.tenant
        )
        return at

    async def _live(self) -> None:
        await self.witness.execute("DELETE FROM shared.due WHERE subject = $1", self.tenant)
        charges = partial(will_charge, self.app_settings)
        living = Living(self.database, self.app_settings, self.clock, charges)
        await living.live(Live(self.tenant))

    @invariant()
    def paid_days_are_days_granted(self) -> None:
        row = self.do(self._row())
        assert row["paid_until"] == self.end
        assert row["days"] == self.granted
        if self.end is not None:
            assert self.end == self.first + self.granted * DAY + self.lapsed

    @invariant()
    def the_state_is_what_was_paid_for(self) -> None:
        row = self.do(self._row())
        now, is_archived = self.clock.at, row["state"] == "archived"
        assert is_archived or not self.was_archived, "what is archived stays so"
        self.was_archived = is_archived
        if self.end is None or self.end > now:
            assert row["suspended_for"] != "unpaid"
            assert not row["also_unpaid"] or is_archived
        elif self.is_driven and now > max(self.end, self.changed_at) + GRACE:
            assert row["state"] in {"suspended", "archived"}, "grace is over"
        if self.end is not None and not is_archived:
            assert self.do(self._next_at()) is not None, "somebody looks again"

    async def _row(self) -> asyncpg.Record:
        row = await self.witness.fetchrow(
            """SELECT t.state, t.suspended_for, t.also_unpaid, s.paid_until,
                   (SELECT coalesce(sum(days), 0) FROM shared.day_grants WHERE tenant_id = t.id)
                       AS days
               FROM shared.tenants AS t LEFT JOIN shared.subscriptions AS s ON s.tenant_id = t.id
               WHERE t.id = $1""",
            self.tenant,
        )
        assert row is not None
        return row


def test_any_order_of_events_keeps_what_was_paid_for(settings: Settings) -> None:
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(open_database(settings))
    address = settings.database_url.get_secret_value()
    witness = loop.run_until_complete(asyncpg.connect(address))

    class Lived(Life):
        pass

    Lived.database, Lived.witness, Lived.loop = database, witness, loop
    Lived.app_settings = settings
    steps = run_settings(max_examples=EXAMPLES, stateful_step_count=25)
    try:
        run_state_machine_as_test(Lived, settings=steps)
    finally:
        loop.run_until_complete(witness.close())
        loop.run_until_complete(database.close())
        loop.close()
