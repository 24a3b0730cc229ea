"""What can be booked, by whom, when: frozen values, their rules, and the domain's errors.

Times of day are minutes since midnight (0-1440), so that a day may end at 24:00. Instants are
aware datetimes in UTC and end in `_at`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import pairwise
from typing import NewType
from zoneinfo import ZoneInfo, available_timezones

from zapisano.errors import Conflict, NotFound, Refused
from zapisano.tenancy import cleaned_name

BookingId = NewType("BookingId", int)
ServiceId = NewType("ServiceId", int)
StaffId = NewType("StaffId", int)

DAY_MINUTES = 24 * 60
REMIND_HOURS = (24, 2)
# A limit on everything: what one person may hold, what one keyboard can show.
MAX_UPCOMING = 10
MAX_SERVICES = 40
MAX_STAFF = 40
MAX_WINDOWS = 5
MAX_DAYS_OFF = 366  # at one go
MAX_NAME = 100
MAX_PRICE = Decimal("99999999.99")
MIN_DURATION_MINUTES, MAX_DURATION_MINUTES = 5, DAY_MINUTES


class Status(StrEnum):
    """Where a booking is in its life.

    The overlap rule guards the time of the first two. A completed one keeps its time in the bot:
    the customer may still be there.
    """

    HELD = "held"
    ACTIVE = "active"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    NO_SHOW = "no_show"


class UnknownBooking(NotFound):
    """No booking has this id, or it is somebody else's."""

    code, text = "unknown_booking", "There is no such booking."


class UnknownService(NotFound):
    """No service has this id, or it is hidden."""

    code, text = "unknown_service", "This service is no longer offered."


class UnknownStaff(NotFound):
    """No staff member has this id, or they no longer work here."""

    code, text = "unknown_staff", "This staff member no longer takes bookings."


class BookingOver(Conflict):
    """The booking is cancelled, done, or has begun."""

    code, text = "booking_over", "This booking can no longer be changed."


class NotOffered(Refused):
    """The time is outside the hours, too soon, too far away, or no time of this place."""

    code, text = "not_offered", "This time cannot be booked."


class TooMany(Refused):
    """A limit is reached."""

    code, text = "too_many", "There are too many of these already."


class BadField(Refused):
    """One field of the input is wrong; `field` names it and the detail says how to write it."""

    code = "bad_field"

    def __init__(self, field: str, remedy: str) -> None:
        """Name the field and the remedy."""
        super().__init__(f"{field}: {remedy}")
        self.field = field


@dataclass(frozen=True)
class Service:
    """What is done, for how long, for how much (roubles)."""

    id: ServiceId
    name: str
    duration_minutes: int
    price: Decimal
    active: bool


@dataclass(frozen=True)
class Staff:
    """Who does it. Staff are deactivated, never deleted."""

    id: StaffId
    name: str
    active: bool


@dataclass(frozen=True)
class Person:
    """Somebody who has written to the bot."""

    user_id: int
    name: str
    username: str | None
    phone: str | None
    language: str
    is_admin: bool
    blocked_at: datetime | None = None  # since when the bot cannot write to them


@dataclass(frozen=True)
class Rules:
    """How a tenant offers its time."""

    zone: ZoneInfo
    slot_minutes: int
    lead_minutes: int
    horizon_days: int


@dataclass(frozen=True, order=True)
class Window:
    """Opening hours within one day, wall clock of the place."""

    opens: int
    closes: int


@dataclass(frozen=True)
class Busy:
    """A stretch that is taken."""

    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True)
class Calendar:
    """When one staff member could work: hours by ISO weekday, days off, what is taken."""

    staff_id: StaffId
    hours: tuple[tuple[int, Window], ...]
    days_off: frozenset[date]
    busy: tuple[Busy, ...]

    def windows(self, day: date) -> list[Window]:
        """Return the hours of a day, earliest first; none on a day off."""
        if day in self.days_off:
            return []
        return self.weekday(day.isoweekday())

    def weekday(self, number: int) -> list[Window]:
        """Return the hours of an ISO weekday, earliest first."""
        return sorted(window for weekday, window in self.hours if weekday == number)


@dataclass(frozen=True)
class Slot:
    """A start at which a service fits: the wall clock of the place, and its instant."""

    day: date
    at: time
    starts_at: datetime
    staff_id: StaffId


@dataclass(frozen=True)
class Wish:
    """What a customer has picked; `staff_id` None means anybody."""

    service_id: ServiceId
    staff_id: StaffId | None
    day: date
    at: time


@dataclass(frozen=True)
class Booking:
    """A slot taken by a customer, with the names to show it by.

    `starts_at` and `ends_at` are read from the database's own range, the one the overlap rule
    guards. `date` and `time` are that start by the clock of the place, whose zone is `time_zone`.
    """

    id: BookingId
    user_id: int
    service_id: ServiceId
    service: str
    staff_id: StaffId
    staff: str
    status: Status
    date: date
    time: time
    time_zone: str
    duration_minutes: int
    price: Decimal | None
    starts_at: datetime
    ends_at: datetime
    confirmed_at: datetime | None
    created_at: datetime
    changed_at: datetime

    def stands(self, now: datetime) -> bool:
        """Whether it is still to come."""
        return self.status in {Status.HELD, Status.ACTIVE} and now < self.starts_at


@dataclass(frozen=True)
class Visit:
    """A booking as the owner sees it: with who comes, when the bot knows them."""

    booking: Booking
    customer: Person | None


def checked_name(value: str) -> str:
    """Return a name to show, its white space made single.

    Raises:
        BadField: it is empty, longer than 100 characters, or nothing that can be shown.
    """
    if (name := cleaned_name(value)) is None:
        raise BadField("name", f"write 1 to {MAX_NAME} characters")
    return name


def checked_duration(value: str) -> int:
    """Return minutes.

    Raises:
        BadField: it is no whole number of 5 to 1440.
    """
    text = value.strip()
    if not re.fullmatch(r"[0-9]{1,4}", text):
        raise BadField("minutes", "write a whole number of minutes, for example 60")
    minutes = int(text)
    if not MIN_DURATION_MINUTES <= minutes <= MAX_DURATION_MINUTES:
        raise BadField("minutes", f"write {MIN_DURATION_MINUTES} to {MAX_DURATION_MINUTES} minutes")
    return minutes


_ROUBLES = re.compile(r"(₽|р\.?|руб\.?|рубл(ь|я|ей)|rub\.?|rur)$", re.IGNORECASE)


def checked_price(value: str) -> Decimal:
    """Return roubles with two places.

    Raises:
        BadField: it is no sum of 0 to 99 999 999.99.
    """
    text = _ROUBLES.sub("", re.sub(r"\s", "", value)).replace(",", ".")
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise BadField("price", "write a sum in roubles, for example 1500") from None
    if not price.is_finite() or not 0 <= price <= MAX_PRICE or price != round(price, 2):
        raise BadField("price", f"write 0 to {MAX_PRICE}, with at most two places")
    return round(price, 2)


def checked_phone(value: str) -> str:
    """Return a number as `+79001234567`; Telegram gives it with or without the plus.

    Raises:
        BadField: it has not 5 to 15 digits (E.164).
    """
    digits = re.sub(r"[^0-9]", "", value)
    if not 5 <= len(digits) <= 15:
        raise BadField("phone", "share the number of your Telegram account")
    return f"+{digits}"


_WINDOW = re.compile(r"(\d{1,2})(?:[:.](\d{2}))?\s*[-–—]\s*(\d{1,2})(?:[:.](\d{2}))?")
_CLOSED = frozenset({"-", "–", "—", "0", "выходной", "закрыто", "off", "closed"})


def checked_hours(value: str) -> tuple[Window, ...]:
    """Read `10:00-14:00, 15:00-19:00`, also `10-14` and `9.30-18`; `-` or a word means closed.

    Raises:
        BadField: it cannot be read, ends before it begins, or overlaps.
    """
    text = value.strip()
    if text.casefold() in _CLOSED:
        return ()
    windows = tuple(sorted(_window(part.strip()) for part in re.split(r"[,;\n]", text)))
    if len(windows) > MAX_WINDOWS:
        raise BadField("hours", f"write at most {MAX_WINDOWS} stretches a day")
    for earlier, later in pairwise(windows):
        if later.opens < earlier.closes:
            raise BadField("hours", "the stretches of a day must not overlap")
    return windows


def _window(text: str) -> Window:
    found = _WINDOW.fullmatch(text)
    if not found:
        raise BadField("hours", "write the time like this: 10:00-19:00")
    first, first_minutes, last, last_minutes = (int(part or 0) for part in found.groups())
    opens, closes = first * 60 + first_minutes, last * 60 + last_minutes
    if first_minutes > 59 or last_minutes > 59 or not opens < closes <= DAY_MINUTES:
        raise BadField("hours", "the end must come after the beginning: 10:00-19:00")
    return Window(opens, closes)


def checked_zone(value: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        BadField: there is no such zone.
    """
    wanted = value.strip().replace(" ", "_").lower()
    for name in available_timezones():
        if name.lower() == wanted:
            return ZoneInfo(name)
    raise BadField("time zone", "write a name such as Europe/Moscow or Asia/Novosibirsk")


@dataclass(frozen=True)
class Stretch:
    """Days on end, the last one among them."""

    first: date
    last: date


def stretches(days: Iterable[date]) -> list[Stretch]:
    """Put days that follow each other together, in order."""
    found: list[Stretch] = []
    for day in sorted(days):
        if found and day - found[-1].last <= timedelta(days=1):
            found[-1] = Stretch(found[-1].first, day)
        else:
            found.append(Stretch(day, day))
    return found


# More than this over the turn of a year without a year written is two days the wrong way round.
MAX_DAYS_OVER_NEW_YEAR = 183
_DAY = re.compile(r"(\d{1,2})\.(\d{1,2})(?:\.(\d{4}))?")


def checked_day(value: str, today: date) -> date:
    """Read `31.12` (the next one to come) or `31.12.2026`.

    Raises:
        BadField: it is no day, or more than a year away.
    """
    read, has_year = _written_day(value, today.year)
    if not has_year and read < today:
        read, _ = _written_day(value, today.year + 1)
    if not 0 <= (read - today).days <= 366:
        raise BadField("day", "write a day within the coming year, like this: 31.12")
    return read


def checked_days(value: str, today: date) -> Stretch:
    """Read a day, or days on end: `24.11-07.12`. What has begun counts from today.

    The last day is read as the next one to come, the first as the one before it.

    Raises:
        BadField: one of them is no day, they are the wrong way round, or they are more than 366.
    """
    written = re.split("[-–—]", value)
    last = checked_day(written[-1], today)
    if len(written) == 1:
        return Stretch(last, last)
    first, has_year = _written_day(written[0], last.year)
    most = MAX_DAYS_OFF
    if not has_year and first > last:
        first, _ = _written_day(written[0], last.year - 1)
        most = MAX_DAYS_OVER_NEW_YEAR
    if len(written) > 2 or not 0 <= (last - first).days < most:
        raise BadField("day", f"write at most {MAX_DAYS_OFF} days, like this: 24.12-31.12")
    return Stretch(max(first, today), last)


def _written_day(value: str, year: int) -> tuple[date, bool]:
    """Return the day, of `year` where none is written, and whether one is."""
    found = _DAY.fullmatch(value.strip())
    if not found:
        raise BadField("day", "write the day like this: 31.12")
    try:
        return date(int(found[3] or year), int(found[2]), int(found[1])), bool(found[3])
    except ValueError:
        raise BadField("day", "there is no such day; write it like this: 31.12") from None


def clock(minutes: int) -> str:
    """Write minutes since midnight as `09:30`."""
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
