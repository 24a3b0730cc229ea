"""What a promo code leaves of a price: never dearer, never under a rouble, whole kopecks. Pure."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.errors import Refused
from zapisano.ops.promo import Wish, promo_of
from zapisano.payments.promo_model import LEAST_PRICE, Promo, cleaned_code
from zapisano.settings import load

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRICES = st.decimals("0.01", "99999999.99", places=2)
PERCENT = Promo("SUMMER", 20, None, None, None, None, once_per_person=False, created_at=NOW)
WISH = Wish("summer", 20, None, None, None, (), once_per_person=False)


@given(PRICES, st.integers(1, 99))
def test_a_percentage_is_taken_off_and_a_part_of_a_kopeck_falls_to_the_buyer(
    full: Decimal, percent: int
) -> None:
    left = replace(PERCENT, percent=percent).price(full)
    assert min(full, LEAST_PRICE) <= left <= full
    assert left == left.quantize(Decimal("0.01"))
    exact = full * (100 - percent) / 100
    if exact >= LEAST_PRICE:
        assert 0 <= exact - left < Decimal("0.01")


@given(PRICES, PRICES)
def test_a_fixed_sum_is_taken_off_to_the_kopeck(full: Decimal, fixed: Decimal) -> None:
    left = replace(PERCENT, percent=None, fixed=fixed).price(full)
    assert left == max(full - fixed, min(full, LEAST_PRICE))


@given(PRICES, st.integers(1, 98))
def test_a_larger_percentage_is_never_dearer(full: Decimal, percent: int) -> None:
    less, more = (replace(PERCENT, percent=one).price(full) for one in (percent, percent + 1))
    assert more <= less


@pytest.mark.parametrize(
    ("full", "percent", "left"),
    [
        ("299.00", 20, "239.20"),
        ("299.00", 33, "200.33"),
        ("0.99", 50, "0.99"),
        ("99.99", 99, "1.00"),
    ],
)
def test_examples(full: str, percent: int, left: str) -> None:
    assert replace(PERCENT, percent=percent).price(Decimal(full)) == Decimal(left)


@pytest.mark.parametrize(
    ("text", "code"),
    [(" summer-5 ", "SUMMER-5"), ("AB", None), ("ЛЕТО", None), ("A" * 33, None), ("A B C", None)],
)
def test_how_a_code_is_written(text: str, code: str | None) -> None:
    assert cleaned_code(text) == code


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"code": "лето"}, "code:"),
        ({"percent": None}, "percent, fixed:"),
        ({"fixed": Decimal(100)}, "percent, fixed:"),
        ({"percent": None, "fixed": Decimal("NaN")}, "fixed:"),
        ({"percent": None, "fixed": Decimal("0.001")}, "fixed:"),
        ({"plans": ("3m", "9m")}, "plans: 9m is not sold"),
        ({"until": date(2026, 11, 22)}, "until:"),
        ({"until": date(9999, 12, 31)}, "until:"),
    ],
)
def test_what_cannot_be_a_promo_code_is_refused_by_name(
    wrong: dict[str, object], named: str
) -> None:
    with pytest.raises(Refused, match=f"^{named}"):
        promo_of(replace(WISH, **wrong), load(), NOW)


def test_the_last_day_ends_at_midnight_where_the_operator_is() -> None:
    promo = promo_of(replace(WISH, until=date(2026, 11, 23)), load(), NOW)
    assert promo.until == datetime(2026, 11, 23, 21, tzinfo=UTC)
    assert not promo.is_over(NOW)
    assert promo.is_over(datetime(2026, 11, 23, 21, tzinfo=UTC))
