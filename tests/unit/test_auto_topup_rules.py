"""How long a decline is waited out, when a day begins, and what may be agreed to. Pure."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.errors import Refused
from zapisano.payments.auto_model import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    auto_terms,
    day_start,
    pause_after,
)
from zapisano.web.checkout_texts import fewer_credits_text

INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 # the strategy adds the zone
ZONES = st.sampled_from(["Europe/Moscow", "Asia/Kamchatka", "America/Sao_Paulo", "Africa/Cairo"])


@given(st.integers(1, 10_000))
def test_each_decline_doubles_the_pause_up_to_a_week(declines: int) -> None:
    pause, following = pause_after(declines), pause_after(declines + 1)
    assert pause <= following <= LONGEST_PAUSE
    assert following in {2 * pause, LONGEST_PAUSE}


def test_the_first_pauses() -> None:
    assert [pause_after(n) / FIRST_PAUSE for n in (1, 2, 3, 8)] == [1, 2, 4, 128]
    assert (pause_after(1), pause_after(9)) == (timedelta(hours=1), timedelta(days=7))


@given(INSTANTS, ZONES)
def test_a_day_begins_once_for_all_its_instants(instant: datetime, zone: str) -> None:
    start = day_start(instant, zone)
    assert start <= instant < start + timedelta(hours=25, minutes=1)
    assert day_start(start, zone) == start
    local = instant.astimezone(ZoneInfo(zone))
    assert start.astimezone(ZoneInfo(zone)).date() == local.date()


@given(INSTANTS, INSTANTS, ZONES)
def test_instants_share_a_start_if_and_only_if_they_share_a_day(
    one: datetime, other: datetime, zone: str
) -> None:
    days = {instant.astimezone(ZoneInfo(zone)).date() for instant in (one, other)}
    assert len({day_start(one, zone), day_start(other, zone)}) == len(days)


@given(
    st.decimals("0.01", "99999999.99", places=2),
    st.decimals("10", "100000", places=2),
    st.integers(1, 10),
)
def test_what_can_be_agreed_to_costs_a_day_no_more_than_it_says(
    below: Decimal, amount: Decimal, per_day: int
) -> None:
    assert auto_terms(below, amount, per_day).most_a_day == amount * per_day


@pytest.mark.parametrize(
    ("below", "amount", "per_day", "field"),
    [
        ("0", "500", 1, "auto.below"),
        ("NaN", "500", 1, "auto.below"),
        ("0.001", "500", 1, "auto.below"),
        ("100000000", "500", 1, "auto.below"),
        ("100", "9.99", 1, "auto.amount"),
        ("100", "100000.01", 1, "auto.amount"),
        ("100", "Infinity", 1, "auto.amount"),
        ("100", "500", 0, "auto.perDay"),
        ("100", "500", 11, "auto.perDay"),
    ],
)
def test_what_cannot_be_agreed_to_is_named(
    below: str, amount: str, per_day: int, field: str
) -> None:
    with pytest.raises(Refused) as refused:
        auto_terms(Decimal(below), Decimal(amount), per_day)
    assert str(refused.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("number", "russian", "english"),
    [
        ("1", "1 кредита", "1 credit"),
        ("11", "11 кредитов", "11 credits"),
        ("21", "21 кредита", "21 credits"),
        ("100.00", "100 кредитов", "100 credits"),
        ("10.50", "10,50 кредита", "10.50 credits"),
    ],
)
def test_fewer_credits(number: str, russian: str, english: str) -> None:
    for language, text in (("ru", russian), ("en", english)):
        said = fewer_credits_text(Decimal(number), language)
        assert said.replace("\N{NO-BREAK SPACE}", " ") == text
