"""A booking as a file for the customer's own calendar (RFC 5545)."""

from datetime import datetime

from aiogram.types import BufferedInputFile
from aiogram.utils.i18n import gettext as _
from icalendar import Calendar, Event

from zapisano.booking import Booking
from zapisano.bots.booking.words import day_and_month
from zapisano.tenancy import Tenant


def calendar_file(booking: Booking, tenant: Tenant, now: datetime) -> BufferedInputFile:
    """Return the file. A later one of the same booking replaces the event in the calendar."""
    event = Event.new(
        uid=f"booking-{booking.id}@{tenant.id.replace('_', '-')}.zapisano",
        stamp=now,
        start=booking.starts_at,
        end=booking.ends_at,
        summary=f"{booking.service} · {tenant.name}",
        sequence=int((booking.changed_at - booking.created_at).total_seconds()),
    )
    calendar = Calendar.new(prodid="-//Zapisano//Booking//RU", subcomponents=[event])
    name = _("Booking {day}, {time}.ics").format(
        day=day_and_month(booking.date), time=f"{booking.time:%H-%M}"
    )
    return BufferedInputFile(calendar.to_ical(), name)
