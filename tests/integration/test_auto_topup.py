"""Auto top-up against the simulated YooKassa: consent, one charge at a time, limits, declines."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from integration.auto_topup_fixtures import (
    EXPIRED,
    GOOD,
    NO_MONEY,
    TERMS,
    Saver,
    saver,
    tomorrow,
)
from integration.payments_fixtures import (
    Witness,
    kassa,
    now,
    provider,
    queued,
    shared_kassa,
    shop_settings,
    until,
    working,
)
from integration.refunds_fixtures import refund_settles, refunds
from integration.topup_fixtures import ANNA, payer, sums_to_zero, topups
from integration.yookassa_fixtures import Simulator
from zapisano.credits.model import KeyReused
from zapisano.jobs import schedule
from zapisano.payments import (
    AutopayOff,
    AutoTerms,
    ChoiceFrozen,
    OrderClosed,
    Outcome,
    ProviderUnavailable,
    Status,
    choose,
    poll,
    start_payment,
)
from zapisano.payments.auto_topup import LOOK_AGAIN, charge, find_low, prepare
from zapisano.payments.jobs import FindLow
from zapisano.settings import Settings

__all__ = ["kassa", "payer", "provider", "saver", "shared_kassa"]
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
DECLINED, ENDED = "auto_topup.declined", "auto_topup.ended"


@pytest.fixture
def settings(settings: Settings, kassa: Simulator) -> Settings:
    return shop_settings(settings, kassa, yookassa_autopay=True)


@pytest.fixture(autouse=True)
def agreement(kassa: Simulator) -> object:
    """YooKassa agrees, and does so again after a test."""
    yield
    kassa.control("shop", {"recurring": True})


def noon(settings: Settings) -> datetime:
    """Noon of the operator's day, far enough from both of its ends."""
    assert settings.time_zone == "Europe/Moscow"
    return now().replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=1)


async def test_nothing_is_asked_of_yookassa_before_the_payer_has_decided(
    saver: Saver, kassa: Simulator
) -> None:
    order = await saver.asks()
    assert (order.status, order.payment_id, order.auto) == (Status.CREATED, None, TERMS)
    assert not any(call["key"] == order.idempotence_key for call in kassa.log()["calls"])


async def test_an_unticked_box_is_a_single_payment(saver: Saver, witness: Witness) -> None:
    order = await saver.agrees(ticks=False)
    assert order.status is Status.PAID
    assert "save_payment_method" not in json.loads(order.request_body)
    assert await witness.fetchval("SELECT count(*) FROM shared.saved_methods") == 0
    await saver.spends("140")
    assert await saver.lives() == []


async def test_a_ticked_box_keeps_the_method_with_what_was_agreed(
    saver: Saver, witness: Witness
) -> None:
    order = await saver.agrees()
    body = json.loads(order.request_body)
    assert body["save_payment_method"] is True
    agreed = {key: body["metadata"][f"autopay_{key}"] for key in ("below", "amount", "per_day")}
    assert agreed == {"below": "100.00", "amount": "500.00", "per_day": "1"}
    method = await saver.method()
    assert (method.email, method.terms, method.order_id) == (ANNA, TERMS, order.id)
    assert (method.card, method.declines, method.ended_for) == ("•• 4477", 0, None)
    rows = await witness.fetch("SELECT kind, data::text FROM shared.journal ORDER BY id")
    kinds = [row["kind"] for row in rows]
    assert {"order.autopay_agreed", "auto_topup.saved"} <= set(kinds)
    assert not any(ANNA in row["data"] for row in rows)


async def test_a_box_ticked_after_the_payment_was_asked_for_is_too_late(saver: Saver) -> None:
    payer, order = saver.payer, await saver.asks()
    await start_payment(payer.database, payer.provider, order.id, now())
    with pytest.raises(ChoiceFrozen):
        async with payer.database.shared() as conn:
            await choose(conn, payer.settings, order.id, keeps_method=True, contact=None)


async def test_without_the_operators_word_it_cannot_be_asked_for(saver: Saver) -> None:
    payer = saver.payer
    off = payer.settings.model_copy(update={"yookassa_autopay": False})
    with pytest.raises(AutopayOff):
        await replace(saver, payer=replace(payer, settings=off)).asks()


async def test_a_key_names_one_agreement(saver: Saver) -> None:
    first = await saver.asks(key="k")
    assert (await saver.asks(key="k")).id == first.id
    with pytest.raises(KeyReused):
        await saver.asks(AutoTerms(TERMS.below, TERMS.amount, 2), key="k")


async def test_an_account_that_runs_low_is_charged_once_and_credited(
    saver: Saver, witness: Witness
) -> None:
    await saver.agrees()
    assert await saver.lives() == []  # 150 are there
    await saver.spends("50")
    assert await saver.lives() == []  # 100 are not less than 100
    await saver.spends("0.01")
    (order,) = await saver.lives()
    assert (order.status, order.amount, order.email) == (Status.PAID, Decimal("500.00"), ANNA)
    assert await saver.balance() == Decimal("599.99")
    body = json.loads(order.request_body)
    assert "confirmation" not in body
    assert "save_payment_method" not in body
    assert saver.asked() == [order.idempotence_key]
    assert len(await topups(witness)) == 2
    assert await sums_to_zero(witness)
    assert len(await saver.lives()) == 1


async def test_what_is_held_is_not_there_to_be_spent(saver: Saver, witness: Witness) -> None:
    await saver.agrees()
    await witness.execute(
        "UPDATE public.user_balances SET balance = 90, held = 60 WHERE email = $1", ANNA
    )
    assert await saver.finds() == 1


async def test_eight_workers_at_once_charge_once(saver: Saver, witness: Witness) -> None:
    """Eight sweeps find it once; eight jobs for it at one instant make one payment."""
    await saver.agrees()
    await saver.spends("140")
    payer = saver.payer
    await asyncio.gather(
        *(find_low(payer.database, payer.settings, FindLow(), now()) for _ in range(8))
    )
    (job,) = await saver.waiting()
    await asyncio.gather(
        *(
            charge(payer.database, payer.provider, payer.settings, job["method"], now())
            for _ in range(8)
        )
    )
    (order,) = await saver.charges()
    assert set(saver.asked()) == {order.idempotence_key}
    assert await payer.settles(order.payment_id or "") is Outcome.PAID
    assert len(await topups(witness)) == 2


async def test_the_worker_does_it_by_itself_and_looks_again(saver: Saver, witness: Witness) -> None:
    await saver.agrees()
    await saver.spends("140")
    payer = saver.payer
    settings = payer.settings.model_copy(update={"credits_auto_topup_seconds": 1})
    async with working(payer.database, payer.provider, settings):
        async with payer.database.shared() as conn:
            await schedule(conn, FindLow(), at=now(), subject="")

        async def is_there() -> bool:
            return await saver.balance() == Decimal("510.00")

        await until(is_there)
        await saver.spends("10")
        assert len(await topups(witness)) == 2
    assert await witness.fetchval(
        """SELECT (SELECT count(*) FROM shared.due WHERE kind = 'payments.find_low')
            + (SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = 'payments.find_low')"""
    )


async def test_no_more_often_a_day_than_was_agreed(saver: Saver) -> None:
    await saver.agrees(AutoTerms(Decimal(100), Decimal(20), 2))
    await saver.spends("140")
    at, midnight = noon(saver.payer.settings), noon(saver.payer.settings) + 12 * HOUR
    for hours, made in ((0, 1), (1, 2), (2, 2), (11, 2)):
        assert len(await saver.lives(at + hours * HOUR)) == made, hours
    assert len(await saver.lives(midnight - MINUTE)) == 2
    assert len(await saver.lives(midnight)) == 3
    # A new consent of the same day does not begin the count anew.
    await saver.agrees(AutoTerms(Decimal(1000), Decimal(20), 1))
    assert len(await saver.lives(midnight + HOUR)) == 3
    assert len(await saver.lives(tomorrow(midnight))) == 4


async def test_a_decline_doubles_the_pause_and_is_told_once(saver: Saver) -> None:
    await saver.agrees()
    await saver.spends("140")
    await saver.changes_card(card=NO_MONEY)
    at = noon(saver.payer.settings)
    for number, pause in enumerate((HOUR, 2 * HOUR, 4 * HOUR), start=1):
        assert len(await saver.lives(at)) == number
        method = await saver.method()
        assert (method.declines, method.declined_for) == (number, "insufficient_funds")
        assert method.next_at == at + pause
        assert len(await saver.lives(at + pause - MINUTE)) == number
        at += pause
    assert await saver.told() == [(DECLINED, "insufficient_funds")]
    await saver.changes_card(card=GOOD)
    *_, last = await saver.lives(at)
    assert last.status is Status.PAID
    method = await saver.method()
    assert (method.declines, method.declined_for) == (0, None)
    # The next one in a row is told again, and is waited out for an hour again.
    await saver.spends("500")
    await saver.changes_card(card=NO_MONEY)
    at = tomorrow(at)
    await saver.lives(at)
    assert (await saver.method()).next_at == at + HOUR
    assert await saver.told() == [(DECLINED, "insufficient_funds")] * 2


@pytest.mark.parametrize("reason", ["permission_revoked", "card_expired"])
async def test_a_dead_card_ends_it_and_that_is_told(
    saver: Saver, witness: Witness, reason: str
) -> None:
    await saver.agrees()
    await saver.spends("140")
    revoked = reason == "permission_revoked"
    await saver.changes_card(revoked=revoked, card=None if revoked else EXPIRED)
    (order,) = await saver.lives()
    assert order.cancel_reason == reason
    method = await saver.method()
    assert (method.ended_for, method.method_id, method.receipt_contact) == (reason, None, None)
    assert await saver.told() == [(ENDED, reason)]
    assert len(await saver.lives(tomorrow(now()))) == 1
    told = await witness.fetch("SELECT kind FROM shared.journal WHERE kind = 'auto_topup.ended'")
    assert len(told) == 1


async def test_without_yookassas_agreement_it_waits_and_tells_once(
    saver: Saver, kassa: Simulator
) -> None:
    await saver.agrees()
    await saver.spends("140")
    kassa.control("shop", {"recurring": False})
    at = noon(saver.payer.settings)
    (order,) = await saver.lives(at)
    assert (order.status, order.cancel_reason) == (Status.CANCELED, "refused")
    assert (await saver.method()).next_at == at + HOUR
    await saver.lives(at + HOUR)
    assert await saver.told() == [(DECLINED, "refused")]
    kassa.control("shop", {"recurring": True})
    *_, last = await saver.lives(at + 3 * HOUR)
    assert last.status is Status.PAID


async def test_while_somebody_pays_by_hand_nothing_is_charged(saver: Saver) -> None:
    await saver.agrees()
    await saver.spends("140")
    by_hand = await saver.payer.asks("200")
    assert await saver.finds() == 0
    saver.payer.kassa.control("pay", {"payment_id": by_hand.payment_id})
    await saver.payer.settles(by_hand.payment_id or "")
    assert await saver.finds() == 0  # 210 are there
    await saver.spends("200")
    assert len(await saver.lives()) == 1


async def test_an_offer_that_nobody_has_pressed_is_not_in_the_way(saver: Saver) -> None:
    await saver.agrees()
    await saver.spends("140")
    await saver.asks()
    assert len(await saver.lives()) == 1


async def test_a_charge_under_review_stops_the_next(saver: Saver, witness: Witness) -> None:
    await saver.agrees(AutoTerms(Decimal(100), Decimal(20), 10))
    await saver.spends("140")
    await saver.finds()
    await saver.works()
    (order,) = await saver.charges()
    await witness.execute("UPDATE shared.orders SET amount = 21 WHERE id = $1", order.id)
    assert await saver.payer.settles(order.payment_id or "") is Outcome.REVIEW
    at = now() + HOUR
    assert await saver.finds(at) == 0
    await charge_directly(saver, at)
    assert len(await saver.charges()) == 1
    # The operator has decided.
    await witness.execute("UPDATE shared.reviews SET closed_at = now()")
    assert len(await saver.lives(at)) == 2


async def charge_directly(saver: Saver, at: datetime) -> None:
    """As if a job had waited in the queue for long."""
    payer, method = saver.payer, await saver.method()
    await charge(payer.database, payer.provider, payer.settings, method.id, at)


@pytest.mark.parametrize("by", ["job", "sweep"])
async def test_a_worker_killed_before_the_call_leaves_no_trace(saver: Saver, by: str) -> None:
    await saver.agrees()
    await saver.spends("140")
    await saver.finds()
    payer, method = saver.payer, await saver.method()
    async with payer.database.shared() as conn:
        order_id = await prepare(conn, payer.settings, method.id, now())
    assert order_id is not None
    assert saver.asked() == []
    if by == "job":  # its job is still there, and is done again
        await saver.works()
    else:
        await saver.witness.execute("DELETE FROM shared.pgqueuer")
        await saver.lives(now() + 2 * MINUTE)
    (order,) = await saver.charges()
    assert order.id == order_id
    assert saver.asked() == [order.idempotence_key]


async def test_a_charge_that_was_left_for_long_is_not_made(saver: Saver) -> None:
    await saver.agrees()
    await saver.spends("140")
    payer, method = saver.payer, await saver.method()
    async with payer.database.shared() as conn:
        old = await prepare(conn, payer.settings, method.id, now())
    (dropped, made) = await saver.lives(now() + HOUR)
    assert (dropped.id, dropped.status, made.status) == (old, Status.CANCELED, Status.PAID)
    assert saver.asked() == [made.idempotence_key]


async def test_an_unknown_outcome_is_finished_by_the_poller(
    saver: Saver, witness: Witness, kassa: Simulator
) -> None:
    await saver.agrees(AutoTerms(Decimal(100), Decimal(20), 10))
    await saver.spends("140")
    await saver.finds()
    kassa.fault("500", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await saver.works()
    (order,) = await saver.charges()
    at = now() + HOUR
    assert await saver.finds(at) == 0
    await charge_directly(saver, at)
    assert len(await saver.charges()) == 1
    payer = saver.payer
    await poll(payer.database, payer.provider, payer.settings, order.id, at)
    assert (await payer.order(order.id)).status is Status.PAID
    assert set(saver.asked()) == {order.idempotence_key}
    assert len(await topups(witness)) == 2


async def test_a_doubt_is_not_repeated_once_it_was_switched_off(
    saver: Saver, kassa: Simulator
) -> None:
    await saver.agrees()
    await saver.spends("140")
    await saver.finds()
    kassa.fault("500", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await saver.works()
    (order,), asked = await saver.charges(), saver.asked()
    assert await saver.ends()
    payer = saver.payer
    await poll(payer.database, payer.provider, payer.settings, order.id, now())
    assert saver.asked() == asked


async def test_switched_off_is_off_at_once(saver: Saver, witness: Witness) -> None:
    await saver.agrees()
    await saver.spends("140")
    await saver.finds()
    assert await saver.ends()
    assert not await saver.ends()
    await saver.works()
    assert await saver.charges() == []
    assert (await saver.method()).ended_for == "owner"
    assert await saver.told() == []  # whoever has ended it knows
    left = await witness.fetchval("SELECT count(method_id) FROM shared.saved_methods")
    assert left == 0


async def test_switched_off_between_the_order_and_the_call_is_not_charged(
    saver: Saver, witness: Witness
) -> None:
    """The end is not committed yet when the call is about to be made: it waits, and is not made."""
    await saver.agrees()
    await saver.spends("140")
    payer, method = saver.payer, await saver.method()
    async with payer.database.shared() as conn:
        order_id = await prepare(conn, payer.settings, method.id, now())
    assert order_id is not None
    async with witness.transaction():
        await witness.execute(
            """UPDATE shared.saved_methods SET ended_at = now(), ended_for = 'owner',
                   method_id = NULL WHERE id = $1""",
            method.id,
        )
        call = start_payment(payer.database, payer.provider, order_id, now())
        starting = asyncio.create_task(call)
        await until(lambda: waits_for_a_lock(witness))
    with pytest.raises(OrderClosed):
        await starting
    assert saver.asked() == []


async def waits_for_a_lock(witness: Witness) -> bool:
    return bool(
        await witness.fetchval(
            """SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (
                   SELECT l.pid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
                   WHERE d.datname = current_database())"""
        )
    )


async def test_a_newer_consent_replaces_the_older(saver: Saver, witness: Witness) -> None:
    await saver.agrees()
    newer = await saver.agrees(AutoTerms(Decimal(10), Decimal(300), 3))
    method = await saver.method()
    assert (method.order_id, method.terms.per_day) == (newer.id, 3)
    rows = await witness.fetch("SELECT ended_for FROM shared.saved_methods ORDER BY id")
    assert [row["ended_for"] for row in rows] == ["replaced", None]
    assert await saver.told() == []


async def test_all_the_money_back_ends_it(saver: Saver) -> None:
    await saver.agrees()
    await saver.spends("140")
    (order,) = await saver.lives()
    await refund_settles(saver.payer, await refunds(saver.payer, order.id))
    assert (await saver.method()).ended_for == "refunded"
    assert await saver.balance() == Decimal("10.00")
    assert await saver.told() == [(ENDED, "refunded")]


async def test_a_part_of_the_money_back_ends_nothing(saver: Saver) -> None:
    await saver.agrees()
    await saver.spends("140")
    (order,) = await saver.lives()
    await refund_settles(saver.payer, await refunds(saver.payer, order.id, "100"))
    assert (await saver.method()).ended_for is None
    assert await saver.balance() == Decimal("410.00")


@pytest.mark.parametrize("cause", ["frozen", "off", "no ledger", "full"])
async def test_what_cannot_be_credited_is_not_charged(
    saver: Saver, witness: Witness, cause: str
) -> None:
    await saver.agrees(AutoTerms(Decimal("99999999.99"), Decimal(500), 1))
    settings, method = saver.payer.settings, await saver.method()
    match cause:
        case "frozen":
            await witness.execute("UPDATE public.user_balances SET frozen = 'x' WHERE email <> ''")
        case "off":
            settings = settings.model_copy(update={"yookassa_autopay": False})
        case "no ledger":
            await witness.execute("DROP SCHEMA credits CASCADE")
        case _:
            await witness.execute(
                "UPDATE public.user_balances SET balance = 99999990 WHERE email = $1", ANNA
            )
    await saver.finds(settings=settings)
    await saver.works(settings=settings)
    payer = saver.payer
    await charge(payer.database, payer.provider, settings, method.id, now())
    assert await saver.charges() == []
    if cause == "frozen":  # Boris's too; he must be as he was
        await witness.execute("UPDATE public.user_balances SET frozen = NULL")


async def test_where_it_is_off_the_sweep_only_looks_again(saver: Saver, witness: Witness) -> None:
    off = saver.payer.settings.model_copy(update={"yookassa_autopay": False})
    at = datetime(2030, 1, 1, tzinfo=UTC)
    await saver.finds(at, off)
    due = await witness.fetchval("SELECT at FROM shared.due WHERE kind = 'payments.find_low'")
    assert due == at + LOOK_AGAIN
    assert await queued(witness, "payments.auto_topup") == []


async def test_the_sweep_reads_no_table_whole(saver: Saver, witness: Witness) -> None:
    """However many accounts there are: only those with a method are looked at."""
    await saver.agrees()
    await witness.execute(
        """INSERT INTO public.user_balances (email)
           SELECT 'u' || n || '@example.org' FROM generate_series(1, 3000) AS n"""
    )
    await witness.execute("ANALYZE public.user_balances")
    before = await scanned(witness)
    await saver.finds()
    assert await scanned(witness) == before


async def scanned(witness: Witness) -> int:
    """How often the accounts were read whole, since the test began."""
    await witness.execute("SELECT pg_stat_force_next_flush()")
    await witness.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await witness.fetchval(
        "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'user_balances'"
    )
    return count
