"""Holds and grants: what is reserved, what comes back, and what ends with time."""

import asyncio
from collections import Counter
from uuid import uuid4

import pytest
from wallets import ANNA, BORIS, RULES, D, Wallets, charge

from zapisano.credits.model import (
    AccountFrozen,
    HoldClosed,
    Insufficient,
    Item,
    Outcome,
    Posted,
    UnknownHold,
    Verb,
)
from zapisano.credits.store import movements as store


async def state(wallets: Wallets, email: str = ANNA) -> tuple[object, ...]:
    """Balance, held, promo, spent."""
    row = await wallets.witness.fetchrow(
        """SELECT balance, held, promo, total_spent FROM public.user_balances
           WHERE email = $1""",
        email,
    )
    assert row is not None
    return tuple(str(value) for value in row)


async def test_open_holds_count_against_the_floor(wallets: Wallets) -> None:
    await wallets.hold(ANNA, "50.00")
    assert await state(wallets) == ("0.00", "50.00", "0.00", "0.00")
    await wallets.charge(ANNA, "5.00")
    for asked in (wallets.charge(ANNA, "0.01"), wallets.hold(ANNA, "0.01")):
        with pytest.raises(Insufficient):
            await asked


async def test_settling_for_less_gives_the_rest_back(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    done = await wallets.settle(ANNA, hold, "3.50")
    assert (done.amount, done.balance_before, done.balance_after) == (D("-3.50"), 50, D("46.50"))
    assert await state(wallets) == ("46.50", "0.00", "0.00", "3.50")
    assert await wallets.kinds(ANNA) == [
        "opening 50.00", "hold -20.00", "release 20.00", "charge -3.50",
    ]  # fmt: skip


@pytest.mark.parametrize("amount", ["20.00", "20.01", "55.00", "0.00"])
async def test_settling_for_what_the_account_bears(wallets: Wallets, amount: str) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    done = await wallets.settle(ANNA, hold, amount)
    assert done.balance_after == D("50.00") - D(amount)
    assert await wallets.value("SELECT shortfall FROM credits.holds") == 0


async def test_settling_for_more_than_there_is_moves_nothing(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    with pytest.raises(Insufficient) as refused:
        await wallets.settle(ANNA, hold, "55.01")
    assert (refused.value.balance, refused.value.required) == (D("50.00"), D("55.01"))
    assert await state(wallets) == ("30.00", "20.00", "0.00", "0.00")


async def test_a_partial_settlement_goes_to_the_floor_and_keeps_the_shortfall(
    wallets: Wallets,
) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    done = await wallets.settle(ANNA, hold, "60.00", "k", partial=True)
    assert (done.amount, done.balance_after) == (D("-55.00"), D("-5.00"))
    assert await wallets.value("SELECT shortfall FROM credits.holds") == D("5.00")
    assert (await wallets.settle(ANNA, hold, "60.00", "k", partial=True)).amount == D("-55.00")


async def test_a_partial_settlement_on_the_floor_charges_nothing(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "55.00")
    await wallets.charge(BORIS, "1.00")
    await wallets.settle(ANNA, hold, "55.00")
    await wallets.top_up(ANNA, "1.00")
    hold = await wallets.hold(ANNA, "1.00")
    await wallets.settle(ANNA, hold, "9.00", partial=True)
    assert await wallets.value("SELECT shortfall FROM credits.holds WHERE id = $1", hold) == 8


async def test_a_shortfall_loses_no_remainder(wallets: Wallets) -> None:
    await wallets.ledger.post(Item(ANNA, Verb.CHARGE, cost=D("54.993")))
    hold = await wallets.hold(ANNA, "0.01")
    item = Item(ANNA, Verb.SETTLE, cost=D("1.0185"), hold=hold, partial=True)
    done = await wallets.ledger.post(item)
    # 0.003 + 1.0185 = 1.0215: 0.01 was there, 1.01 is missing, 0.0015 is carried.
    assert done.amount == D("-0.01")
    assert await wallets.value("SELECT shortfall FROM credits.holds") == D("1.01")
    assert await wallets.value("SELECT remainder FROM public.user_balances") == D("0.0015")


async def test_a_release_gives_all_back(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    done = await wallets.release(ANNA, hold, "k")
    assert (done.amount, done.balance_after, done.hold) == (D("20.00"), D("50.00"), hold)
    assert await state(wallets) == ("50.00", "0.00", "0.00", "0.00")


async def test_a_hold_ends_once(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    asked = [wallets.settle(ANNA, hold, "1.00") for _ in range(10)]
    asked += [wallets.release(ANNA, hold) for _ in range(10)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert Counter(map(type, done)) == {Posted: 1, HoldClosed: 19}


async def test_a_hold_may_open_and_end_in_one_batch(wallets: Wallets) -> None:
    """The second of them is asked again, and finds the hold."""
    await wallets.ledger.account(ANNA)
    hold = uuid4()
    opens = Item(ANNA, Verb.HOLD, D(5), hold=hold, expires_at=wallets.later(hours=1))
    settles = Item(ANNA, Verb.SETTLE, D(2), hold=hold)
    done = await asyncio.gather(wallets.ledger.post(opens), wallets.ledger.post(settles))
    assert done[1].balance_after == D("48.00")


async def test_a_hold_of_another_account_is_unknown(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00")
    for asked in (
        wallets.settle(BORIS, hold, "1.00"),
        wallets.release(BORIS, hold),
        wallets.release(ANNA, uuid4()),
    ):
        with pytest.raises(UnknownHold):
            await asked


async def test_a_hold_can_always_come_back(wallets: Wallets) -> None:
    """Even to an account that was filled to the top meanwhile."""
    hold = await wallets.hold(ANNA, "50.00")
    other = await wallets.hold(ANNA, "5.00", hours=2)
    (answer,) = await wallets.batch(Item(ANNA, Verb.TOPUP, D("99999999.99")))
    assert answer.outcome is Outcome.TOO_MUCH
    await wallets.top_up(ANNA, "99999949.99")
    await wallets.release(ANNA, hold)
    await wallets.pass_time(hours=3)
    assert (await wallets.ledger.account(ANNA)).balance == D("99999999.99")
    with pytest.raises(HoldClosed, match="expired"):
        await wallets.release(ANNA, other)


# --- Time ---


@pytest.mark.parametrize("how", ["read", "charge", "settle", "expire"])
async def test_an_expired_hold_comes_back_with_whatever_is_next(wallets: Wallets, how: str) -> None:
    hold = await wallets.hold(ANNA, "20.00", hours=1)
    await wallets.hold(ANNA, "1.00", hours=2)
    await wallets.pass_time(hours=1)
    match how:
        case "read":
            assert (await wallets.ledger.account(ANNA)).balance == D("49.00")
        case "charge":
            assert (await wallets.charge(ANNA, "54.00")).balance_after == D("-5.00")
        case "settle":
            with pytest.raises(HoldClosed, match="expired"):
                await wallets.settle(ANNA, hold, "1.00")
        case _:
            async with wallets.database.statements() as conn:
                ((_, due),) = await store.due_accounts(conn, wallets.now, 10)
                assert due == ANNA
                assert await store.expire(conn, RULES, ANNA, wallets.now) == 1
                assert await store.due_accounts(conn, wallets.now, 10) == []
    assert (await wallets.kinds(ANNA))[3] == "expire 20.00"
    assert (await state(wallets))[1] == "1.00"


async def test_a_hold_is_good_until_its_last_moment(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00", hours=1)
    await wallets.pass_time(hours=1, microseconds=-1)
    await wallets.settle(ANNA, hold, "1.00")


async def test_a_renewed_hold_lasts(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00", hours=1)
    async with wallets.database.statements() as conn:
        end = wallets.later(hours=2)
        assert await store.renew(conn, ANNA, hold, wallets.now, end) == "ok"
        await wallets.pass_time(hours=1)
        assert (await wallets.ledger.account(ANNA)).held == D("20.00")
        assert await store.renew(conn, BORIS, hold, wallets.now, end) == "no_account"
        with pytest.raises(UnknownHold):
            await wallets.ledger.renew(BORIS, hold, end)
        await wallets.pass_time(hours=1)
        assert await store.renew(conn, ANNA, hold, wallets.now, end) == "expiry_due"
        assert (await wallets.ledger.account(ANNA)).held == 0
        assert await store.renew(conn, ANNA, hold, wallets.now, end) == "hold_expired"


async def test_a_frozen_accounts_hold_is_not_unknown(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00", hours=1)
    await wallets.witness.execute("UPDATE public.user_balances SET frozen = 'looked at'")
    with pytest.raises(AccountFrozen):
        await wallets.ledger.renew(ANNA, hold, wallets.later(hours=2))


async def test_a_shortened_hold_ends_sooner(wallets: Wallets) -> None:
    hold = await wallets.hold(ANNA, "20.00", hours=9)
    async with wallets.database.statements() as conn:
        assert await store.renew(conn, ANNA, hold, wallets.now, wallets.later(hours=1)) == "ok"
    await wallets.pass_time(hours=1)
    assert (await wallets.ledger.account(ANNA)).held == 0


# --- Grants ---


async def test_grants_are_spent_first_and_the_one_that_ends_first_first(wallets: Wallets) -> None:
    late = await wallets.grant(ANNA, "4.00", days=2)
    soon = await wallets.grant(ANNA, "3.00", days=1)
    await wallets.grant(ANNA, "10.00")
    await wallets.charge(ANNA, "5.00")
    rows = await wallets.witness.fetch("SELECT id, remaining FROM credits.grants ORDER BY id")
    assert [tuple(row) for row in rows] == [(late.movement, 2), (soon.movement, 0)]
    assert await state(wallets) == ("62.00", "0.00", "2.00", "5.00")


async def test_what_is_left_of_a_grant_lapses(wallets: Wallets) -> None:
    await wallets.grant(ANNA, "10.00", days=1)
    await wallets.charge(ANNA, "4.00")
    await wallets.pass_time(days=1)
    assert (await wallets.ledger.account(ANNA)).balance == D("50.00")
    assert (await wallets.kinds(ANNA))[-1] == "lapse -6.00"
    assert await state(wallets) == ("50.00", "0.00", "0.00", "4.00")


async def test_an_overdraft_stays_when_a_grant_lapses(wallets: Wallets) -> None:
    await wallets.charge(ANNA, "55.00")
    await wallets.grant(ANNA, "10.00", days=1)
    await wallets.pass_time(days=1)
    assert (await wallets.ledger.account(ANNA)).balance == D("-5.00")


@pytest.mark.parametrize(("settled", "left"), [("8.00", "50.00"), ("3.00", "50.00")])
async def test_a_hold_that_outlives_its_grant_is_still_paid_from_it(
    wallets: Wallets, settled: str, left: str
) -> None:
    """What was reserved while the grant was good is good; the rest of it lapses afterwards."""
    await wallets.grant(ANNA, "8.00", hours=1)
    hold = await wallets.hold(ANNA, "8.00", hours=3)
    await wallets.pass_time(hours=2)
    assert (await wallets.ledger.account(ANNA)).balance == D("50.00")
    await wallets.settle(ANNA, hold, settled)
    assert (await wallets.ledger.account(ANNA)).balance == D(left)


async def test_what_an_expired_hold_gives_back_to_an_ended_grant_lapses(wallets: Wallets) -> None:
    await wallets.grant(ANNA, "8.00", hours=1)
    await wallets.hold(ANNA, "9.00", hours=3)
    await wallets.pass_time(hours=4)
    assert (await wallets.ledger.account(ANNA)).balance == D("50.00")
    assert (await wallets.kinds(ANNA))[-2:] == ["expire 9.00", "lapse -8.00"]


async def test_nobody_in_the_batch_spends_what_came_back_to_an_ended_grant(
    wallets: Wallets,
) -> None:
    await wallets.grant(ANNA, "8.00", hours=1)
    hold = await wallets.hold(ANNA, "8.00", hours=3)
    await wallets.pass_time(hours=2)
    await wallets.ledger.account(ANNA)
    settles = Item(ANNA, Verb.SETTLE, D(3), hold=hold)
    answers = await wallets.batch(settles, charge(ANNA, "5.00"))
    assert [one.outcome for one in answers] == [Outcome.OK, Outcome.EXPIRY_DUE]
    await wallets.charge(ANNA, "5.00")
    assert await state(wallets) == ("45.00", "0.00", "0.00", "8.00")
