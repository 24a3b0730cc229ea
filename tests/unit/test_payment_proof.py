"""What proves a payment, and what does not. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.payments.model import (
    Expected,
    OrderId,
    PlanOrder,
    Reason,
    Source,
    Status,
    legacy_sale,
    mismatch,
    poll_interval,
    read_order_id,
)
from zapisano.payments.provider import Payment, ProviderUnavailable
from zapisano.payments.yookassa import read_payment
from zapisano.settings import Plan

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ID = OrderId("7f0d3b0e-5d8e-4f0e-9d5e-0f1f2f3f4f5f")
PLANS = {"1m": Plan("1m", {"name": "1 месяц", "days": 30, "price": "299.00"})}
LEGACY = {"user_id": "123456789", "company_name": "Test Company", "plan": "1m", "days": "30"}
ORDER = PlanOrder(
    id=ID,
    buyer_id=1,
    buyer_language="ru",
    company_name="Салон",
    plan="1m",
    days=30,
    amount=Decimal("299.00"),
    tenant_id=None,
    source=Source.CHECKOUT,
    status=Status.PENDING,
    idempotence_key="key",
    request_body="{}",
    requested_at=NOW,
    payment_id="pay-1",
    confirmation_url=None,
    polls=0,
    retry_of=None,
    cancel_reason=None,
    created_at=NOW,
    paid_at=None,
)
PAYMENT = Payment(
    id="pay-1",
    status="succeeded",
    paid=True,
    amount=Decimal("299.00"),
    currency="RUB",
    account_id="100500",
    test=True,
    metadata={"order_id": ID},
)
# Every way in which one fact can be other than it must be, and the reason that is given.
SPOILED: Mapping[Reason, tuple[str, st.SearchStrategy[Any]]] = {
    Reason.NOT_SUCCEEDED: (
        "status",
        st.sampled_from(["pending", "waiting_for_capture", "canceled"])
        | st.text().filter(lambda word: word != "succeeded"),
    ),
    Reason.NOT_PAID: ("paid", st.just(value=False)),
    Reason.OTHER_SHOP: ("account_id", st.text().filter(lambda shop: shop != "100500")),
    Reason.TEST_FLAG: ("test", st.sampled_from([False, None])),
    Reason.CURRENCY: ("currency", st.text().filter(lambda word: word != "RUB")),
    Reason.AMOUNT: (
        "amount",
        st.none() | st.decimals(allow_nan=False).filter(lambda sum_: sum_ != Decimal("299.00")),
    ),
    Reason.OTHER_ORDER: (
        "metadata",
        st.dictionaries(st.text(), st.text()).filter(lambda said: said.get("order_id") != ID),
    ),
    Reason.OTHER_PAYMENT: ("id", st.text().filter(lambda id_: id_ != "pay-1")),
}


def proof(order: PlanOrder, payment: Payment) -> Reason | None:
    return mismatch(order, payment, Expected("100500", test=True))


def test_rule_4_a_payment_that_fits_in_everything_is_proof() -> None:
    assert proof(ORDER, PAYMENT) is None


@pytest.mark.parametrize("reason", SPOILED)
@given(data=st.data())
def test_rule_4_one_wrong_fact_is_enough(reason: Reason, data: st.DataObject) -> None:
    field, values = SPOILED[reason]
    assert proof(ORDER, replace(PAYMENT, **{field: data.draw(values)})) is reason


@given(wrong=st.sets(st.sampled_from(sorted(SPOILED)), min_size=1), data=st.data())
def test_rule_4_wrong_facts_never_cancel_each_other_out(
    wrong: set[Reason], data: st.DataObject
) -> None:
    spoiled = {SPOILED[reason][0]: data.draw(SPOILED[reason][1]) for reason in wrong}
    assert proof(ORDER, replace(PAYMENT, **spoiled)) in wrong


def test_rule_4_a_shop_that_is_not_set_up_proves_nothing() -> None:
    nobodys = replace(PAYMENT, account_id="")
    assert mismatch(ORDER, nobodys, Expected("", test=True)) is Reason.OTHER_SHOP


def test_a_legacy_order_is_not_proved_by_a_payment_that_names_an_order() -> None:
    legacy = replace(ORDER, source=Source.LEGACY)
    assert proof(legacy, PAYMENT) is Reason.OTHER_ORDER
    assert proof(legacy, replace(PAYMENT, metadata=LEGACY)) is None


def test_a_legacy_sale_is_read_as_the_old_bot_wrote_it() -> None:
    sale = legacy_sale(LEGACY, PLANS)
    assert sale is not None
    assert (sale.buyer_id, sale.company_name, sale.plan.id) == (123456789, "Test Company", "1m")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", "0"),
        ("user_id", "-5"),
        ("user_id", "12a"),
        ("user_id", "٣"),
        ("user_id", "9999999999999999"),
        ("company_name", " "),
        ("company_name", "я" * 101),
        ("company_name", "a\0b"),
        ("plan", "2m"),
        ("days", "31"),
        ("days", "030"),
    ],
)
def test_a_legacy_sale_with_odd_data_is_none(field: str, value: str) -> None:
    assert legacy_sale({**LEGACY, field: value}, PLANS) is None


@pytest.mark.parametrize(
    "text", ["", "x", "../payments", ID.upper(), ID.replace("-", ""), ID + " "]
)
def test_an_order_id_has_one_spelling(text: str) -> None:
    assert read_order_id(ID) == ID
    assert read_order_id(text) is None


@given(st.text())
def test_reading_any_order_id_gives_an_id_or_nothing(text: str) -> None:
    assert read_order_id(text) in {None, text}


def test_rule_7_the_poller_asks_at_the_documented_intervals() -> None:
    first = [poll_interval(polls).total_seconds() for polls in range(9)]
    assert first == [30, 60, 120, 300, 600, 1800, 3600, 3600, 3600]


def test_rule_6_a_key_is_not_used_in_its_last_minutes() -> None:
    assert ORDER.key_lives_at(NOW + timedelta(hours=23, minutes=54))
    assert not ORDER.key_lives_at(NOW + timedelta(hours=23, minutes=55))
    assert replace(ORDER, requested_at=None).key_lives_at(NOW + timedelta(days=9))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["paid", "amount", "recipient", "test", "metadata", "confirmation", "surprise"]
        ),
        JSON | st.dictionaries(st.sampled_from(["value", "currency", "account_id"]), JSON),
    )
)
def test_an_odd_answer_is_read_and_proves_nothing(odd: dict[str, Any]) -> None:
    body = {"id": "pay-1", "status": "succeeded", **odd}
    payment = read_payment(body)
    assert payment.amount is None or payment.amount.is_finite()
    whole = body.get("metadata") == {"order_id": ID} and body.get("paid") is True
    assert whole or proof(ORDER, payment) is not None


@pytest.mark.parametrize("body", [{}, {"id": 1, "status": "x"}, {"id": "x"}, {"status": "x"}])
def test_an_answer_without_id_or_status_says_nothing(body: dict[str, Any]) -> None:
    with pytest.raises(ProviderUnavailable):
        read_payment(body)
