"""Receipts: they add up, they fit, and they are sent where somebody is."""

import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.payments.checkout import credits_order
from zapisano.payments.receipts import BadContact, read_contact, receipt
from zapisano.settings import load
from zapisano.simulator.yookassa.bodies import receipt as judged

TAXED = load().model_copy(
    update={"yookassa_receipts": True, "yookassa_vat_code": 11, "yookassa_tax_system": 2}
)
MOMENT = datetime(2026, 11, 22, 9, tzinfo=UTC)
SUMS = st.decimals(Decimal("0.01"), Decimal("99999999.99"), places=2)


@given(amount=SUMS, name=st.text(min_size=1, max_size=400))
def test_a_receipt_adds_up_to_the_payment_and_yookassa_takes_it(amount: Decimal, name: str) -> None:
    written = dict(receipt(TAXED, "anna@example.org", name, amount))
    assert judged({"receipt": written}, amount) == written


def test_a_receipt_says_what_the_operators_taxes_are() -> None:
    written = receipt(TAXED, "+79161234567", "Записано: 1 месяц", Decimal("299.00"))
    assert written == {
        "customer": {"phone": "79161234567"},
        "tax_system_code": 2,
        "items": [
            {
                "description": "Записано: 1 месяц",
                "quantity": "1",
                "amount": {"value": "299.00", "currency": "RUB"},
                "vat_code": 11,
                "payment_subject": "service",
                "payment_mode": "full_payment",
            }
        ],
    }


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" anna@example.org ", "anna@example.org"),
        ("анна@почта.рф", "анна@почта.рф"),
        ("+7 916 123-45-67", "+79161234567"),
        ("8 (916) 123-45-67", "+79161234567"),
        ("9161234567", "+79161234567"),
        ("+375 29 123-45-67", "+375291234567"),
    ],
)
def test_people_write_their_address_or_number_as_they_are_used_to(typed: str, kept: str) -> None:
    assert read_contact(typed) == kept
    assert read_contact(kept) == kept


@pytest.mark.parametrize(
    "typed",
    [
        *("", "anna", "anna@", "@example.org", "a b@example.org", "a@b@example.org"),
        *("123", "+0" * 6, "8" * 40, "a" * 250 + "@example.org"),
        *("anna@example.org\nBcc: x@y.org", "anna@exa\0mple.org"),
    ],
)
def test_what_reaches_nobody_is_refused_with_its_field_and_a_remedy(typed: str) -> None:
    with pytest.raises(BadContact, match=r"receipt_contact.*phone number such as"):
        read_contact(typed)


def test_credits_have_a_receipt_too_and_their_address_is_known() -> None:
    order = credits_order(
        TAXED, email="anna@example.org", amount=Decimal("500.00"), language="ru", now=MOMENT
    )
    body = json.loads(order.request_body)
    assert body["receipt"]["customer"] == {"email": "anna@example.org"}
    assert judged(body, order.amount)
    assert "save_payment_method" not in body
