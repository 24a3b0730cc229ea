"""Hypothesis against the ledger: a batch is the same as one after the other, whatever is in it.

(a) Lists of items, given in batches, in pieces, one by one, and by the short way, must all be
answered as a plain fold in Python answers them. (b) A state machine does one thing after the
other through `Ledger`, and asks for every invariant after each.

ZAPISANO_EXAMPLES=1000 looks longer.
"""

import asyncio
import os
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count, pairwise
from typing import Any, TypeVar
from uuid import UUID, uuid4

import asyncpg
import hypothesis.strategies as st
from hypothesis import given
from hypothesis import settings as run_settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from ledger_model import SPENDING, Model
from wallets import RULES, D

from ledger_invariants import broken_invariants
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Answer, Item, KeyReused, Outcome, Posted, Verb
from zapisano.credits.store import movements as store
from zapisano.db import Database, SharedConnection, open_database
from zapisano.errors import AppError
from zapisano.settings import Settings

Thing = TypeVar("Thing")
EXAMPLES = int(os.environ.get("ZAPISANO_EXAMPLES", "50"))
START = datetime(2026, 11, 23, 12, tzinfo=UTC)
WAYS = ("batches", "pieces", "one by one", "the short way")
NUMBERS = count()


@dataclass
class Town:
    """A database and a loop of our own: Hypothesis calls plain functions."""

    settings: Settings
    loop: asyncio.AbstractEventLoop
    database: Database
    witness: "asyncpg.Connection[asyncpg.Record]"

    def run(self, work: Coroutine[Any, Any, Thing]) -> Thing:
        return self.loop.run_until_complete(work)


@contextmanager
def town(settings: Settings) -> Generator[Town]:
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    database = run(open_database(settings))
    witness = run(asyncpg.connect(settings.database_url.get_secret_value()))
    try:
        yield Town(settings, loop, database, witness)
        broken = run(broken_invariants(witness))
        assert not broken, broken
    finally:
        run(witness.close())
        run(database.close())
        loop.close()


# --- (a) lists of items ---


@dataclass(frozen=True)
class Ask:
    """An item yet without an account and the names of things; `nth` chooses among those."""

    verb: Verb
    who: int
    amount: str | None = None
    cost: str | None = None
    key: str | None = None
    nth: int = 0
    partial: bool = False
    hours: int | None = None


who = st.integers(0, 1)
amounts = st.sampled_from(["0.01", "0.50", "1", "3", "7.77", "20", "49", "55", "56", "99999950"])
costs = st.sampled_from(["0", "0.000185", "0.009999999999", "0.01", "1.234567", "54.999", "60"])
keys = st.none() | st.sampled_from("abc")
hours = st.integers(1, 4)
nth = st.integers(0, 3)
asks = st.one_of(
    st.builds(Ask, st.just(Verb.CHARGE), who, amounts, key=keys),
    st.builds(Ask, st.just(Verb.CHARGE), who, cost=costs, key=keys),
    st.builds(Ask, st.just(Verb.HOLD), who, amounts, key=keys, hours=hours),
    st.builds(Ask, st.just(Verb.SETTLE), who, amounts, key=keys, nth=nth, partial=st.booleans()),
    st.builds(Ask, st.just(Verb.SETTLE), who, cost=costs, nth=nth, partial=st.booleans()),
    st.builds(Ask, st.just(Verb.RELEASE), who, key=keys, nth=nth),
    st.builds(Ask, st.just(Verb.TOPUP), who, amounts, key=keys),
    st.builds(Ask, st.just(Verb.GRANT), who, amounts, key=keys, hours=st.none() | hours),
    st.builds(Ask, st.just(Verb.REFUND), who, amounts | st.none(), key=keys, nth=nth),
    st.builds(Ask, st.just(Verb.ADJUST), who, st.sampled_from(["-60", "-5", "5"]), key=keys),
)


@dataclass(frozen=True)
class Chapter:
    """Time passes, and then these are asked; `cuts` say where the pieces end."""

    hours: int
    asks: list[Ask]
    cuts: frozenset[int]


chapters = st.builds(
    Chapter,
    st.sampled_from([0, 0, 1, 2, 5]),
    st.lists(asks, min_size=1, max_size=10),
    st.frozensets(st.integers(1, 9), max_size=4),
)


@dataclass
class Story:
    """One way of telling it, on accounts of its own, beside the model."""

    conn: SharedConnection
    way: str
    model: Model = field(default_factory=lambda: Model(RULES))
    now: datetime = START
    holds: dict[str, list[UUID]] = field(default_factory=dict[str, list[UUID]])
    emails: list[str] = field(
        default_factory=lambda: [f"user{next(NUMBERS)}@example.org" for _ in range(2)]
    )

    async def tell(self, told: Sequence[Chapter]) -> None:
        for email in self.emails:
            self.model.open(email)
            self.holds[email] = []
            assert await store.open_account(self.conn, RULES, email)
        for chapter in told:
            self.now += timedelta(hours=chapter.hours)
            for piece in self._pieces(chapter):
                await self._settle_piece([self._item(ask) for ask in piece])

    def _pieces(self, chapter: Chapter) -> list[list[Ask]]:
        every = range(1, len(chapter.asks))
        cuts = {"batches": [], "pieces": sorted(chapter.cuts & set(every))}.get(self.way, every)
        ends = [0, *cuts, len(chapter.asks)]
        return [chapter.asks[a:b] for a, b in pairwise(ends)]

    def _item(self, ask: Ask) -> Item:
        email = self.emails[ask.who]
        wallet, holds = self.model.wallets[email], self.holds[email]
        item = Item(
            email,
            ask.verb,
            None if ask.amount is None else D(ask.amount),
            None if ask.cost is None else D(ask.cost),
            operation=ask.verb,
            key=ask.key,
            partial=ask.partial,
            expires_at=None if ask.hours is None else self.now + timedelta(hours=ask.hours),
        )
        if ask.verb is Verb.HOLD:
            holds.append(uuid4())
            return replace(item, hold=holds[-1])
        if ask.verb in (Verb.SETTLE, Verb.RELEASE):
            return replace(item, hold=holds[-1 - ask.nth % len(holds)] if holds else uuid4())
        if ask.verb is Verb.REFUND:
            charges = [entry for entry in wallet.entries if entry.verb in SPENDING]
            movements = [entry.movement for entry in charges or wallet.entries] or [10**9]
            return replace(item, refers=movements[-1 - ask.nth % len(movements)])
        return item

    async def _settle_piece(self, items: list[Item]) -> None:
        """Ask until everybody has an answer: each round brings at least one further."""
        rounds = 2 * len(items) + 1
        while items:
            rounds -= 1
            assert rounds >= 0, items
            answers = await self._ask(items)
            self._compare(items, answers)
            both = list(zip(items, answers, strict=True))
            due = {item.email for item, one in both if one.outcome is Outcome.EXPIRY_DUE}
            for email in due:
                await store.expire(self.conn, RULES, email, self.now)
                self.model.wallets[email].expire(self.now, RULES.threshold)
            items = [i for i, one in both if one.outcome in (Outcome.EXPIRY_DUE, Outcome.TWIN)]

    async def _ask(self, items: list[Item]) -> list[Answer]:
        if self.way == "the short way" and items[0].verb is Verb.CHARGE and items[0].amount:
            key = items[0].key
            seen = self.model.wallets[items[0].email].keys
            answer = await store.charge(self.conn, RULES, items[0], self.now)
            assert answer is None or key is None or key not in seen
            if answer is not None:
                return [answer]
        return await store.post(self.conn, RULES, items, self.now)

    def _compare(self, items: list[Item], answers: list[Answer]) -> None:
        marks: set[object] = set()
        for item, answer in zip(items, answers, strict=True):
            own = {(item.email, item.key), item.hold, item.refers}
            own -= {(item.email, None), None}
            if answer.outcome is Outcome.EXPIRY_DUE:
                continue
            if answer.outcome is Outcome.TWIN:
                assert own & marks, (item, "is nobody's twin")
                continue
            said = self.model.ask(item, self.now)
            assert (answer.outcome, answer.amount, answer.balance) == (
                said.outcome,
                said.amount,
                said.balance,
            ), item
            if said.entry is not None and answer.outcome is Outcome.OK:
                assert not own & marks, (item, "is a twin")
                said.entry.movement = answer.movement
                marks |= own
            elif said.entry is not None:
                assert answer.movement == said.entry.movement

    async def stands(self, town: Town) -> None:
        """The accounts are what the model says."""
        rows = await town.witness.fetch(
            """SELECT a.balance, a.total_spent, a.remainder, a.held, a.promo,
                   (SELECT count(*) FROM credits.alerts AS l WHERE l.account = a.id)
               FROM public.user_balances AS a WHERE a.email = ANY ($1) ORDER BY a.id""",
            self.emails,
        )
        assert [tuple(row) for row in rows] == [
            (w.balance, w.spent, w.remainder, w.held, w.promo, w.alerts)
            for w in (self.model.wallets[email] for email in self.emails)
        ]


def test_a_batch_is_the_same_as_one_after_the_other(with_ledger: None, settings: Settings) -> None:
    with town(settings) as ours:

        @given(st.lists(chapters, min_size=1, max_size=4))
        @run_settings(max_examples=4 * EXAMPLES)
        def told(chapters: list[Chapter]) -> None:
            async def every_way() -> None:
                async with ours.database.statements() as conn:
                    for way in WAYS:
                        story = Story(conn, way)
                        await story.tell(chapters)
                        await story.stands(ours)

            ours.run(every_way())

        told()


# --- (b) one thing after the other ---


class Life(RuleBasedStateMachine):
    """What may happen to two accounts, through `Ledger`.

    Which of several requests at once is first is anybody's guess, so no rule is chosen by what
    came of them: Hypothesis must find the same choices when it looks again.
    """

    town: Town

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.emails = [f"life{next(NUMBERS)}@example.org" for _ in range(2)]
        self.ledger = Ledger(self.town.database, RULES, lambda: self.now)
        self.told: list[tuple[Item, Posted]] = []
        self.holds: list[tuple[str, UUID]] = []

    def post(self, *items: Item) -> None:
        """Ask for all of them at once, and remember what was told."""

        async def together() -> list[Posted | BaseException]:
            asked = (self.ledger.post(item) for item in items)
            return await asyncio.gather(*asked, return_exceptions=True)

        for item, one in zip(items, self.town.run(together()), strict=True):
            if isinstance(one, Posted):
                self.told.append((item, one))
            elif not isinstance(one, AppError):
                raise one

    def item(self, who: int, verb: Verb, **values: Any) -> Item:
        return Item(self.emails[who], verb, operation=verb, **values)

    @rule(who=who, amounts=st.lists(amounts.map(D), min_size=1, max_size=5), key=keys)
    def charge(self, who: int, amounts: list[D], key: str | None) -> None:
        self.post(*(self.item(who, Verb.CHARGE, amount=one, key=key) for one in amounts))

    @rule(who=who, costs=st.lists(costs.map(D), min_size=1, max_size=5))
    def charge_a_cost(self, who: int, costs: list[D]) -> None:
        self.post(*(self.item(who, Verb.CHARGE, cost=cost) for cost in costs))

    @rule(who=who, verb=st.sampled_from([Verb.TOPUP, Verb.GRANT]), amount=amounts.map(D))
    def credit(self, who: int, verb: Verb, amount: D) -> None:
        self.post(self.item(who, verb, amount=amount))

    @rule(who=who, amount=amounts.map(D), hours=hours)
    def grant(self, who: int, amount: D, hours: int) -> None:
        ends = self.now + timedelta(hours=hours)
        self.post(self.item(who, Verb.GRANT, amount=amount, expires_at=ends))

    @rule(who=who, amount=amounts.map(D), hours=hours, key=keys)
    def hold(self, who: int, amount: D, hours: int, key: str | None) -> None:
        ends, hold = self.now + timedelta(hours=hours), uuid4()
        self.holds.append((self.emails[who], hold))
        self.post(self.item(who, Verb.HOLD, amount=amount, expires_at=ends, hold=hold, key=key))

    @precondition(lambda self: self.holds)
    @rule(nth=nth, amounts=st.lists(amounts.map(D), min_size=1, max_size=3), partial=st.booleans())
    def settle(self, nth: int, amounts: list[D], partial: bool) -> None:
        email, hold = self.holds[-1 - nth % len(self.holds)]
        self.post(*(Item(email, Verb.SETTLE, one, hold=hold, partial=partial) for one in amounts))

    @precondition(lambda self: self.holds)
    @rule(nth=nth, key=keys)
    def release(self, nth: int, key: str | None) -> None:
        email, hold = self.holds[-1 - nth % len(self.holds)]
        self.post(Item(email, Verb.RELEASE, hold=hold, key=key))

    @rule(nth=nth, amounts=st.lists(amounts.map(D) | st.none(), min_size=1, max_size=3))
    def refund(self, nth: int, amounts: list[D | None]) -> None:
        if not self.told:
            return
        item, posted = self.told[-1 - nth % len(self.told)]
        refers = posted.movement
        self.post(*(Item(item.email, Verb.REFUND, one, refers=refers) for one in amounts))

    @rule(hours=st.integers(1, 5))
    def pass_time(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(who=who)
    def look(self, who: int) -> None:
        seen = self.town.run(self.ledger.account(self.emails[who]))
        assert seen.balance >= RULES.floor
        assert seen.expires_at is None or seen.expires_at > self.now

    @rule(nth=nth)
    def replay(self, nth: int) -> None:
        keyed = [one for one in self.told if one[0].key]
        if not keyed:
            return
        item, before = keyed[-1 - nth % len(keyed)]
        assert self.town.run(self.ledger.post(item)) == replace(before, is_replay=True)

    @rule(nth=nth)
    def reuse_a_key(self, nth: int) -> None:
        keyed = [item for item, _ in self.told if item.key]
        if not keyed:
            return
        other = replace(keyed[-1 - nth % len(keyed)], operation="another")
        try:
            self.town.run(self.ledger.post(other))
        except KeyReused:
            return
        raise AssertionError(other)

    @invariant()
    def holds_true(self) -> None:
        broken = self.town.run(broken_invariants(self.town.witness))
        assert not broken, broken

    def teardown(self) -> None:
        """What callers were told is what the ledger holds."""
        if not hasattr(self, "told"):
            return
        rows = self.town.run(
            self.town.witness.fetch(
                """SELECT p.movement, p.amount, p.balance_after FROM credits.postings AS p
                   JOIN public.user_balances AS a ON a.id = p.account
                   WHERE p.account > 0 AND a.email = ANY ($1)""",
                self.emails,
            )
        )
        held = {tuple(row) for row in rows}
        assert {(one.movement, one.amount, one.balance_after) for _, one in self.told} <= held


def test_whatever_happens_the_invariants_hold(with_ledger: None, settings: Settings) -> None:
    with town(settings) as ours:
        lived = type("Lived", (Life,), {"town": ours})
        run_state_machine_as_test(
            lived, settings=run_settings(max_examples=EXAMPLES, stateful_step_count=25)
        )
