"""The ledger under concurrency and loss: lanes, processes side by side, dead connections."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import uuid4

import asyncpg
import pytest
from telegram_bots import until
from waiting import somebody_waits
from wallets import ANNA, BORIS, RULES, D, Wallets, charge

from shared_servers import Servers
from zapisano.credits.ledger import Ledger, account, post
from zapisano.credits.model import (
    AccountFrozen,
    Insufficient,
    Item,
    Outcome,
    OutcomeUnknown,
    Posted,
    Verb,
)
from zapisano.credits.store import movements as store
from zapisano.db import Locked, SharedConnection, open_database
from zapisano.errors import Busy, Conflict

PATIENCE_SECONDS = 20.0
Witness = asyncpg.Connection


async def until_somebody_waits(wallets: Wallets) -> None:
    await until(lambda: somebody_waits(wallets.witness), "somebody who waits for a lock")


@asynccontextmanager
async def other_ledger(wallets: Wallets) -> AsyncGenerator[Ledger]:
    """What another process has: connections and lanes of its own."""
    database = await open_database(wallets.settings)
    ledger = Ledger(database, RULES, lambda: wallets.now)
    try:
        yield ledger
    finally:
        await ledger.close()
        await database.close()


@asynccontextmanager
async def locked(wallets: Wallets, email: str) -> AsyncGenerator[Witness]:
    """Somebody keeps an account's row; a connection that may end who waits for it."""
    holder = await asyncpg.connect(wallets.settings.database_url.get_secret_value())
    try:
        async with holder.transaction():
            await holder.execute(
                "SELECT 1 FROM public.user_balances WHERE email = $1 FOR UPDATE", email
            )
            yield holder
    finally:
        await holder.close()


# --- Lanes ---


async def test_who_comes_meanwhile_travels_together(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "1.00")
    async with locked(wallets, ANNA):
        first = asyncio.create_task(wallets.charge(ANNA, "0.10"))
        await until_somebody_waits(wallets)
        rest = [asyncio.create_task(wallets.charge(ANNA, "0.10")) for _ in range(100)]
        await asyncio.sleep(0)
    await asyncio.gather(first, *rest)
    # A batch has one instant.
    instants = await wallets.value(
        "SELECT count(DISTINCT created_at) FROM credits.postings WHERE kind = 'charge'"
    )
    assert instants == 3
    assert await wallets.balance(ANNA) == D("38.90")


async def test_who_gives_up_does_not_take_the_batch_along(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "1.00")
    async with locked(wallets, ANNA):
        first = asyncio.create_task(wallets.charge(ANNA, "0.10"))
        await until_somebody_waits(wallets)
        first.cancel()
        gone = asyncio.create_task(wallets.charge(ANNA, "0.10"))
        stays = asyncio.create_task(wallets.charge(ANNA, "0.01"))
        await asyncio.sleep(0)
        gone.cancel()
    assert (await stays).balance_after == D("48.89")  # the first was sent, the second was not
    done = await asyncio.gather(first, gone, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done)


async def test_who_comes_alone_and_gives_up_leaves_the_lane_to_others(wallets: Wallets) -> None:
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    await asyncio.gather(*(ledger.account(email) for email in (ANNA, BORIS)))
    alone = asyncio.create_task(ledger.post(charge(ANNA, "1.00")))
    after = asyncio.create_task(ledger.post(charge(BORIS, "1.00")))
    await asyncio.sleep(0)
    alone.cancel()
    assert (await after).balance_after == D("49.00")
    await asyncio.wait([alone])
    assert (await ledger.post(charge(BORIS, "1.00"))).balance_after == D("48.00")
    await ledger.close()
    assert await wallets.balance(ANNA) in {D("49.00"), D("50.00")}


async def test_closing_waits_for_who_stands_behind_one_served_alone(wallets: Wallets) -> None:
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    await ledger.account(ANNA)
    asked = [asyncio.create_task(ledger.post(charge(ANNA, "1.00"))) for _ in range(3)]
    await asyncio.sleep(0)
    await ledger.close()
    assert await wallets.balance(ANNA) == D("47.00")
    await asyncio.gather(*asked)


async def test_one_bad_item_suffers_alone(wallets: Wallets) -> None:
    bad = Item(BORIS, Verb.CHARGE, D("1.00"), operation="\0")
    taken = await wallets.hold(ANNA, "1.00")
    again = Item(ANNA, Verb.HOLD, D(1), hold=taken, expires_at=wallets.later(hours=1))
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    items = [charge(ANNA, "1.00"), bad, again, *(charge(BORIS, "1.00", str(n)) for n in range(8))]
    done = await asyncio.gather(*(ledger.post(item) for item in items), return_exceptions=True)
    assert isinstance(done[1], asyncpg.CharacterNotInRepertoireError)
    assert isinstance(done[2], Conflict)
    assert Counter(map(type, done))[Posted] == 9
    assert (await wallets.balance(ANNA), await wallets.balance(BORIS)) == (D("48.00"), D("42.00"))


async def test_one_frozen_account_does_not_stop_the_others(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "1.00")
    await wallets.charge(BORIS, "1.00")
    await wallets.witness.execute(
        "UPDATE public.user_balances SET frozen = 'looked at' WHERE email = $1", ANNA
    )
    both = (wallets.charge(email, "1.00") for email in (ANNA, BORIS))
    done = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one).__name__ for one in done] == ["AccountFrozen", "Posted"]


async def test_two_ledgers_on_one_hot_account(wallets: Wallets) -> None:
    async with other_ledger(wallets) as other:
        items = [charge(ANNA, "0.10", str(n % 400)) for n in range(800)]
        both = (wallets.ledger, other)
        done = await asyncio.gather(*(both[n % 2].post(item) for n, item in enumerate(items)))
    assert sum(not one.is_replay for one in done) == 400
    assert await wallets.balance(ANNA) == D("10.00")
    by_key = {item.key: {one.movement for one, i in zip(done, items, strict=True) if i == item}
              for item in items}  # fmt: skip
    assert all(len(movements) == 1 for movements in by_key.values())


async def test_nobody_passes_the_floor_from_two_sides(wallets: Wallets) -> None:
    async with other_ledger(wallets) as other:
        both = (wallets.ledger, other)
        asked = (both[n % 2].post(charge(ANNA, "1.00")) for n in range(120))
        done = await asyncio.gather(*asked, return_exceptions=True)
    assert Counter(map(type, done)) == {Posted: 55, Insufficient: 65}
    assert await wallets.balance(ANNA) == D("-5.00")


async def test_overlapping_sets_of_accounts_do_not_deadlock(wallets: Wallets) -> None:
    emails = [f"user{n}@example.org" for n in range(12)]
    await asyncio.gather(*(wallets.ledger.account(email) for email in emails))
    draw = random.Random(1)  # noqa: S311 # draws, not secrets

    async def hammer() -> None:
        for _ in range(15):
            some = draw.sample(emails, 8)
            answers = await wallets.batch(*(charge(email, "0.01") for email in some))
            assert {one.outcome for one in answers} == {Outcome.OK}
            assert [one.amount for one in answers] == [D("-0.01")] * 8

    await asyncio.gather(*(hammer() for _ in range(4)))
    total = await wallets.value("SELECT sum(balance) FROM public.user_balances")
    assert total == 12 * 50 - D("0.01") * 4 * 15 * 8


# --- An account that somebody keeps ---


async def test_one_kept_account_stops_nobody_else(wallets: Wallets) -> None:
    """A hundred others in the same lane go on, twice, while five wait for Anna's row."""
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    emails = [f"user{n}@example.org" for n in range(100)]
    await asyncio.gather(*(ledger.account(email) for email in (ANNA, *emails)))
    async with locked(wallets, ANNA):
        kept: list[asyncio.Task[Posted]] = []
        for _ in range(2):
            kept += [asyncio.create_task(ledger.post(charge(ANNA, "1.00"))) for _ in range(5)]
            await until_somebody_waits(wallets)
            async with asyncio.timeout(PATIENCE_SECONDS):
                rest = await asyncio.gather(*(ledger.post(charge(one, "2.00")) for one in emails))
            assert [type(one) for one in rest] == [Posted] * 100
        assert not any(one.done() for one in kept)
    assert {(await one).is_replay for one in kept} == {False}
    assert await wallets.balance(ANNA) == D("40.00")
    await ledger.close()


async def test_more_kept_accounts_than_connections(wallets: Wallets) -> None:
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    emails = [f"user{n}@example.org" for n in range(30)]
    await asyncio.gather(*(ledger.account(email) for email in (ANNA, *emails)))
    holder = await asyncpg.connect(wallets.settings.database_url.get_secret_value())
    async with holder.transaction():
        await holder.execute(
            "SELECT 1 FROM public.user_balances WHERE email <> $1 FOR UPDATE", ANNA
        )
        kept = [asyncio.create_task(ledger.post(charge(one, "1.00", "k"))) for one in emails]
        await until_somebody_waits(wallets)
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await ledger.post(charge(ANNA, "1.00"))).balance_after == D("49.00")
        assert not any(one.done() for one in kept)
    assert [(await one).balance_after for one in kept] == [D("49.00")] * 30
    await holder.close()


async def test_who_waits_for_a_kept_account_does_not_wait_for_ever(
    wallets: Wallets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zapisano.credits.ledger.ATTEMPTS_TO_LOCK", 2)
    await wallets.ledger.account(ANNA)
    async with locked(wallets, ANNA):
        with pytest.raises(Busy) as refused:
            await wallets.charge(ANNA, "1.00", "k")
        assert not isinstance(refused.value, OutcomeUnknown)
    assert await wallets.balance(ANNA) == D("50.00")
    assert not (await wallets.charge(ANNA, "1.00", "k")).is_replay


async def test_what_is_kept_by_something_else_is_waited_for_aside_too(wallets: Wallets) -> None:
    """A new hold whose number another transaction has just used: no row of an account is kept."""
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    await asyncio.gather(*(ledger.account(email) for email in (ANNA, BORIS)))
    taken, ends = uuid4(), wallets.later(hours=1)
    async with charging(wallets, Item(BORIS, Verb.HOLD, D(1), hold=taken, expires_at=ends)):
        kept = asyncio.create_task(
            ledger.post(Item(ANNA, Verb.HOLD, D(1), hold=taken, expires_at=ends))
        )
        await until_somebody_waits(wallets)
        other = "user@example.org"
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert (await ledger.post(charge(other, "1.00"))).balance_after == D("49.00")
        assert not kept.done()
    with pytest.raises(Conflict):
        await kept


# --- What was not there yet when a batch began ---


async def test_an_account_made_under_a_batch_is_not_overwritten(wallets: Wallets) -> None:
    """The batch waits for Anna's row; meanwhile Boris comes to be, and somebody charges him."""
    await wallets.ledger.account(ANNA)
    async with wallets.database.statements() as conn:
        async with charging(wallets, charge(ANNA, "5.00")):
            both = [charge(ANNA, "1.00"), charge(BORIS, "7.00")]
            batch = asyncio.create_task(store.post(conn, RULES, both, wallets.now))
            await until_somebody_waits(wallets)
            await wallets.ledger.account(BORIS)
            charges_boris = charging(wallets, charge(BORIS, "5.00"))
            await charges_boris.__aenter__()
        (_, pending) = await asyncio.wait([batch], timeout=1)
        await charges_boris.__aexit__(None, None, None)
        answers = await batch
    assert [one.outcome for one in answers] == [Outcome.OK, Outcome.LOCKED]
    assert pending == set(), "it has touched a row that it has not locked"
    assert await wallets.balance(BORIS) == D("45.00")


async def test_a_batch_writes_nothing_of_an_account_that_was_kept(wallets: Wallets) -> None:
    """Boris is charged by another while the batch, which has left him out, is about to write."""
    await asyncio.gather(wallets.ledger.account(ANNA), wallets.ledger.account(BORIS))
    stopper = await asyncpg.connect(wallets.settings.database_url.get_secret_value())
    both = [charge(ANNA, "1.00"), charge(BORIS, "7.00")]
    charged, answers = 0, None
    while answers is None and charged < 20:
        stop, charged = stopper.transaction(), charged + 1
        async with wallets.database.statements() as conn:
            async with charging(wallets, charge(BORIS, "1.00")):
                # Whoever draws the next number has to wait for us.
                await stop.start()
                await stopper.execute(
                    """INSERT INTO public.credit_transactions
                           (id, email, amount, operation, balance_after)
                       SELECT s.last_value + 1, 'x', 1, 'x', 1
                       FROM public.credit_transactions_id_seq AS s"""
                )
                batch = asyncio.create_task(store.post(conn, RULES, both, wallets.now, waits=False))
                await until_somebody_waits(wallets)
            await stop.rollback()
            with contextlib.suppress(Locked):  # the machine was too slow for its patience
                answers = await batch
    await stopper.close()
    assert answers is not None
    assert [one.outcome for one in answers] == [Outcome.OK, Outcome.LOCKED]
    assert await wallets.balance(ANNA) == D("49.00")
    assert await wallets.balance(BORIS) == 50 - charged


# --- The short way ---


@asynccontextmanager
async def charging(wallets: Wallets, item: Item) -> AsyncGenerator[SharedConnection]:
    """Somebody has charged and not committed yet; it is committed at the end of the block."""
    async with wallets.database.shared() as conn:
        await store.post(conn, RULES, [item], wallets.now)
        yield conn


async def test_a_charge_that_had_to_wait_sees_what_it_waited_for(wallets: Wallets) -> None:
    await wallets.ledger.account(ANNA)
    async with charging(wallets, charge(ANNA, "7.00")):
        alone = asyncio.create_task(wallets.charge(ANNA, "1.00"))
        await until_somebody_waits(wallets)
    assert (await alone).balance_after == D("42.00")


async def test_a_charge_that_had_to_wait_finds_too_little_left(wallets: Wallets) -> None:
    await wallets.ledger.account(ANNA)
    async with charging(wallets, charge(ANNA, "50.00")):
        alone = asyncio.create_task(wallets.charge(ANNA, "5.01"))
        await until_somebody_waits(wallets)
    with pytest.raises(Insufficient):
        await alone


@pytest.mark.parametrize("other", ["hold", "grant"])
async def test_a_charge_that_had_to_wait_finds_an_unusual_account(
    wallets: Wallets, other: str
) -> None:
    await wallets.ledger.account(ANNA)
    ends = wallets.later(hours=1)
    hold = uuid4() if other == "hold" else None
    item = Item(ANNA, Verb(other), D("7.00"), hold=hold, expires_at=ends)
    async with charging(wallets, item):
        alone = asyncio.create_task(wallets.charge(ANNA, "9.00"))
        await until_somebody_waits(wallets)
    assert (await alone).balance_after == D("34.00" if other == "hold" else "48.00")


@pytest.mark.parametrize("amount", ["1.00", "2.00"])
async def test_twins_of_one_key_from_two_processes(wallets: Wallets, amount: str) -> None:
    await wallets.ledger.account(ANNA)
    async with charging(wallets, charge(ANNA, "1.00", "k")):
        alone = asyncio.create_task(wallets.charge(ANNA, amount, "k"))
        await until_somebody_waits(wallets)
    (answer,) = await asyncio.gather(alone, return_exceptions=True)
    assert isinstance(answer, Posted) is (amount == "1.00")
    assert await wallets.kinds(ANNA) == ["opening 50.00", "charge -1.00"]


# --- In a transaction of the caller's ---


async def test_a_movement_is_part_of_the_callers_transaction(wallets: Wallets) -> None:
    item = Item(ANNA, Verb.TOPUP, D("9.00"), key="order-1")
    with contextlib.suppress(ZeroDivisionError):
        async with wallets.database.shared() as conn:
            await post(conn, RULES, item, wallets.now)
            raise ZeroDivisionError
    assert await wallets.value("SELECT count(*) FROM public.user_balances") == 0
    async with wallets.database.shared() as conn:
        assert (await post(conn, RULES, item, wallets.now)).balance_after == D("59.00")
        assert (await post(conn, RULES, item, wallets.now)).is_replay
        assert (await account(conn, RULES, ANNA, wallets.now)).balance == D("59.00")


# --- Loss ---


async def end_who_waits(servers: Servers, wallets: Wallets) -> None:
    """Cut off whoever waits for a lock in this database."""
    admin = await asyncpg.connect(servers.postgres.dsn("postgres", user="postgres"))
    try:
        await admin.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = $1 AND wait_event_type = 'Lock'""",
            wallets.database.name,
        )
    finally:
        await admin.close()


async def test_a_lost_charge_with_a_key_is_asked_again(wallets: Wallets, servers: Servers) -> None:
    await wallets.ledger.account(ANNA)
    async with locked(wallets, ANNA):
        asked = asyncio.create_task(wallets.charge(ANNA, "1.00", "k"))
        await until_somebody_waits(wallets)
        await end_who_waits(servers, wallets)
        await until_somebody_waits(wallets)
    assert (await asked).balance_after == D("49.00")
    assert await wallets.kinds(ANNA) == ["opening 50.00", "charge -1.00"]


async def test_a_lost_batch(wallets: Wallets, servers: Servers) -> None:
    """Some with keys, one without, and one that is at fault."""
    await wallets.ledger.account(ANNA)
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    bad = Item(ANNA, Verb.HOLD, D(1), hold=uuid4(), expires_at=wallets.later(hours=1), key="bad")
    await wallets.ledger.post(bad)
    bad = Item(ANNA, Verb.HOLD, D(2), hold=bad.hold, expires_at=bad.expires_at, key="other")
    items = [charge(ANNA, "1.00", "k"), charge(ANNA, "2.00"), bad, charge(ANNA, "4.00", "l")]
    async with locked(wallets, ANNA):
        before = asyncio.create_task(ledger.post(charge(BORIS, "1.00")))  # the others are a batch
        asked = [asyncio.create_task(ledger.post(item)) for item in items]
        await until_somebody_waits(wallets)
        await end_who_waits(servers, wallets)
        unknown = (await asyncio.wait([asked[1]], timeout=PATIENCE_SECONDS))[0]
        assert unknown == {asked[1]}
    async with asyncio.timeout(PATIENCE_SECONDS):
        done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in done] == [Posted, OutcomeUnknown, OutcomeUnknown, Posted]
    assert (await before).balance_after == D("49.00")
    assert await wallets.balance(ANNA) == D("44.00")
    # The lane lives.
    assert (await ledger.post(charge(ANNA, "1.00"))).balance_after == D("43.00")


async def test_a_lost_batch_that_is_never_answered(
    wallets: Wallets, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told that nothing was done, for it may have been."""
    monkeypatch.setattr("zapisano.credits.ledger.PAUSES_SECONDS", (0.0, 0.01))
    ledger = Ledger(wallets.database, RULES, lambda: wallets.now, lanes=1)
    await ledger.account(ANNA)
    admin = await asyncpg.connect(servers.postgres.dsn("postgres", user="postgres"))
    async with locked(wallets, ANNA):
        before = asyncio.create_task(ledger.post(charge(BORIS, "1.00")))  # the others are a batch
        items = [charge(ANNA, "1.00", key) for key in ("k", "l", None)]
        asked = [asyncio.create_task(ledger.post(item)) for item in items]
        await until_somebody_waits(wallets)
        await admin.execute(f"ALTER DATABASE {wallets.database.name} ALLOW_CONNECTIONS false")
        await end_who_waits(servers, wallets)
        async with asyncio.timeout(PATIENCE_SECONDS):
            done = await asyncio.gather(*asked, return_exceptions=True)
        await admin.execute(f"ALTER DATABASE {wallets.database.name} ALLOW_CONNECTIONS true")
    await admin.close()
    assert [type(one) for one in done] == [OutcomeUnknown] * 3
    assert (await before).balance_after == D("49.00")


async def test_a_lost_charge_whose_account_is_kept_to_the_end(
    wallets: Wallets, servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Busy says that nothing was done: not to whom nobody could tell what became of the first."""
    monkeypatch.setattr("zapisano.credits.ledger.ATTEMPTS_TO_LOCK", 2)
    await wallets.ledger.account(ANNA)
    async with locked(wallets, ANNA):
        asked = asyncio.create_task(wallets.charge(ANNA, "1.00", "k"))
        await until_somebody_waits(wallets)
        await end_who_waits(servers, wallets)
        with pytest.raises(OutcomeUnknown):
            await asked


@pytest.mark.parametrize("done", [True, False])
async def test_a_lost_charge_whose_account_is_frozen_meanwhile(
    wallets: Wallets, servers: Servers, *, done: bool
) -> None:
    """The key tells whether it was done, frozen or not."""
    await wallets.ledger.account(ANNA)
    async with locked(wallets, ANNA) as holder:
        asked = asyncio.create_task(wallets.charge(ANNA, "1.00", "k"))
        await until_somebody_waits(wallets)
        if done:  # what the lost one has done before it was lost
            await holder.execute("SET search_path = pg_catalog")
            await store.post(
                SharedConnection(holder), RULES, [charge(ANNA, "1.00", "k")], wallets.now
            )
        await holder.execute("UPDATE public.user_balances SET frozen = 'looked at'")
        await end_who_waits(servers, wallets)
        await until_somebody_waits(wallets)
    (answer,) = await asyncio.gather(asked, return_exceptions=True)
    assert type(answer) is (Posted if done else AccountFrozen)


async def test_a_first_charge_lost_after_the_account_was_made(
    wallets: Wallets, servers: Servers
) -> None:
    """Making the account may be repeated; the charge after it may not, and nobody knows of it."""
    holder = await asyncpg.connect(wallets.settings.database_url.get_secret_value())
    async with holder.transaction():
        # Whoever draws the same number has to wait for us.
        await holder.execute(
            """INSERT INTO public.credit_transactions (id, email, amount, operation, balance_after)
               SELECT s.last_value, 'x', 1, 'x', 1
               FROM public.credit_transactions_id_seq AS s"""
        )
        asked = asyncio.create_task(wallets.charge(ANNA, "1.00"))
        await until_somebody_waits(wallets)
        await end_who_waits(servers, wallets)
        with pytest.raises(OutcomeUnknown):
            await asked
        await holder.execute("DELETE FROM public.credit_transactions")
    await holder.close()
    assert await wallets.kinds(ANNA) == ["opening 50.00"]


async def test_a_read_that_was_lost_is_busy(wallets: Wallets, servers: Servers) -> None:
    await wallets.hold(ANNA, "1.00", hours=1)
    await wallets.pass_time(hours=1)
    async with locked(wallets, ANNA):
        asked = asyncio.create_task(wallets.ledger.account(ANNA))
        await until_somebody_waits(wallets)
        await end_who_waits(servers, wallets)
        with pytest.raises(Busy):
            await asked
    assert (await wallets.ledger.account(ANNA)).held == 0
