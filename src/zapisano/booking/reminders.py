"""Reminders: due rows that live and die with their booking, and the second look before sending."""

from datetime import datetime, timedelta

from zapisano.booking.jobs import Remind
from zapisano.booking.model import REMIND_HOURS, Booking
from zapisano.db import TenantConnection
from zapisano.jobs import schedule, unschedule


async def plan(conn: TenantConnection, booking: Booking, now: datetime) -> None:
    """Schedule the reminders that still lie ahead; forget those that do not."""
    for hours in REMIND_HOURS:
        at = booking.starts_at - timedelta(hours=hours)
        subject = f"{booking.id}:{hours}"
        if at > now:
            job = Remind(booking_id=booking.id, hours=hours)
            await schedule(conn, job, at=at, subject=subject)
        else:
            await unschedule(conn, Remind, subject=subject)


async def forget(conn: TenantConnection, booking: Booking) -> None:
    """Forget a booking's reminders."""
    for hours in REMIND_HOURS:
        await unschedule(conn, Remind, subject=f"{booking.id}:{hours}")


# The worker that handles a reminder may have another clock than the one whose tick brought it.
CLOCKS_DIFFER_BY = timedelta(minutes=1)


def is_needed(booking: Booking, hours: int, now: datetime) -> bool:
    """Say whether this reminder should still be sent.

    Not when the booking is gone, was moved further away, or (after an outage) when the time of
    the next reminder has come as well.
    """
    if not booking.stands(now):
        return False
    left = booking.starts_at - now
    nearer = max((h for h in REMIND_HOURS if h < hours), default=0)
    return timedelta(hours=nearer) < left <= timedelta(hours=hours) + CLOCKS_DIFFER_BY
