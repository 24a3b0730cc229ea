"""Which starts are free: pure functions over calendars.

Two rules about days on which clocks change, taken from PostgreSQL, which computes a booking's
instants (datetime.c, DetermineTimeZoneOffset): a wall time that happens twice means its second
occurrence, one that is skipped means the offset before the change. So a doubled hour is offered
once, as its second occurrence, and a skipped time never.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from zapisano.booking.model import Busy, Calendar, Rules, Slot


def instant(day: date, minutes: int, zone: ZoneInfo) -> datetime | None:
    """Return the instant of a wall time as PostgreSQL reads it; None when clocks skip it."""
    wall = datetime.combine(day, time()) + timedelta(minutes=minutes)
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    second = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return second if second >= first else None


def day_slots(
    calendar: Calendar, rules: Rules, day: date, *, minutes: int, now: datetime
) -> Iterator[Slot]:
    """Yield the free starts of a day for a service of `minutes`, earliest first.

    A start lies on the grid that begins at each opening; the whole service fits the hours by the
    wall clock, overlaps nothing, and is neither sooner than the lead nor past the horizon.
    """
    earliest = now + timedelta(minutes=rules.lead_minutes)
    if not _within_horizon(day, rules, now):
        return
    taken = _around(calendar.busy, day)
    for window in calendar.windows(day):
        for opens in range(window.opens, window.closes - minutes + 1, rules.slot_minutes):
            starts_at = instant(day, opens, rules.zone)
            if starts_at is None or starts_at < earliest:
                continue
            ends_at = starts_at + timedelta(minutes=minutes)
            if _ends_inside(day, window.closes, ends_at, rules.zone) and not any(
                busy.starts_at < ends_at and starts_at < busy.ends_at for busy in taken
            ):
                yield Slot(day, time(opens // 60, opens % 60), starts_at, calendar.staff_id)


def fits(calendar: Calendar, rules: Rules, starts_at: datetime, ends_at: datetime) -> bool:
    """Say whether what is booked lies within the hours, by the place's wall clock."""
    begins = starts_at.astimezone(rules.zone)
    return any(
        window.opens <= begins.hour * 60 + begins.minute
        and _ends_inside(begins.date(), window.closes, ends_at, rules.zone)
        for window in calendar.windows(begins.date())
    )


def today(rules: Rules, now: datetime) -> date:
    """Return the day it is at the place."""
    return now.astimezone(rules.zone).date()


def last_day(rules: Rules, now: datetime) -> date:
    """Return the last day that can be booked."""
    return today(rules, now) + timedelta(days=rules.horizon_days)


def _within_horizon(day: date, rules: Rules, now: datetime) -> bool:
    return today(rules, now) <= day <= last_day(rules, now)


def _ends_inside(day: date, closes: int, ends_at: datetime, zone: ZoneInfo) -> bool:
    end = ends_at.astimezone(zone).replace(tzinfo=None)
    return end <= datetime.combine(day, time()) + timedelta(minutes=closes)


def _around(busy: Iterable[Busy], day: date) -> list[Busy]:
    """Keep what may touch a day in any zone (offsets are within a day of UTC)."""
    begins = datetime.combine(day, time(), UTC) - timedelta(days=1)
    ends = begins + timedelta(days=3)
    return [b for b in busy if b.starts_at < ends and begins < b.ends_at]


def staff_slots(
    calendars: Sequence[Calendar], rules: Rules, day: date, *, minutes: int, now: datetime
) -> list[Slot]:
    """Return the free starts of a day with anybody of `calendars`: one for each start.

    Of those free at a start, the one with the least to do around that day gets it.
    """
    best: dict[datetime, Slot] = {}
    for calendar in sorted(calendars, key=lambda c: (len(_around(c.busy, day)), c.staff_id)):
        for slot in day_slots(calendar, rules, day, minutes=minutes, now=now):
            best.setdefault(slot.starts_at, slot)
    return [best[starts_at] for starts_at in sorted(best)]


def would_offer(
    calendars: Sequence[Calendar],
    rules: Rules,
    day: date,
    at: time,
    *,
    minutes: int,
    now: datetime,
) -> bool:
    """Say whether a start would be offered if nothing were taken."""
    empty = [replace(calendar, busy=()) for calendar in calendars]
    return any(s.at == at for s in staff_slots(empty, rules, day, minutes=minutes, now=now))


def free_days(
    calendars: Sequence[Calendar], rules: Rules, month: date, *, minutes: int, now: datetime
) -> list[date]:
    """Return the days of a month (any day of it) that have free time."""
    first = max(month.replace(day=1), today(rules, now))
    after = (month.replace(day=1) + timedelta(days=32)).replace(day=1)
    last = min(after - timedelta(days=1), last_day(rules, now))
    days = (first + timedelta(days=n) for n in range((last - first).days + 1))
    return [
        day
        for day in days
        if any(_first(day_slots(c, rules, day, minutes=minutes, now=now)) for c in calendars)
    ]


def _first(slots: Iterator[Slot]) -> Slot | None:
    return next(slots, None)


def next_slots(
    calendars: Sequence[Calendar],
    rules: Rules,
    *,
    minutes: int,
    after: datetime,
    now: datetime,
    limit: int,
) -> list[Slot]:
    """Return the first `limit` free starts at or after a moment."""
    found: list[Slot] = []
    day = max(after.astimezone(rules.zone).date(), today(rules, now))
    while len(found) < limit and day <= last_day(rules, now):
        slots = staff_slots(calendars, rules, day, minutes=minutes, now=now)
        found += [slot for slot in slots if slot.starts_at >= after]
        day += timedelta(days=1)
    return found[:limit]
