"""Free starts as pure functions: never over a booking, always inside hours, on every clock."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.booking.availability import (
    day_slots,
    free_days,
    instant,
    next_slots,
    staff_slots,
    would_offer,
)
from zapisano.booking.model import Busy, Calendar, Rules, Slot, StaffId, Window

MOSCOW = Rules(ZoneInfo("Europe/Moscow"), slot_minutes=30, lead_minutes=60, horizon_days=30)
DAY = date(2026, 11, 23)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
# Offsets of 5:45, 12:45/13:45, a half-hour change, -9:30, +14, no change, and the usual ones;
# with the days of 2027 on which their clocks change.
ZONES = {
    "Europe/Moscow": (),
    "Europe/Berlin": (date(2027, 3, 28), date(2027, 10, 31)),
    "America/New_York": (date(2027, 3, 14), date(2027, 11, 7)),
    "Asia/Kathmandu": (),
    "Pacific/Chatham": (date(2027, 4, 4), date(2027, 9, 26)),
    "Australia/Lord_Howe": (date(2027, 4, 4), date(2027, 10, 3)),
    "Pacific/Marquesas": (),
    "Pacific/Kiritimati": (),
    "Africa/Cairo": (date(2027, 4, 30), date(2027, 10, 28)),
    "America/Santiago": (date(2027, 4, 3), date(2027, 9, 5)),
}


def calendar(
    *windows: tuple[int, int],
    busy: tuple[Busy, ...] = (),
    off: frozenset[date] = frozenset(),
    staff: int = 1,
) -> Calendar:
    hours = tuple((day, Window(*window)) for day in range(1, 8) for window in windows)
    return Calendar(StaffId(staff), hours, off, busy)


def at_moscow(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZoneInfo("Europe/Moscow"))


def starts(*calendars: Calendar, minutes: int = 60, now: datetime = NOW, day: date = DAY) -> str:
    slots = staff_slots(calendars, MOSCOW, day, minutes=minutes, now=now)
    return " ".join(f"{slot.at:%H:%M}" for slot in slots)


def test_a_day_is_offered_on_the_grid_while_the_service_fits() -> None:
    assert starts(calendar((600, 750))) == "10:00 10:30 11:00 11:30"
    assert starts(calendar((600, 750)), minutes=45) == "10:00 10:30 11:00 11:30"
    assert starts(calendar((600, 660), (840, 900))) == "10:00 14:00"
    assert starts(calendar((600, 659))) == ""
    assert starts(calendar((1380, 1440))) == "23:00"


def test_what_is_taken_is_not_offered() -> None:
    taken = Busy(at_moscow(DAY, 11), at_moscow(DAY, 12))
    assert starts(calendar((600, 780), busy=(taken,))) == "10:00 12:00"


def test_a_day_off_offers_nothing() -> None:
    assert starts(calendar((600, 780), off=frozenset({DAY}))) == ""


def test_lead_time_and_horizon() -> None:
    now = at_moscow(DAY, 10, 1)
    assert starts(calendar((600, 780)), now=now) == "11:30 12:00"
    assert starts(calendar((600, 660)), day=date(2026, 12, 22)) == "10:00"
    assert starts(calendar((600, 660)), day=date(2026, 12, 23)) == ""
    assert starts(calendar((600, 660)), day=date(2026, 11, 21)) == ""


def test_anybody_means_whoever_has_least_to_do() -> None:
    taken = Busy(at_moscow(DAY, 15), at_moscow(DAY, 16))
    busy, idle = calendar((600, 720), busy=(taken,)), calendar((660, 720), staff=2)
    slots = staff_slots([busy, idle], MOSCOW, DAY, minutes=60, now=NOW)
    assert [(f"{s.at:%H:%M}", s.staff_id) for s in slots] == [
        ("10:00", 1),
        ("10:30", 1),
        ("11:00", 2),
    ]


def test_taken_is_told_from_never_offered() -> None:
    taken = calendar((600, 720), busy=(Busy(at_moscow(DAY, 10), at_moscow(DAY, 11)),))
    offered = {
        at: would_offer([taken], MOSCOW, DAY, at, minutes=60, now=NOW)
        for at in (time(10), time(10, 7), time(12))
    }
    assert offered == {time(10): True, time(10, 7): False, time(12): False}


def test_days_of_a_month_and_the_next_free_time() -> None:
    full = Busy(at_moscow(date(2026, 11, 24), 0), at_moscow(date(2026, 11, 28), 0))
    one = calendar((600, 660), busy=(full,), off=frozenset({date(2026, 11, 23)}))
    days = free_days([one], MOSCOW, date(2026, 11, 10), minutes=60, now=NOW)
    assert [day.day for day in days] == [28, 29, 30]
    december = free_days([one], MOSCOW, date(2026, 12, 1), minutes=60, now=NOW)
    assert (december[0].day, december[-1].day) == (1, 22)
    found = next_slots([one], MOSCOW, minutes=60, after=NOW, now=NOW, limit=2)
    assert [slot.day.day for slot in found] == [28, 29]
    assert next_slots([calendar()], MOSCOW, minutes=60, after=NOW, now=NOW, limit=2) == []


def test_a_skipped_hour_is_not_offered_and_a_doubled_one_once() -> None:
    berlin = Rules(ZoneInfo("Europe/Berlin"), slot_minutes=30, lead_minutes=0, horizon_days=300)
    night = calendar((90, 240))
    now = datetime(2027, 3, 1, tzinfo=UTC)
    spring = day_slots(night, berlin, date(2027, 3, 28), minutes=30, now=now)
    assert [f"{s.at:%H:%M}={s.starts_at:%H:%M}" for s in spring] == [
        "01:30=00:30",
        "03:00=01:00",
        "03:30=01:30",
    ]
    autumn = day_slots(night, berlin, date(2027, 10, 31), minutes=30, now=now)
    assert [f"{s.at:%H:%M}={s.starts_at:%H:%M}" for s in autumn] == [
        "01:30=23:30",
        "02:00=01:00",
        "02:30=01:30",
        "03:00=02:00",
        "03:30=02:30",
    ]
    assert instant(date(2027, 3, 28), 150, berlin.zone) is None


@st.composite
def situations(draw: st.DrawFn) -> tuple[Calendar, Rules, date, int]:
    name = draw(st.sampled_from(sorted(ZONES)))
    ordinary = st.dates(date(2027, 1, 1), date(2027, 12, 31))
    day = draw(st.sampled_from(ZONES[name]) | ordinary if ZONES[name] else ordinary)
    edges = sorted(draw(st.sets(st.integers(0, 96), min_size=2, max_size=4)))
    windows = [(a * 15, b * 15) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    busy = tuple(
        Busy(midnight + timedelta(minutes=begin), midnight + timedelta(minutes=begin + length))
        for begin, length in draw(
            st.lists(st.tuples(st.integers(-900, 2300), st.integers(5, 300)), max_size=6)
        )
    )
    rules = Rules(ZoneInfo(name), draw(st.sampled_from([5, 15, 20, 30, 60])), 0, 366)
    return calendar(*windows, busy=busy), rules, day, draw(st.sampled_from([5, 30, 45, 60, 240]))


@given(situations())
def test_a_slot_is_free_inside_hours_and_reads_back_as_the_same_wall_time(
    situation: tuple[Calendar, Rules, date, int],
) -> None:
    one, rules, day, minutes = situation
    now = datetime(2027, 1, 1, tzinfo=UTC) - timedelta(days=1)
    slots: list[Slot] = list(day_slots(one, rules, day, minutes=minutes, now=now))
    assert len({slot.starts_at for slot in slots}) == len(slots)
    for slot in slots:
        ends_at = slot.starts_at + timedelta(minutes=minutes)
        assert all(ends_at <= b.starts_at or b.ends_at <= slot.starts_at for b in one.busy)
        begin = slot.starts_at.astimezone(rules.zone)
        end = ends_at.astimezone(rules.zone).replace(tzinfo=None)
        # Not skipped: an instant has only one wall time, and it is the one offered.
        assert (begin.date(), begin.time()) == (slot.day, slot.at)
        # Not the first of two: an hour later the clock does not show the same again.
        for later in (30, 60):
            again = (slot.starts_at + timedelta(minutes=later)).astimezone(rules.zone)
            assert again.replace(tzinfo=None) != begin.replace(tzinfo=None)
        midnight = datetime.combine(day, time())
        assert any(
            midnight + timedelta(minutes=w.opens) <= begin.replace(tzinfo=None)
            and end <= midnight + timedelta(minutes=w.closes)
            for w in one.windows(day)
        )


@given(situations())
def test_nothing_that_fits_is_withheld_on_an_ordinary_day(
    situation: tuple[Calendar, Rules, date, int],
) -> None:
    one, rules, day, minutes = situation
    if day in ZONES[rules.zone.key] or day + timedelta(days=1) in ZONES[rules.zone.key]:
        return
    now = datetime(2026, 12, 31, tzinfo=UTC)
    offered = {s.at for s in day_slots(one, rules, day, minutes=minutes, now=now)}
    for window in one.windows(day):
        for opens in range(window.opens, window.closes - minutes + 1, rules.slot_minutes):
            at = time(opens // 60, opens % 60)
            begins_at = datetime.combine(day, at, rules.zone)
            ends_at = begins_at + timedelta(minutes=minutes)
            free = all(ends_at <= b.starts_at or b.ends_at <= begins_at for b in one.busy)
            assert (at in offered) == free


@pytest.mark.parametrize("name", sorted(ZONES))
def test_the_days_listed_for_a_zone_are_those_on_which_its_clocks_change(name: str) -> None:
    zone = ZoneInfo(name)

    def offset(day: date) -> timedelta | None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC).astimezone(zone).utcoffset()

    year = [date(2027, 1, 1) + timedelta(days=n) for n in range(365)]
    changes = [d for d in year if offset(d - timedelta(days=1)) != offset(d + timedelta(days=2))]
    assert bool(changes) == bool(ZONES[name])
    assert set(ZONES[name]) <= set(changes)
