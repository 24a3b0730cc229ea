"""How paid time adds up: no day is lost, and the order of payments does not matter. Pure."""

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from zapisano.subscriptions import Period, next_period

START = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAYS = st.sampled_from([30, 90, 180, 365]) | st.integers(1, 400)
# Payments: how many hours after the one before, and for how many days.
PAYMENTS = st.lists(st.tuples(st.integers(0, 24 * 500), DAYS), min_size=1, max_size=12)


def pay(payments: list[tuple[int, int]]) -> list[tuple[datetime, int, Period]]:
    """Pay one after the other; return each payment's instant, days and period."""
    paid_until, now, made = None, START, list[tuple[datetime, int, Period]]()
    for hours, days in payments:
        now += timedelta(hours=hours)
        period = next_period(paid_until, days, now)
        paid_until = period.ends_at
        made.append((now, days, period))
    return made


@given(PAYMENTS)
def test_no_day_is_lost(payments: list[tuple[int, int]]) -> None:
    for now, days, period in pay(payments):
        assert period.ends_at - period.starts_at == timedelta(days=days)
        assert period.starts_at >= now


@given(PAYMENTS)
def test_periods_never_overlap_and_leave_no_gap_while_paid(payments: list[tuple[int, int]]) -> None:
    made = pay(payments)
    for (_, _, before), (now, _, after) in itertools.pairwise(made):
        assert after.starts_at == max(before.ends_at, now)


@given(
    st.lists(DAYS, min_size=1, max_size=8).flatmap(
        lambda d: st.tuples(st.just(d), st.permutations(d))
    )
)
def test_the_order_of_payments_is_irrelevant_while_time_is_left(
    orders: tuple[list[int], list[int]],
) -> None:
    first, second = (pay([(0, days) for days in order])[-1][2].ends_at for order in orders)
    assert first == second == START + timedelta(days=sum(orders[0]))


def test_lapsed_time_is_not_charged_for() -> None:
    later = START + timedelta(days=100)
    assert next_period(START, 30, later) == Period(later, later + timedelta(days=30))
