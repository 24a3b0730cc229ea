"""How days, times, sums and bookings are written, in the person's language."""

from datetime import date, datetime
from decimal import Decimal
from html import escape
from zoneinfo import ZoneInfo

from aiogram.utils.i18n import gettext as _

from zapisano.booking import (
    BadField,
    Booking,
    BookingOver,
    NotOffered,
    Person,
    Service,
    TooMany,
    UnknownBooking,
    UnknownService,
    UnknownStaff,
)
from zapisano.booking.model import MAX_UPCOMING, Stretch, Window, clock
from zapisano.errors import AppError, SlotTaken


def month_name(day: date) -> str:
    """Write a month: `November 2026`."""
    names = (
        _("January {year}"),
        _("February {year}"),
        _("March {year}"),
        _("April {year}"),
        _("May {year}"),
        _("June {year}"),
        _("July {year}"),
        _("August {year}"),
        _("September {year}"),
        _("October {year}"),
        _("November {year}"),
        _("December {year}"),
    )
    return names[day.month - 1].format(year=day.year)


def day_and_month(day: date) -> str:
    """Write a day: `23 November`."""
    names = (
        _("{day} January"),
        _("{day} February"),
        _("{day} March"),
        _("{day} April"),
        _("{day} May"),
        _("{day} June"),
        _("{day} July"),
        _("{day} August"),
        _("{day} September"),
        _("{day} October"),
        _("{day} November"),
        _("{day} December"),
    )
    return names[day.month - 1].format(day=day.day)


def weekday_short(weekday: int) -> str:
    """Write an ISO weekday: `Mo`."""
    return (_("Mo"), _("Tu"), _("We"), _("Th"), _("Fr"), _("Sa"), _("Su"))[weekday - 1]


def weekday_long(weekday: int) -> str:
    """Write an ISO weekday: `Monday`."""
    names = (
        _("Monday"),
        _("Tuesday"),
        _("Wednesday"),
        _("Thursday"),
        _("Friday"),
        _("Saturday"),
        _("Sunday"),
    )
    return names[weekday - 1]


def day_name(day: date) -> str:
    """Write a day for a button or a title: `Mo, 23 November`."""
    return f"{weekday_short(day.isoweekday())}, {day_and_month(day)}"


def days_name(days: Stretch) -> str:
    """Write days on end: `24 November - 7 December`, or the only one."""
    first, last = day_and_month(days.first), day_and_month(days.last)
    return first if days.first == days.last else f"{first} - {last}"


def moment(starts_at: datetime, zone: str) -> str:
    """Write an instant; Telegram shows it in the reader's zone, the place's own time is inside.

    The format is Telegram's (core.telegram.org/bots/api#date-time-entity-formatting).
    """
    local = starts_at.astimezone(ZoneInfo(zone))
    text = _("{day} at {time}").format(day=day_name(local.date()), time=f"{local:%H:%M}")
    return f'<tg-time unix="{int(starts_at.timestamp())}" format="wDt">{text}</tg-time>'


def money(price: Decimal) -> str:
    """Write roubles: `1 500 ₽`, with kopecks only where there are some."""
    whole = price == price.to_integral_value()
    text = f"{price:,.0f}" if whole else f"{price:,.2f}"
    return text.replace(",", "\N{NO-BREAK SPACE}").replace(".", ",") + "\N{NO-BREAK SPACE}₽"


def length(minutes: int) -> str:
    """Write a length: `45 min`, `1 h 30 min`."""
    hours, rest = divmod(minutes, 60)
    if not hours:
        return _("{minutes} min").format(minutes=rest)
    if not rest:
        return _("{hours} h").format(hours=hours)
    return _("{hours} h {minutes} min").format(hours=hours, minutes=rest)


def hours(windows: list[Window]) -> str:
    """Write the hours of a day: `10:00-14:00, 15:00-19:00`."""
    return ", ".join(f"{clock(w.opens)}-{clock(w.closes)}" for w in windows) or _("closed")


def service_line(service: Service) -> str:
    """Write a service for a button: `Haircut · 1 h · 1 500 ₽`."""
    parts = [service.name, length(service.duration_minutes)]
    if service.price:
        parts.append(money(service.price))
    return " · ".join(parts)


def details(booking: Booking, *, staff: bool) -> str:
    """Write what is booked, a line each; `staff` says who does it."""
    lines = [
        f"🗓 {moment(booking.starts_at, booking.time_zone)}",
        f"✂️ {escape(booking.service)} · {length(booking.duration_minutes)}",
    ]
    if staff:
        lines.append(f"👤 {escape(booking.staff)}")
    if booking.price:
        lines.append(f"💰 {money(booking.price)}")
    return "\n".join(lines)


def visit_name(booking: Booking) -> str:
    """Write a booking for a button: `Mo, 23 November, 14:00 · Haircut`."""
    return f"{day_name(booking.date)}, {booking.time:%H:%M} · {booking.service}"


def who(booking: Booking, customer: Person | None) -> str:
    """Write a customer with everything to reach them by."""
    name = escape(customer.name if customer and customer.name else _("Customer"))
    parts = [f'<a href="tg://user?id={booking.user_id}">{name}</a>']
    if customer and customer.username:
        parts.append(f"@{escape(customer.username)}")
    if customer and customer.phone:
        parts.append(escape(customer.phone))
    return " · ".join(parts)


def explain(error: AppError) -> str | None:
    """Say what the domain has refused; None when it is nothing of the booking's."""
    if isinstance(error, BadField):
        return example(error.field)
    sentences: dict[type[AppError], str] = {
        SlotTaken: _("Sorry, this time has just been taken."),
        NotOffered: _("Sorry, this time can no longer be booked."),
        BookingOver: _("This booking is over or cancelled already."),
        UnknownBooking: _("This booking is not there any more."),
        UnknownService: _("This service is not offered any more. Please choose again: /book"),
        UnknownStaff: _("This person takes no bookings any more. Please choose again: /book"),
        TooMany: _("You have {count} bookings already. Please cancel one first: /my").format(
            count=MAX_UPCOMING
        ),
    }
    return sentences.get(type(error))


def example(field: str) -> str:
    """Say how to write a field."""
    examples = {
        "name": _("Please write a name of up to 100 characters, for example: Haircut"),
        "minutes": _("Please write the minutes as a number from 5 to 1440, for example: 60"),
        "price": _("Please write the price in roubles, for example: 1500"),
        "hours": _("Please write the time like this: 10:00-19:00"),
        "time zone": _("Please write the city (Moscow) or the zone (Europe/Berlin)"),
        "phone": _("Please share your own number, with the button below."),
        "day": _("Please write a day of the coming year, or several: 31.12 or 24.11-07.12"),
    }
    return examples.get(field, _("This cannot be accepted. Please check what you have written."))
