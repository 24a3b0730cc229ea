"""The simulated YooKassa's state machine, knobs and bodies, without a process."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.simulator.yookassa import bodies, model
from zapisano.simulator.yookassa.cards import OUTCOMES, any_card, read_card
from zapisano.simulator.yookassa.courier import wait_seconds
from zapisano.simulator.yookassa.faults import Fault, draw
from zapisano.simulator.yookassa.model import Method, Payment, Refund
from zapisano.simulator.yookassa.problems import Problem
from zapisano.simulator.yookassa.texts import ENGLISH, RUSSIAN, spell
from zapisano.simulator.yookassa.views import moment

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CARD = Method(id="m", type="bank_card", card=any_card())


def payment(**changes: Any) -> Payment:
    fresh = Payment(id="p", amount=Decimal("299.00"), created_at=NOW, capture=True)
    return replace(fresh, **changes)


def body(**changes: Any) -> dict[str, Any]:
    return {
        "amount": {"value": "299.00", "currency": "RUB"},
        "confirmation": {"type": "redirect", "return_url": "https://shop.example/"},
    } | changes


def test_capture_true_skips_the_hold() -> None:
    paid = model.authorize(payment(), CARD, NOW)
    assert (paid.status, paid.paid, paid.captured_at) == ("succeeded", True, NOW)
    assert paid.income == Decimal("288.53")


def test_a_hold_is_captured_in_part_and_only_once() -> None:
    held = model.authorize(payment(capture=False), CARD, NOW)
    assert (held.status, held.expires_at) == ("waiting_for_capture", NOW + timedelta(days=7))
    taken = model.capture(held, Decimal("100.00"), NOW)
    assert (taken.status, taken.amount) == ("succeeded", Decimal("100.00"))
    with pytest.raises(Problem, match="cannot be captured"):
        model.capture(taken, None, NOW)
    with pytest.raises(Problem, match="greater than the payment"):
        model.capture(held, Decimal("299.01"), NOW)


def test_a_hold_without_a_card_is_short() -> None:
    held = model.authorize(payment(capture=False), Method(id="m", type="sbp"), NOW)
    assert held.expires_at == NOW + timedelta(hours=2)


@pytest.mark.parametrize("outcome", [o for o in OUTCOMES.values() if o.reason])
def test_declining_cards_cancel_with_their_reason(outcome: Any) -> None:
    method = replace(CARD, card=any_card(outcome.number))
    canceled = model.authorize(payment(), method, NOW)
    assert canceled.status == "canceled"
    assert not canceled.paid
    assert canceled.cancellation == model.Cancellation(outcome.party, outcome.reason)


def test_the_payer_has_an_hour_and_the_shop_until_the_hold_ends() -> None:
    waiting = payment()
    hour = timedelta(hours=1)
    assert model.expire(waiting, NOW + hour - timedelta(milliseconds=1)) is waiting
    late = model.expire(waiting, NOW + hour)
    assert late.cancellation == model.Cancellation("yoo_money", "expired_on_confirmation")
    held = model.authorize(payment(capture=False), CARD, NOW)
    assert model.expire(held, NOW + hour) is held
    lost = model.expire(held, NOW + timedelta(days=7))
    assert lost.cancellation == model.Cancellation("yoo_money", "expired_on_capture")


def test_final_states_stay() -> None:
    paid = model.authorize(payment(), CARD, NOW)
    assert model.expire(paid, NOW + timedelta(days=999)) is paid
    for verb in (lambda: model.cancel(paid), lambda: model.authorize(paid, CARD, NOW)):
        with pytest.raises(Problem) as refused:
            verb()
        assert refused.value.status == 400


def test_a_pending_payment_cannot_be_canceled_by_the_shop() -> None:
    with pytest.raises(Problem, match="pending cannot be canceled"):
        model.cancel(payment())


@given(st.lists(st.integers(min_value=1, max_value=40_000), max_size=8))
def test_refunds_never_exceed_the_payment(sums: list[int]) -> None:
    paid = model.authorize(payment(), CARD, NOW)
    given_back = Decimal(0)
    for kopecks in sums:
        refund = Refund(id="r", payment_id="p", amount=Decimal(kopecks) / 100, created_at=NOW)
        fits = given_back + refund.amount <= paid.amount
        try:
            paid = model.give_back(paid, refund, NOW)
        except Problem:
            assert not fits
        else:
            assert fits
            given_back += refund.amount
    assert paid.refunded == given_back <= paid.amount
    assert paid.refundable(NOW) == (given_back < paid.amount)


def test_a_canceled_refund_returns_its_sum() -> None:
    paid = model.authorize(payment(), CARD, NOW)
    refund = Refund(
        id="r", payment_id="p", amount=Decimal("299.00"), created_at=NOW, status="pending"
    )
    counted = model.give_back(paid, refund, NOW)
    assert not counted.refundable(NOW)
    restored, canceled = model.finish_refund(counted, refund, "canceled")
    assert (restored.refunded, canceled.status) == (Decimal("0.00"), "canceled")
    with pytest.raises(Problem, match="final"):
        model.finish_refund(restored, canceled, "succeeded")


def test_refunds_end_after_three_years() -> None:
    paid = model.authorize(payment(), CARD, NOW)
    assert not paid.refundable(NOW + timedelta(days=3 * 365, seconds=1))


def test_a_saved_method_pays_until_it_is_revoked() -> None:
    first = model.authorize(payment(save_method=True), CARD, NOW)
    assert first.method is not None
    assert first.method.saved
    again = model.pay_with_saved(payment(), first.method, allowed=True, now=NOW)
    assert again.status == "succeeded"
    revoked = replace(first.method, status="inactive")
    refused = model.pay_with_saved(payment(), revoked, allowed=True, now=NOW)
    assert refused.cancellation is not None
    assert refused.cancellation.reason == "permission_revoked"
    with pytest.raises(Problem) as forbidden:
        model.pay_with_saved(payment(), first.method, allowed=False, now=NOW)
    assert forbidden.value.status == 403


def test_binding_ends_active_or_inactive() -> None:
    asked = Method(id="m", type="bank_card", status="pending")
    assert model.activate(asked, any_card()).status == "active"
    assert model.activate(asked, any_card("5555555555554600")).status == "inactive"
    with pytest.raises(Problem):
        model.activate(model.activate(asked, any_card()), any_card())


ITEM = {
    "description": "Подписка",
    "quantity": "1.00",
    "amount": {"value": "299.00", "currency": "RUB"},
    "vat_code": 1,
}


@pytest.mark.parametrize(
    ("changes", "parameter"),
    [
        ({"amount": None}, "amount"),
        ({"amount": {"value": 299, "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "299,00", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "0.00", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "-1.00", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "1.001", "currency": "RUB"}}, "amount.value"),
        ({"amount": {"value": "1.00", "currency": "USD"}}, "amount.currency"),
        ({"description": "я" * 129}, "description"),
        ({"capture": "true"}, "capture"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"k" * 33: "x"}}, "metadata"),
        ({"metadata": {"k": "x" * 513}}, "metadata.k"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": ["k"]}, "metadata"),
        ({"merchant_customer_id": "c" * 201}, "merchant_customer_id"),
        ({"confirmation": None}, "confirmation"),
        ({"confirmation": {"type": "pigeon"}}, "confirmation.type"),
        ({"confirmation": {"type": "redirect"}}, "confirmation.return_url"),
        (
            {"confirmation": {"type": "redirect", "return_url": "javascript://%0aalert(1)"}},
            "confirmation.return_url",
        ),
        ({"payment_method_data": {"type": "cash_on_delivery"}}, "payment_method_data.type"),
        ({"receipt": {"items": [ITEM]}}, "receipt.customer"),
        ({"receipt": {"customer": {"email": "a@b.example"}, "items": []}}, "receipt.items"),
        (
            {"receipt": {"customer": {"email": "a@b.example"}, "items": [ITEM, ITEM]}},
            "receipt.items",
        ),
        (
            {
                "receipt": {
                    "customer": {"email": "a@b.example"},
                    "items": [ITEM | {"vat_code": 13}],
                }
            },
            "receipt.items[0].vat_code",
        ),
    ],
)
def test_a_broken_rule_names_its_parameter(changes: dict[str, Any], parameter: str) -> None:
    with pytest.raises(Problem) as refused:
        bodies.new_payment(body(**changes))
    assert (refused.value.code, refused.value.parameter) == ("invalid_request", parameter)


def test_limits_themselves_are_allowed() -> None:
    read = bodies.new_payment(
        body(
            description="я" * 128,
            metadata={f"{n:032d}": "x" * 512 for n in range(16)},
            receipt={"customer": {"email": "a@b.example"}, "items": [ITEM]},
            unknown={"fields": "are ignored"},
        )
    )
    assert read.amount == Decimal("299.00")
    assert not read.capture
    assert len(read.metadata) == 16


@pytest.mark.parametrize("raw", [b"{", b"[]", b'"x"', b"\xff", b'{"a": "\\ud800"}', b"[" * 100_000])
def test_a_body_is_an_object(raw: bytes) -> None:
    with pytest.raises(Problem, match="JSON"):
        bodies.read_json(raw)


@pytest.mark.parametrize("key", [None, "", "k" * 65, "a b", "ключ"])
def test_bad_keys_are_refused(key: str | None) -> None:
    with pytest.raises(Problem) as refused:
        bodies.read_key(key)
    assert refused.value.parameter == "Idempotence-Key"


def test_a_seed_repeats_itself_and_times_run_out() -> None:
    def run(seed: int) -> list[bool]:
        fault, struck = Fault("drop", probability=0.5, seed=seed), list[bool]()
        for _ in range(64):
            hit, fault = draw(fault)
            struck.append(hit)
        return struck

    assert run(7) == run(7) != run(8)
    assert 16 < sum(run(7)) < 48
    hit, left = draw(Fault("drop", times=1))
    assert hit
    assert left.spent


def test_redelivery_backs_off_to_ten_seconds() -> None:
    assert [wait_seconds(n) for n in (1, 2, 3, 4, 5, 6, 99)] == [0.5, 1, 2, 4, 8, 10, 10]


def test_typed_cards_are_checked_field_by_field() -> None:
    card, faults = read_card("5555 5555 5555 4477", "12/30", "123", NOW)
    assert card == any_card()
    assert faults == {}
    assert read_card("1", "10/26", "12", NOW)[1] == {
        "number": "number_unknown",
        "expiry": "expiry_past",
        "cvc": "cvc_malformed",
    }
    assert read_card("5555555555554477", "13/30", "123", NOW)[1] == {"expiry": "expiry_malformed"}


def test_both_languages_say_everything() -> None:
    assert RUSSIAN.keys() == ENGLISH.keys()
    assert {o.reason for o in OUTCOMES.values() if o.reason} <= RUSSIAN.keys()
    assert spell(Decimal("1299.00"), "ru") == "1\N{NO-BREAK SPACE}299,00"
    assert spell(Decimal("1299.00"), "en") == "1,299.00"


def test_instants_have_milliseconds_and_a_z() -> None:
    assert moment(NOW + timedelta(microseconds=7999)) == "2026-11-22T12:00:00.007Z"
