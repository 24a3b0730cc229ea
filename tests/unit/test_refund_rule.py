"""What goes back with the money: never more than was bought, never what is used."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.errors import Refused
from zapisano.payments.model import KOPECK, OrderId, PlanOrder
from zapisano.payments.refund_model import (
    AlreadyRefunded,
    RefundTooLarge,
    credits_due,
    days_due,
    refund_amount,
    refund_body,
    unused_days,
)

DAY = timedelta(days=1)
KOPECKS = st.integers(1, 10_000_000).map(lambda n: n * KOPECK)
DAYS = st.integers(1, 3_660)
INSTANT = datetime(2026, 11, 1, tzinfo=UTC)


@st.composite
def parts(draw: st.DrawFn) -> tuple[Decimal, list[Decimal]]:
    """A sum and how it goes back, part by part, to the last kopeck."""
    amount = draw(KOPECKS)
    whole = int(amount / KOPECK)
    cuts = draw(st.sets(st.integers(1, max(whole - 1, 1)), max_size=8))
    ends = sorted({cut for cut in cuts if cut < whole} | {whole})
    begins = [0, *ends[:-1]]
    return amount, [(end - begin) * KOPECK for begin, end in zip(begins, ends, strict=True)]


def take(
    days: int, amount: Decimal, sums: Sequence[Decimal], left: timedelta, others: int
) -> list[int]:
    """Let sums go back one after another, at one instant; what each takes."""
    taken: dict[str, int] = {}
    went: list[int] = []
    given_days = [("before", 7), ("p", days), ("after", others)]
    for total in accumulate(sums):
        unused = unused_days(given_days, taken, "p", left - sum(went) * DAY)
        step = max(0, min(days_due(days, amount, total) - taken.get("p", 0), unused))
        taken["p"] = taken.get("p", 0) + step
        went.append(step)
    return went


@given(parts(), DAYS, st.integers(1, 400), st.data())
def test_a_refund_in_parts_takes_what_it_takes_at_once(
    money: tuple[Decimal, list[Decimal]], days: int, others: int, data: st.DataObject
) -> None:
    amount, sums = money
    left = timedelta(seconds=data.draw(st.integers(-DAY.days, (7 + days + others) * 86_400)))
    went = take(days, amount, sums, left, others)
    assert sum(went) <= days
    assert [sum(went)] == take(days, amount, [amount], left, others)
    # What was given later stays, and nothing that is used comes back.
    assert sum(went) * DAY <= max(left - others * DAY, timedelta(0))


@given(st.lists(KOPECKS, min_size=1, max_size=6), DAYS, st.data())
def test_no_sequence_of_parts_takes_more_than_its_share(
    sums: list[Decimal], days: int, data: st.DataObject
) -> None:
    amount = sum(sums, Decimal(0)) + data.draw(KOPECKS)
    went = take(days, amount, sums, (days + 10) * DAY, 10)
    assert sum(went) <= days * sum(sums, Decimal(0)) / amount


@given(parts(), KOPECKS)
def test_credits_go_back_by_the_same_share(
    money: tuple[Decimal, list[Decimal]], bought: Decimal
) -> None:
    amount, sums = money
    due = [credits_due(bought, amount, total) for total in accumulate(sums)]
    assert due == sorted(due)
    assert due[-1] == bought


def test_days_are_used_in_the_order_in_which_they_were_given() -> None:
    given_days = [("a", 30), ("b", 30), ("refund:1", -10), ("c", 30)]
    taken = {"a": 10}
    # Of a, 20 were used; b runs; c is whole.
    left = 30 * DAY + timedelta(days=12, hours=5)
    assert unused_days(given_days, taken, "a", left) == 0
    assert unused_days(given_days, taken, "b", left) == 12
    assert unused_days(given_days, taken, "c", left) == 30
    assert unused_days(given_days, taken, "nobody", left) == 0
    assert unused_days(given_days, taken, "c", -DAY) == 0


def test_the_sum_of_a_refund_is_checked() -> None:
    left = Decimal("299.00")
    assert refund_amount(None, left) == left
    assert str(refund_amount(Decimal(100), left)) == "100.00"
    with pytest.raises(AlreadyRefunded):
        refund_amount(None, Decimal("0.00"))
    for much in ("299.01", "1e30"):
        with pytest.raises(RefundTooLarge, match=re.escape(str(Decimal(much)))):
            refund_amount(Decimal(much), left)
    for wrong in ("0", "-1", "0.001", "NaN", "Infinity"):
        with pytest.raises(Refused, match="amount"):
            refund_amount(Decimal(wrong), left)


def item(value: str, quantity: str = "1.00") -> dict[str, Any]:
    return {
        "description": "Подписка",
        "quantity": quantity,
        "amount": {"value": value, "currency": "RUB"},
        "vat_code": 1,
        "payment_subject": "service",
        "payment_mode": "full_payment",
    }


def order(amount: Decimal, receipt: dict[str, Any] | None) -> PlanOrder:
    body = {"amount": {}} | ({"receipt": receipt} if receipt else {})
    return PlanOrder(
        id=OrderId("o"),
        buyer_id=1,
        buyer_language="ru",
        company_name="Ромашка",
        plan="1m",
        days=30,
        tenant_id=None,
        amount=amount,
        idempotence_key="k",
        request_body=json.dumps(body),
        payment_id="p-1",
        created_at=INSTANT,
    )


def test_without_a_receipt_there_is_none_to_send() -> None:
    body = json.loads(refund_body(order(Decimal("299.00"), None), Decimal("100.00"), "Просьба"))
    assert body == {
        "payment_id": "p-1",
        "amount": {"value": "100.00", "currency": "RUB"},
        "description": "Просьба",
    }


@given(st.lists(st.tuples(KOPECKS, st.integers(1, 3)), min_size=1, max_size=4), st.data())
def test_a_receipt_is_scaled_to_the_kopeck(
    lines: list[tuple[Decimal, int]], data: st.DataObject
) -> None:
    amount = sum((price * n for price, n in lines), Decimal(0))
    back = data.draw(st.integers(1, int(amount / KOPECK))) * KOPECK
    receipt = {
        "customer": {"email": "anna@example.ru"},
        "tax_system_code": 2,
        "items": [item(str(price), f"{n}.00") for price, n in lines],
    }
    sent = json.loads(refund_body(order(amount, receipt), back, None))["receipt"]
    assert (sent["customer"], sent["tax_system_code"]) == (receipt["customer"], 2)
    sums = [Decimal(one["amount"]["value"]) for one in sent["items"]]
    assert sum(sums) == back
    assert all(one > 0 and one == one.quantize(KOPECK) for one in sums)
    assert {one["vat_code"] for one in sent["items"]} == {1}
    assert {one["quantity"] for one in sent["items"]} == {"1.00"}
