"""What the owner types: read kindly, or refused by field."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import pytest

from zapisano.booking.model import (
    BadField,
    Stretch,
    Window,
    checked_day,
    checked_days,
    checked_duration,
    checked_hours,
    checked_name,
    checked_phone,
    checked_price,
    checked_zone,
    clock,
    stretches,
)

TODAY = date(2026, 11, 22)


def test_hours_are_read() -> None:
    assert checked_hours("10:00-19:00") == (Window(600, 1140),)
    assert checked_hours(" 15:00 – 24:00, 9:30-14:00 ") == (Window(570, 840), Window(900, 1440))
    assert checked_hours("10-19") == (Window(600, 1140),)
    assert checked_hours("10-14, 15-20") == (Window(600, 840), Window(900, 1200))
    assert checked_hours("9.30-18") == (Window(570, 1080),)
    for closed in ("-", "Выходной", "закрыто", "OFF", " closed "):
        assert checked_hours(closed) == ()
    assert clock(570) == "09:30"


def test_other_fields_are_read() -> None:
    assert checked_name("  Мужская \n стрижка ") == "Мужская стрижка"
    assert checked_name("💇\u200d♀️ Стрижка") == "💇\u200d♀️ Стрижка"
    assert checked_duration(" 45 ") == 45
    for typed in ("1 500,50 ₽", "1500.50 руб", "1500,5р.", "1500.5 рублей", "1500.50 RUB"):
        assert checked_price(typed) == Decimal("1500.50")
    assert checked_zone("asia/novosibirsk").key == "Asia/Novosibirsk"
    assert checked_phone("7 (916) 020-03-46") == checked_phone("+79160200346") == "+79160200346"
    assert checked_day("31.12", TODAY) == date(2026, 12, 31)
    assert checked_day("1.3", TODAY) == date(2027, 3, 1)
    assert checked_day("05.12.2026", TODAY) == date(2026, 12, 5)


@pytest.mark.parametrize(
    ("field", "check", "value"),
    [
        ("name", checked_name, " "),
        ("name", checked_name, "я" * 101),
        ("name", checked_name, "a\u0000b"),
        ("name", checked_name, "\u200d"),
        ("minutes", checked_duration, "час"),
        ("minutes", checked_duration, "4"),
        ("minutes", checked_duration, "1441"),
        ("minutes", checked_duration, "-60"),
        ("price", checked_price, "дорого"),
        ("price", checked_price, "-1"),
        ("price", checked_price, "NaN"),
        ("price", checked_price, "1e30"),
        ("price", checked_price, "0.001"),
        ("phone", checked_phone, "номер"),
        ("phone", checked_phone, "1" * 16),
        ("hours", checked_hours, ""),
        ("hours", checked_hours, "10"),
        ("hours", checked_hours, "10.5-19"),
        ("hours", checked_hours, "19-10"),
        ("hours", checked_hours, "19:00-10:00"),
        ("hours", checked_hours, "10:60-19:00"),
        ("hours", checked_hours, "10:00-24:01"),
        ("hours", checked_hours, "10:00-14:00,13:00-15:00"),
        ("hours", checked_hours, ",".join(f"{h}:00-{h}:30" for h in range(6))),
        ("time zone", checked_zone, "Луна"),
        ("time zone", checked_zone, "../../etc/passwd"),
    ],
)
def test_what_cannot_be_read_names_its_field(
    field: str, check: Callable[[str], object], value: str
) -> None:
    with pytest.raises(BadField) as caught:
        check(value)
    assert caught.value.field == field
    assert caught.value.detail.startswith(f"{field}: ")


@pytest.mark.parametrize("value", ["завтра", "31.11", "32.1", "21.11.2026", "1.1.2030"])
def test_a_day_that_is_none(value: str) -> None:
    with pytest.raises(BadField, match=r"day: .*31\.12"):
        checked_day(value, TODAY)


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [
        ("24.11", date(2026, 11, 24), date(2026, 11, 24)),
        ("24.11-07.12", date(2026, 11, 24), date(2026, 12, 7)),
        (" 24.11 – 7.12 ", date(2026, 11, 24), date(2026, 12, 7)),
        ("28.12-8.01", date(2026, 12, 28), date(2027, 1, 8)),
        ("28.12.2026 - 08.01.2027", date(2026, 12, 28), date(2027, 1, 8)),
        ("20.11-25.11", TODAY, date(2026, 11, 25)),
        ("22.11.2026-22.11.2027", TODAY, date(2027, 11, 22)),
    ],
)
def test_days_on_end_are_read(value: str, first: date, last: date) -> None:
    assert checked_days(value, TODAY) == Stretch(first, last)


@pytest.mark.parametrize(
    "value",
    [
        "24.11-",
        "-24.11",
        "24.11-31.11",
        "1.12-2.12-3.12",
        "8.12.2026-7.12.2026",
        "завтра-31.12",
        "22.11.2026-23.11.2027",  # one day too many
    ],
)
def test_days_that_are_none(value: str) -> None:
    with pytest.raises(BadField, match=r"day: .*31\.12"):
        checked_days(value, TODAY)


def test_days_that_follow_each_other_stand_together() -> None:
    days = [date(2026, 12, 1), date(2026, 11, 24), date(2026, 11, 30), date(2026, 12, 5)]
    assert stretches(days) == [
        Stretch(date(2026, 11, 24), date(2026, 11, 24)),
        Stretch(date(2026, 11, 30), date(2026, 12, 1)),
        Stretch(date(2026, 12, 5), date(2026, 12, 5)),
    ]
