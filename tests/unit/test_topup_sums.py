"""Which sums credits are sold for, and how many they buy. Pure."""

from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.errors import Refused
from zapisano.payments.model import LEAST_TOPUP, MOST_TOPUP, credits_for, topup_amount

SUMS = st.decimals(LEAST_TOPUP, MOST_TOPUP, places=2)
RATES = st.decimals("0.0001", "1000", places=4)


@given(SUMS)
def test_a_sum_in_kopecks_is_taken_as_it_is(amount: Decimal) -> None:
    assert topup_amount(amount) == amount
    assert str(topup_amount(amount.normalize())) == str(amount)


@given(
    st.one_of(
        st.decimals(max_value=LEAST_TOPUP, allow_nan=False).filter(
            lambda amount: amount < LEAST_TOPUP
        ),
        st.decimals(min_value=MOST_TOPUP, allow_nan=False).filter(
            lambda amount: amount > MOST_TOPUP
        ),
        st.decimals(LEAST_TOPUP, MOST_TOPUP, places=5).filter(
            lambda amount: amount != amount.quantize(Decimal("0.01"))
        ),
        st.sampled_from([Decimal("NaN"), Decimal("sNaN"), Decimal("-Infinity")]),
    )
)
def test_any_other_sum_is_refused(amount: Decimal) -> None:
    with pytest.raises(Refused, match=r"^amount: "):
        topup_amount(amount)


@given(SUMS, RATES)
def test_credits_are_the_sum_at_the_rate_rounded_down(amount: Decimal, rate: Decimal) -> None:
    exact = amount * rate
    if exact < Decimal("0.01"):
        with pytest.raises(Refused):
            credits_for(amount, rate)
        return
    bought = credits_for(amount, rate)
    assert bought.as_tuple().exponent == -2
    assert 0 <= exact - bought < Decimal("0.01")
    assert bought == exact.quantize(Decimal("0.01"), ROUND_DOWN)
