"""The ledger, one behaviour at a time; what is asserted was read through a second connection.

The fixture asks for every invariant after each of these tests.
"""

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import LiteralString, cast
from uuid import uuid4

import asyncpg
import pytest
from wallets import ANNA, BORIS, RULES, D, Wallets, charge

from zapisano.credits.ledger import Ledger
from zapisano.credits.model import (
    AccountFrozen,
    BadAmount,
    Insufficient,
    Item,
    KeyReused,
    NotRefundable,
    Outcome,
    Posted,
    TooMuch,
    Verb,
)
from zapisano.credits.store import movements as store

Record = asyncpg.Record

# --- Opening ---


async def test_an_account_opens_once_however_many_come_first(wallets: Wallets) -> None:
    ledgers = [wallets.another() for _ in range(5)]
    looks = [ledger.account(ANNA) for ledger in ledgers for _ in range(5)]
    charges = [ledger.post(charge(ANNA, "0.10")) for ledger in ledgers for _ in range(5)]
    await asyncio.gather(*looks, *charges)
    assert await wallets.balance(ANNA) == D("47.50")
    assert (await wallets.kinds(ANNA)).count("opening 50.00") == 1


async def test_a_test_account_opens_with_more(wallets: Wallets) -> None:
    seen = await wallets.ledger.account("test@doctor-opus.ru")
    assert (seen.balance, seen.total_spent, seen.is_test) == (D("100.00"), D("0.00"), True)
    assert (await wallets.ledger.account(ANNA)).is_test is False


async def test_reading_twice_gives_one_opening(wallets: Wallets) -> None:
    first, second = await wallets.ledger.account(ANNA), await wallets.ledger.account(ANNA)
    assert first == second
    assert await wallets.kinds(ANNA) == ["opening 50.00"]


# --- Charges and the floor ---


async def test_a_charge_is_in_both_tables(wallets: Wallets) -> None:
    done = await wallets.ledger.post(
        replace(charge(ANNA, "5.50"), metadata='{"model": "opus", "tokens": {"input": 1.10}}')
    )
    assert (done.balance_before, done.balance_after) == (D("50.00"), D("44.50"))
    row = await wallets.witness.fetchrow(
        """SELECT email, amount, operation, metadata::text, balance_after
           FROM public.credit_transactions"""
    )
    told = '{"model": "opus", "tokens": {"input": 1.10}}'
    assert row is not None
    assert tuple(row) == (ANNA, D("5.50"), "Анализ ЭКГ", told, D("44.50"))
    assert await wallets.value("SELECT total_spent FROM public.user_balances") == D("5.50")


async def test_a_batch_folds_and_does_not_sum(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "49.00")
    answers = await wallets.batch(*(charge(ANNA, amount) for amount in ("9", "1", "2")))
    assert [one.outcome for one in answers] == [Outcome.INSUFFICIENT, Outcome.OK, Outcome.OK]
    assert [one.balance for one in answers] == [D("1.00"), D("0.00"), D("-2.00")]
    assert await wallets.balance(ANNA) == D("-2.00")


async def test_exactly_the_floor_is_allowed_and_a_hundredth_more_is_not(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "55.00")
    with pytest.raises(Insufficient) as refused:
        await wallets.charge(ANNA, "0.01")
    assert (refused.value.balance, refused.value.required) == (D("-5.00"), D("0.01"))
    assert await wallets.balance(ANNA) == D("-5.00")


async def test_the_remainder_is_carried(wallets: Wallets) -> None:
    item = Item(ANNA, Verb.CHARGE, cost=D("0.000185"), operation="Tokens")
    charged = await asyncio.gather(*(wallets.ledger.post(item) for _ in range(1000)))
    assert sum(one.amount for one in charged) == D("-0.18")
    assert Counter(one.amount for one in charged) == {D("0.00"): 982, D("-0.01"): 18}
    assert await wallets.value("SELECT remainder FROM public.user_balances") == D("0.005")
    # What was less than a hundredth is no charge of the documented table.
    assert await wallets.value("SELECT count(*) FROM public.credit_transactions") == 18


@pytest.mark.parametrize(
    "amount", ["NaN", "sNaN", "Infinity", "-Infinity", "1e400", "0", "-1", "1.001", "100000000"]
)
async def test_what_is_no_sum_of_money_does_not_reach_the_ledger(amount: str) -> None:
    signed = {Verb.ADJUST} if amount == "-1" else set[Verb]()
    may_be_nothing = {Verb.SETTLE} if amount == "0" else set[Verb]()
    for verb in set(Verb) - signed - may_be_nothing:
        with pytest.raises(BadAmount):
            Item(ANNA, verb, D(amount))


@pytest.mark.parametrize("cost", ["NaN", "Infinity", "-1", "1e-13", "100000000"])
async def test_a_cost_has_a_finest_place(cost: str) -> None:
    with pytest.raises(BadAmount):
        Item(ANNA, Verb.CHARGE, cost=D(cost))
    with pytest.raises(BadAmount):
        Item(ANNA, Verb.HOLD, cost=D(1))
    with pytest.raises(BadAmount):
        Item(ANNA, Verb.CHARGE, D(1), cost=D(1))
    with pytest.raises(BadAmount):
        Item(ANNA, Verb.CHARGE)


async def test_past_the_program_no_charge_is_finer_than_the_columns(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "1.00")
    item = charge(ANNA, "1.00")
    object.__setattr__(item, "amount", D("0.006"))
    async with wallets.database.statements() as conn:
        assert await store.charge(conn, RULES, item, wallets.now) is None
    assert await wallets.balance(ANNA) == D("49.00")


async def test_past_the_program_no_sum_goes_the_other_way(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "1.00")
    for verb in (Verb.CHARGE, Verb.HOLD, Verb.GRANT, Verb.TOPUP):
        item = Item(
            ANNA, verb, D("1.00"), operation="x", hold=uuid4(), expires_at=wallets.later(hours=1)
        )
        object.__setattr__(item, "amount", D("-1.00"))
        async with wallets.database.statements() as conn:
            with pytest.raises(asyncpg.CheckViolationError, match="goes the other way"):
                await store.post(conn, RULES, [item], wallets.now)
    assert await wallets.kinds(ANNA) == ["opening 50.00", "charge -1.00"]


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "100000000.00", "1e12", "-1"])
async def test_past_the_program_the_database_refuses_them_too(
    wallets: Wallets, amount: str
) -> None:
    await wallets.charge(ANNA, "1.00")
    item = charge(ANNA, "1.00")
    object.__setattr__(item, "amount", D(amount))
    refused = contextlib.suppress(asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError)
    async with wallets.database.statements() as conn:
        with refused:
            (answer,) = await store.post(conn, RULES, [item], wallets.now)
            assert answer.outcome in {Outcome.TOO_MUCH, Outcome.INSUFFICIENT}
        with refused:
            assert await store.charge(conn, RULES, item, wallets.now) is None
    assert await wallets.balance(ANNA) == D("49.00")


async def test_an_account_has_a_top(wallets: Wallets) -> None:
    await wallets.top_up(ANNA, "99999949.99")
    assert await wallets.balance(ANNA) == D("99999999.99")
    with pytest.raises(TooMuch):
        await wallets.top_up(ANNA, "0.01")
    await wallets.charge(ANNA, "0.01")
    await wallets.top_up(ANNA, "0.01")


async def test_an_adjustment_goes_both_ways_and_to_the_floor(wallets: Wallets) -> None:
    for amount in ("-55.00", "7.00"):
        await wallets.ledger.post(Item(ANNA, Verb.ADJUST, D(amount), operation="Mended"))
    with pytest.raises(Insufficient):
        await wallets.ledger.post(Item(ANNA, Verb.ADJUST, D("-7.01"), operation="Mended"))
    assert await wallets.kinds(ANNA) == ["opening 50.00", "adjust -55.00", "adjust 7.00"]
    assert await wallets.value("SELECT total_spent FROM public.user_balances") == 0


# --- Keys ---


async def test_a_key_asked_again_gets_the_same_answer(wallets: Wallets) -> None:
    first = await wallets.charge(ANNA, "2.00", "k")
    await wallets.charge(ANNA, "1.00")
    again = await wallets.charge(ANNA, "2.00", "k")
    assert again == replace(first, is_replay=True)
    assert await wallets.balance(ANNA) == D("47.00")


async def test_every_verb_can_be_asked_again(wallets: Wallets) -> None:
    charged = await wallets.charge(ANNA, "3.00")
    hold, other = await wallets.hold(ANNA, "9.00"), await wallets.hold(ANNA, "1.00")
    asked = [
        Item(ANNA, Verb.HOLD, D(4), hold=uuid4(), expires_at=wallets.later(hours=1), key="hold"),
        Item(ANNA, Verb.SETTLE, D(5), hold=hold, key="settle"),
        Item(ANNA, Verb.RELEASE, hold=other, key="release"),
        Item(ANNA, Verb.GRANT, D(6), expires_at=wallets.later(days=1), key="grant"),
        Item(ANNA, Verb.REFUND, D(2), refers=charged.movement, key="refund"),
        Item(ANNA, Verb.TOPUP, D(8), key="topup"),
        Item(ANNA, Verb.ADJUST, D("-0.50"), key="adjust"),
        Item(ANNA, Verb.CHARGE, cost=D("0.019"), key="cost"),
    ]
    first = [await wallets.ledger.post(item) for item in asked]
    balance, posted = await wallets.balance(ANNA), await wallets.kinds(ANNA)
    # A new hold's id and end are drawn anew by every attempt.
    asked[0] = replace(asked[0], hold=uuid4(), expires_at=wallets.later(hours=2))
    again = await asyncio.gather(*(wallets.ledger.post(item) for item in asked))
    assert again == [replace(one, is_replay=True) for one in first]
    assert (await wallets.balance(ANNA), await wallets.kinds(ANNA)) == (balance, posted)


@pytest.mark.parametrize(
    "other",
    [
        charge(ANNA, "2.01", "k"),
        replace(charge(ANNA, "2.00", "k"), operation="Other"),
        replace(charge(ANNA, "2.00", "k"), metadata="{}"),
        Item(ANNA, Verb.TOPUP, D("2.00"), operation="Анализ ЭКГ", key="k"),
        Item(ANNA, Verb.CHARGE, cost=D("2.00"), operation="Анализ ЭКГ", key="k"),
    ],
)
async def test_a_key_is_of_one_request(wallets: Wallets, other: Item) -> None:
    await wallets.charge(ANNA, "2.00", "k")
    with pytest.raises(KeyReused):
        await wallets.ledger.post(other)
    assert await wallets.balance(ANNA) == D("48.00")


async def test_a_key_is_of_one_account(wallets: Wallets) -> None:
    done = [await wallets.charge(email, "2.00", "k") for email in (ANNA, BORIS)]
    assert [one.is_replay for one in done] == [False, False]


async def test_an_amount_is_the_same_however_it_is_written(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "2", "k")
    assert (await wallets.charge(ANNA, "2.00", "k")).is_replay


async def test_insufficient_is_forgotten(wallets: Wallets) -> None:
    with pytest.raises(Insufficient):
        await wallets.charge(ANNA, "60.00", "k")
    await wallets.top_up(ANNA, "10.00")
    assert (await wallets.charge(ANNA, "60.00", "k")).is_replay is False
    assert await wallets.balance(ANNA) == D("0.00")


async def test_twins_of_one_key_in_one_batch(wallets: Wallets) -> None:
    await wallets.ledger.account(ANNA)
    answers = await wallets.batch(*(charge(ANNA, "2.00", key) for key in ("k", "k", "l")))
    assert [one.outcome for one in answers] == [Outcome.OK, Outcome.TWIN, Outcome.OK]
    done = await asyncio.gather(*(wallets.charge(ANNA, "3.00", "m") for _ in range(100)))
    assert sum(not one.is_replay for one in done) == 1
    assert len({one.movement for one in done}) == 1
    assert await wallets.balance(ANNA) == D("43.00")


async def test_a_twin_of_a_refused_one_has_its_own_chance(wallets: Wallets) -> None:
    """The first of them comes too early; the second after the money."""
    await wallets.charge(ANNA, "50.00")
    answers = await wallets.batch(
        charge(ANNA, "9.00", "k"), Item(ANNA, Verb.TOPUP, D("5.00")), charge(ANNA, "9.00", "k")
    )
    assert [one.outcome for one in answers] == [Outcome.INSUFFICIENT, Outcome.OK, Outcome.OK]


# --- Refunds ---


async def test_refunds_never_exceed_the_charge(wallets: Wallets) -> None:
    charged = await wallets.charge(ANNA, "10.00")
    await wallets.refund(ANNA, charged.movement, "4.00")
    refunds = (wallets.refund(ANNA, charged.movement, "2.50") for _ in range(20))
    done = await asyncio.gather(*refunds, return_exceptions=True)
    assert Counter(map(type, done)) == {Posted: 2, NotRefundable: 18}
    assert await wallets.balance(ANNA) == D("49.00")
    assert await wallets.value("SELECT total_spent FROM public.user_balances") == D("1.00")


async def test_a_refund_without_an_amount_returns_what_is_left(wallets: Wallets) -> None:
    charged = await wallets.charge(ANNA, "10.00")
    await wallets.refund(ANNA, charged.movement, "4.00")
    rest = Item(ANNA, Verb.REFUND, refers=charged.movement)
    assert (await wallets.ledger.post(rest)).amount == D("6.00")
    with pytest.raises(NotRefundable):
        await wallets.ledger.post(rest)


async def test_only_an_own_charge_is_refunded(wallets: Wallets) -> None:
    charged, other = await wallets.charge(ANNA, "10.00"), await wallets.top_up(ANNA, "5.00")
    for email, movement in ((BORIS, charged.movement), (ANNA, other.movement), (ANNA, 10**12)):
        with pytest.raises(NotRefundable):
            await wallets.refund(email, movement, "0.01")


# --- Alerts ---


async def test_every_fall_under_the_threshold_is_told_once(wallets: Wallets) -> None:
    for amount in ("39.00", "1.00", "0.01", "1.00", "1.00"):
        await wallets.charge(ANNA, amount)
    await wallets.top_up(ANNA, "5.00")
    await wallets.charge(ANNA, "4.00")
    rows = await wallets.witness.fetch(
        "SELECT balance, threshold, next_at FROM credits.alerts ORDER BY movement"
    )
    expected = [(D("9.99"), D("10.00"), wallets.now), (D("8.99"), D("10.00"), wallets.now)]
    assert [tuple(row) for row in rows] == expected


async def test_what_is_put_aside_is_no_fall(wallets: Wallets) -> None:
    """11.00 with a threshold of 10.00: holds come and go, until what is spent is more than 1.00."""
    await wallets.charge(ANNA, "39.00")

    async def told() -> D:
        return await wallets.value("SELECT count(*) FROM credits.alerts")

    for _ in range(3):
        hold, other = await wallets.hold(ANNA, "5.00"), await wallets.hold(ANNA, "3.00")
        await wallets.settle(ANNA, hold, "0.01")
        await wallets.release(ANNA, other)
    assert await told() == 0
    hold = await wallets.hold(ANNA, "5.00")
    await wallets.charge(ANNA, "0.97")
    assert await told() == 0
    await wallets.charge(ANNA, "0.01")
    assert await told() == 1
    await wallets.settle(ANNA, hold, "5.00")
    assert await told() == 1


async def test_without_a_threshold_nobody_is_told(wallets: Wallets) -> None:
    quiet = Ledger(wallets.database, replace(RULES, threshold=None), lambda: wallets.now)
    await quiet.post(charge(ANNA, "45.00"))
    await quiet.post(charge(ANNA, "5.00", "k"))
    assert await wallets.value("SELECT count(*) FROM credits.alerts") == 0


# --- Frozen ---


async def test_a_frozen_account_stands_still(wallets: Wallets) -> None:
    charged = await wallets.charge(ANNA, "1.00", "k")
    await wallets.witness.execute("UPDATE public.user_balances SET frozen = 'looked at'")
    before = await wallets.kinds(ANNA)
    for asked in (
        wallets.charge(ANNA, "1.00"),
        wallets.charge(ANNA, "1.00", "l"),
        wallets.refund(ANNA, charged.movement, "1.00"),
        wallets.ledger.account(ANNA),
    ):
        with pytest.raises(AccountFrozen):
            await asked
    # What was done before stays done, and is told.
    assert await wallets.charge(ANNA, "1.00", "k") == replace(charged, is_replay=True)
    with pytest.raises(KeyReused):
        await wallets.charge(ANNA, "1.01", "k")
    assert await wallets.kinds(ANNA) == before
    await wallets.charge(BORIS, "1.00")


async def test_a_key_used_before_accounts_were_merged_is_known(wallets: Wallets) -> None:
    """A key is of an address: also when the account that had it is another's part by now."""
    charged = await wallets.charge(ANNA, "1.00", "k")
    await wallets.witness.execute(
        """UPDATE public.user_balances SET frozen = 'merged';
           INSERT INTO public.user_balances (email, balance) VALUES ('Anna@example.org', 20)"""
    )
    assert (await wallets.charge(ANNA, "2.00", "l")).balance_after == D("18.00")
    assert await wallets.charge(ANNA, "1.00", "k") == replace(charged, is_replay=True)
    both = await wallets.batch(charge(ANNA, "1.00", "k"), charge(ANNA, "3.00", "m"))
    assert [(one.outcome, one.balance) for one in both] == [
        (Outcome.REPLAY, D("49.00")),
        (Outcome.OK, D("15.00")),
    ]


async def test_addresses_that_clash_by_case_are_frozen(wallets: Wallets) -> None:
    await wallets.witness.execute(
        """INSERT INTO public.user_balances (email, balance)
           VALUES ('Anna@Example.org', 7), ('ANNA@example.org', 8)"""
    )
    with pytest.raises(AccountFrozen):
        await wallets.charge(ANNA, "1.00")
    frozen = await wallets.witness.fetch("SELECT frozen, balance FROM public.user_balances")
    assert [row["frozen"] for row in frozen] == ["the address clashes"] * 2


# --- The app's role ---


@pytest.mark.parametrize(
    "attempt",
    [
        "UPDATE credits.postings SET amount = 0",
        "DELETE FROM credits.postings",
        "TRUNCATE credits.postings",
        "DELETE FROM public.user_balances",
        "UPDATE public.credit_transactions SET amount = 1",
        "DELETE FROM public.credit_transactions",
        "DELETE FROM credits.holds",
        "UPDATE credits.draws SET amount = 1",
        "INSERT INTO credits.house_accounts (account, name) VALUES (-9, 'own')",
        "ALTER TABLE credits.postings DROP CONSTRAINT postings_sound",
    ],
)
async def test_the_app_cannot_rewrite_what_was(wallets: Wallets, attempt: str) -> None:
    await wallets.charge(ANNA, "1.00")
    async with wallets.database.statements() as conn:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(cast("LiteralString", attempt))
