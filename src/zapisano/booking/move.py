"""Move a booking to another time, or leave it where it was."""

from datetime import date, datetime, time

from zapisano.booking import reminders, store, usecases
from zapisano.booking.book import Booked, announce, free_slot, lost_races_are_taken_slots
from zapisano.booking.jobs import Actor, Change
from zapisano.booking.model import Booking, BookingOver, StaffId, Wish
from zapisano.db import TenantConnection


async def move(
    conn: TenantConnection,
    booking_id: int,
    user_id: int | None,
    *,
    day: date,
    at: time,
    staff_id: int | None,
    by: Actor,
    now: datetime,
) -> Booked:
    """Move a booking; its reminders move with it, its length and price stay. May be repeated.

    `staff_id` None means anybody; `user_id` None means that the owner asks.

    Raises:
        SlotTaken: somebody else has the new time; the transaction must be rolled back.
        NotOffered: outside hours, lead time or horizon.
        UnknownBooking: there is none, or it is somebody else's.
        BookingOver: it is cancelled or has begun.
        UnknownStaff: the one asked for does not work here.
    """
    staff = await usecases.candidates(conn, staff_id)
    booking = await _locked(conn, booking_id, user_id, staff)
    if not booking.stands(now):
        raise BookingOver
    if (booking.date, booking.time) == (day, at) and staff_id in {None, booking.staff_id}:
        return Booked(booking, is_new=False)
    slot = await free_slot(
        conn,
        Wish(booking.service_id, booking.staff_id, day, at),
        staff,
        minutes=booking.duration_minutes,
        now=now,
        moving=booking.id,
    )
    async with lost_races_are_taken_slots():
        await store.relocate(conn, booking.id, slot)
    moved = await usecases.booking_of(conn, booking_id, user_id)
    await reminders.plan(conn, moved, now)
    await announce(conn, moved, Change.MOVED, by, was_at=booking.starts_at)
    return Booked(moved, is_new=True)


async def _locked(
    conn: TenantConnection, booking_id: int, user_id: int | None, staff: list[StaffId]
) -> Booking:
    """Lock everybody whose time may change, then the booking: the order in which all lock."""
    seen = await usecases.booking_of(conn, booking_id, user_id)
    await store.lock_staff(conn, list({*staff, seen.staff_id}))
    return await usecases.booking_of(conn, booking_id, user_id, lock=True)
