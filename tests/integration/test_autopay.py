"""Autopay against the simulated YooKassa: consent, the saved method, attempts, and when none."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest

from integration.autopay_fixtures import (
    EXPIRED,
    NO_MONEY,
    SPENT,
    Owner,
    agreement,
    charges_asked,
    owner,
    settings,
)
from integration.payments_fixtures import (
    BUYER,
    Witness,
    buyer,
    kassa,
    now,
    provider,
    queued,
    shared_kassa,
)
from integration.yookassa_fixtures import Simulator
from zapisano.payments import ChoiceFrozen, ProviderUnavailable, Status, choose, methods, poll
from zapisano.payments.charges import charge, prepare
from zapisano.settings import Plan, Settings
from zapisano.subscriptions import Charge
from zapisano.tenancy import Suspension, archive, suspend

__all__ = ["agreement", "buyer", "kassa", "owner", "provider", "settings", "shared_kassa"]


async def test_a_ticked_box_keeps_the_method_with_what_was_agreed(
    owner: Owner, witness: Witness
) -> None:
    order = await owner.buys()
    body = json.loads(order.request_body)
    assert body["save_payment_method"] is True
    assert (body["metadata"]["autopay_amount"], body["metadata"]["autopay_days"]) == (
        "299.00",
        "30",
    )
    method = await owner.method()
    assert method is not None
    assert (method.order_id, method.agreed.amount, method.agreed.days) == (
        order.id,
        Decimal("299.00"),
        30,
    )
    assert method.last4
    kinds = [row[0] for row in await witness.fetch("SELECT kind FROM shared.journal ORDER BY id")]
    assert "order.autopay_agreed" in kinds
    assert "method.saved" in kinds


async def test_who_pays_for_a_business_that_was_moved_meanwhile_is_not_charged_again(
    owner: Owner, witness: Witness
) -> None:
    """The days go in; the new owner has agreed to nothing, nor would the former one wish to."""
    order = await owner.buyer.orders(tenant_id=owner.tenant)
    async with owner.buyer.database.shared() as conn:
        await choose(conn, owner.buyer.settings, order.id, keeps_method=True, contact=None)
    await witness.execute(
        "UPDATE shared.tenants SET owner_id = $1 WHERE id = $2", BUYER + 1, owner.tenant
    )
    assert (await owner.pays(order)).status is Status.PAID
    assert await owner.method() is None


async def test_an_unticked_box_keeps_nothing_and_nothing_is_charged(
    owner: Owner, kassa: Simulator
) -> None:
    order = await owner.buys(saves=False)
    assert "save_payment_method" not in json.loads(order.request_body)
    assert await owner.method() is None
    before = charges_asked(kassa)
    assert await owner.is_charged() is None
    assert charges_asked(kassa) == before


async def test_a_box_unticked_after_the_payment_was_asked_for_keeps_nothing(owner: Owner) -> None:
    buyer = owner.buyer
    order = await buyer.orders(tenant_id=owner.tenant)
    async with buyer.database.shared() as conn:
        await choose(conn, buyer.settings, order.id, keeps_method=True, contact=None)
    await buyer.starts(order)
    frozen = (await buyer.order(order.id)).request_body
    async with buyer.database.shared() as conn:
        await choose(conn, buyer.settings, order.id, keeps_method=False, contact="a@b.example")
    changed = await buyer.order(order.id)
    assert (changed.request_body, changed.saves_method) == (frozen, False)
    await owner.pays(order)
    assert await owner.method() is None


async def test_a_box_ticked_too_late_changes_nothing_and_is_told(owner: Owner) -> None:
    buyer = owner.buyer
    order = await buyer.orders(tenant_id=owner.tenant)
    await buyer.starts(order)
    with pytest.raises(ChoiceFrozen):
        async with buyer.database.shared() as conn:
            await choose(conn, buyer.settings, order.id, keeps_method=True, contact=None)
    assert not (await buyer.order(order.id)).saves_method


async def test_the_operator_decides_whether_there_is_autopay(owner: Owner) -> None:
    buyer = owner.buyer
    off = buyer.settings.model_copy(update={"yookassa_autopay": False})
    order = await buyer.orders(tenant_id=owner.tenant)
    async with buyer.database.shared() as conn:
        chosen = await choose(conn, off, order.id, keeps_method=True, contact=None)
    assert not chosen.saves_method
    assert "save_payment_method" not in chosen.request_body
    await owner.buys()
    assert await owner.is_charged(settings=off) is None


async def test_a_newer_method_replaces_the_older(owner: Owner, witness: Witness) -> None:
    await owner.buys()
    newer = await owner.buys("3m")
    method = await owner.method()
    assert method is not None
    assert (method.order_id, method.agreed.amount) == (newer.id, Decimal("799.00"))
    rows = await witness.fetch("SELECT ended_for, method_id FROM shared.saved_methods ORDER BY id")
    assert [row["ended_for"] for row in rows] == ["replaced", None]
    assert rows[0]["method_id"] is None  # nobody can charge it any more


async def test_a_charge_adds_the_period_without_the_payer(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    first = await owner.buys()
    before = await owner.paid()
    order = await owner.is_charged()
    assert order is not None
    assert (order.status, order.amount, order.buyer_id) == (Status.PAID, first.amount, BUYER)
    assert (await owner.paid()).paid_until == before.paid_until + timedelta(days=30)
    body = json.loads(order.request_body)
    assert "confirmation" not in body
    assert "save_payment_method" not in body
    assert order.charge_key == f"renew:{owner.tenant}:{before.paid_until:%Y-%m-%d}:0"
    assert order.idempotence_key in charges_asked(kassa)
    assert len(await queued(witness, "payments.order_paid")) == 2
    assert await owner.method() is not None  # and the next period will be charged as well


async def test_a_period_is_charged_once_however_often_it_is_asked_for(
    owner: Owner, witness: Witness
) -> None:
    await owner.buys()
    paid = await owner.paid()
    order = await owner.is_charged()
    assert order is not None
    buyer = owner.buyer
    for attempt in (0, 0, 1, 2, 3):
        job = Charge(owner.tenant, paid.paid_until, attempt)
        await charge(buyer.database, buyer.provider, buyer.settings, job, now())
    assert await witness.fetchval(SPENT) == 1
    # Days taken back do not make it another period.
    await witness.execute("UPDATE shared.subscriptions SET paid_until = $1", paid.paid_until)
    await owner.is_charged(1)
    assert await witness.fetchval(SPENT) == 1


async def test_a_declined_charge_is_told_and_the_next_attempt_may_succeed(
    owner: Owner, witness: Witness
) -> None:
    await owner.buys()
    await owner.changes_card(card=NO_MONEY)
    order = await owner.is_charged(0)
    assert order is not None
    assert (order.status, order.cancel_reason) == (Status.CANCELED, "insufficient_funds")
    assert await queued(witness, "payments.charge_declined") == [
        {"order_id": order.id, "reason": "insufficient_funds"}
    ]
    assert await queued(witness, "payments.order_canceled") == []
    await owner.changes_card(card="5555555555554444")
    assert await owner.is_charged(0) == order  # the same attempt is not made again
    again = await owner.is_charged(1)
    assert again is not None
    assert again.status is Status.PAID
    assert await witness.fetchval(SPENT) == 1


@pytest.mark.parametrize("reason", ["permission_revoked", "card_expired"])
async def test_a_dead_method_is_forgotten_and_told_once(
    owner: Owner, witness: Witness, reason: str
) -> None:
    await owner.buys()
    revoked = reason == "permission_revoked"
    await owner.changes_card(revoked=revoked, card=None if revoked else EXPIRED)
    order = await owner.is_charged(0)
    assert order is not None
    assert order.cancel_reason == reason
    assert await owner.method() is None
    assert await owner.is_charged(1) is None
    told = await queued(witness, "payments.autopay_ended")
    assert told == [{"tenant_id": owner.tenant, "reason": reason}]
    assert await queued(witness, "payments.charge_declined") == []
    row = await witness.fetchrow(
        "SELECT ended_for, method_id, title FROM shared.saved_methods WHERE tenant_id = $1",
        owner.tenant,
    )
    assert row is not None
    assert (row["ended_for"], row["method_id"]) == (reason, None)
    assert row["title"]


async def test_without_an_agreement_the_owner_is_told_once_and_the_method_stays(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    await owner.buys()
    kassa.control("shop", {"recurring": False})
    for attempt in (0, 1):
        order = await owner.is_charged(attempt)
        assert order is not None
        assert (order.status, order.cancel_reason) == (Status.CANCELED, "refused")
    assert len(await queued(witness, "payments.charge_declined")) == 1
    assert await owner.method() is not None
    due = await witness.fetchval("SELECT count(*) FROM shared.due WHERE kind = 'payments.poll'")
    assert due == 0


async def test_an_attempt_in_doubt_stops_the_next_until_the_poller_knows(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    await owner.buys()
    kassa.fault("500", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await owner.is_charged(0)
    before = charges_asked(kassa)
    assert await owner.is_charged(1) is None
    assert charges_asked(kassa) == before
    assert await witness.fetchval(
        "SELECT count(*) FROM shared.due WHERE kind = 'subscriptions.charge'"
    )  # it comes again
    waiting = await owner.is_charged(0)
    assert waiting is not None
    buyer = owner.buyer
    await poll(buyer.database, buyer.provider, buyer.settings, waiting.id, now())
    assert (await buyer.order(waiting.id)).status is Status.PAID
    assert set(charges_asked(kassa)) - set(before[:-1]) == {waiting.idempotence_key}
    assert await witness.fetchval(SPENT) == 1


async def test_a_doubt_is_not_repeated_once_the_owner_has_paid_by_hand(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    await owner.buys()
    kassa.fault("500", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await owner.is_charged(0)
    waiting = await owner.is_charged(0)
    assert waiting is not None
    await owner.buys(saves=False)
    asked, buyer = charges_asked(kassa), owner.buyer
    await poll(buyer.database, buyer.provider, buyer.settings, waiting.id, now())
    assert (await buyer.order(waiting.id)).status is Status.CREATED  # its key lives: ask later
    tomorrow = now() + timedelta(hours=24)
    await poll(buyer.database, buyer.provider, buyer.settings, waiting.id, tomorrow)
    assert charges_asked(kassa) == asked
    assert (await buyer.order(waiting.id)).status is Status.REVIEW
    assert await witness.fetchval(SPENT) == 0


async def test_while_somebody_pays_by_hand_nothing_is_charged(
    owner: Owner, witness: Witness
) -> None:
    await owner.buys()
    by_hand = await owner.buyer.orders(tenant_id=owner.tenant)
    payment_id = await owner.buyer.starts(by_hand)
    assert await owner.is_charged() is None
    owner.buyer.kassa.control("fail", {"payment_id": payment_id, "reason": "general_decline"})
    await owner.settles(payment_id)
    order = await owner.is_charged()
    assert order is not None
    assert order.status is Status.PAID
    assert await witness.fetchval(SPENT) == 1


@pytest.mark.parametrize(
    ("price", "days", "charged"),
    [
        ("299.00", 30, Decimal("299.00")),
        ("250.00", 30, Decimal("250.00")),
        ("299.00", 31, Decimal("299.00")),
        ("299.01", 30, None),
        ("299.00", 29, None),
        (None, 0, None),
    ],
)
async def test_never_more_than_agreed_and_never_more_often(
    owner: Owner,
    witness: Witness,
    price: str | None,
    days: int,
    charged: Decimal | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await owner.buys()
    plan = Plan("1m", {"name": "1 месяц", "days": days or 1, "price": price or "1"})
    plans = {"1m": plan} if price else {"3m": plan}
    monkeypatch.setattr(Settings, "plans", property(lambda _: plans))
    order = await owner.is_charged()
    assert (order.amount if order else None) == charged
    told = await queued(witness, "payments.autopay_ended")
    assert told == ([] if charged else [{"tenant_id": owner.tenant, "reason": "terms"}])
    assert (await owner.method() is None) is (charged is None)


@pytest.mark.parametrize("state", ["archived", "paused"])
async def test_a_bot_that_gets_nothing_for_it_is_not_charged(owner: Owner, state: str) -> None:
    await owner.buys()
    buyer = owner.buyer
    if state == "archived":
        await archive(buyer.database, buyer.settings, owner.tenant, now=now())
    else:
        async with buyer.database.shared() as conn:
            await suspend(conn, owner.tenant, Suspension.OPERATOR)
    assert await owner.is_charged() is None


async def test_autopay_that_was_switched_off_is_off_at_once(owner: Owner, witness: Witness) -> None:
    await owner.buys()
    async with owner.buyer.database.shared() as conn:
        assert await methods.end(conn, owner.tenant, "owner", by="owner", now=now())
        assert not await methods.end(conn, owner.tenant, "owner", by="owner", now=now())
    assert await owner.is_charged() is None
    kinds = await witness.fetch("SELECT kind FROM shared.journal WHERE kind = 'method.ended'")
    assert len(kinds) == 1


async def test_a_charge_that_was_cut_off_before_the_call_is_made_once_later(
    owner: Owner, witness: Witness
) -> None:
    await owner.buys()
    buyer, paid = owner.buyer, await owner.paid()
    async with buyer.database.shared() as conn:
        job = Charge(owner.tenant, paid.paid_until, 0)
        order_id = await prepare(conn, buyer.settings, job, now())
    assert order_id is not None
    assert (await buyer.order(order_id)).status is Status.CREATED
    order = await owner.is_charged(0)
    assert order is not None
    assert (order.id, order.status) == (order_id, Status.PAID)
    assert await witness.fetchval(SPENT) == 1
