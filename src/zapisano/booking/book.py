"""Book: one winner per time, whoever presses when."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time

from zapisano import journal
from zapisano.booking import availability, reminders, store, usecases
from zapisano.booking.jobs import Actor, BookingChanged, Change
from zapisano.booking.model import (
    MAX_UPCOMING,
    Booking,
    BookingId,
    NotOffered,
    Slot,
    StaffId,
    TooMany,
    Wish,
)
from zapisano.db import TenantConnection
from zapisano.errors import Busy, SlotTaken
from zapisano.jobs import enqueue

DEADLOCK_DETECTED = "40P01"


@dataclass(frozen=True)
class Booked:
    """A booking, and whether this very call has made it, or moved it, so."""

    booking: Booking
    is_new: bool


async def book(conn: TenantConnection, user_id: int, wish: Wish, now: datetime) -> Booked:
    """Book what a customer has picked. The same wish again returns the booking it made.

    Raises:
        SlotTaken: somebody else was faster; the transaction must be rolled back.
        NotOffered: outside hours, lead time or horizon.
        UnknownService, UnknownStaff: no longer offered.
        TooMany: the person holds as many bookings as one may.
    """
    service = await usecases.service_of(conn, wish.service_id)
    staff = await usecases.candidates(conn, wish.staff_id)
    await store.lock_staff(conn, staff)
    mine = await usecases.my_bookings(conn, user_id, now)
    for booking in mine:
        if _fulfils(booking, wish):
            return Booked(booking, is_new=False)
    if len(mine) >= MAX_UPCOMING:
        raise TooMany(f"You have {MAX_UPCOMING} bookings; cancel one first.")
    slot = await free_slot(conn, wish, staff, minutes=service.duration_minutes, now=now)
    async with lost_races_are_taken_slots():
        booking_id = await store.insert(conn, user_id, service, slot)
    booking = await usecases.booking_of(conn, booking_id, user_id)
    await reminders.plan(conn, booking, now)
    await announce(conn, booking, Change.CREATED, Actor.CUSTOMER)
    return Booked(booking, is_new=True)


def _fulfils(booking: Booking, wish: Wish) -> bool:
    return (
        booking.service_id == wish.service_id
        and (booking.date, booking.time) == (wish.day, wish.at)
        and wish.staff_id in {None, booking.staff_id}
    )


async def free_slot(
    conn: TenantConnection,
    wish: Wish,
    staff: list[StaffId],
    *,
    minutes: int,
    now: datetime,
    moving: BookingId | None = None,
) -> Slot:
    """Return the slot wished for, under the lock of its staff.

    Raises:
        SlotTaken: it is offered, but somebody has it.
        NotOffered: it is not offered at all.
    """
    rules = await store.rules_that_stay(conn)
    noon = datetime.combine(wish.day, time(12), UTC)
    calendars = await store.calendars(
        conn,
        staff,
        begins_at=noon - usecases.MARGIN,
        ends_at=noon + usecases.MARGIN,
        without=moving,
    )
    for slot in availability.staff_slots(calendars, rules, wish.day, minutes=minutes, now=now):
        if slot.at == wish.at:
            return slot
    if availability.would_offer(calendars, rules, wish.day, wish.at, minutes=minutes, now=now):
        raise SlotTaken
    raise NotOffered


@asynccontextmanager
async def lost_races_are_taken_slots() -> AsyncGenerator[None]:
    """Two writers without our lock (a typed INSERT) may also end in a deadlock: "just taken"."""
    try:
        yield
    except Busy as busy:
        if getattr(busy.__cause__, "sqlstate", None) == DEADLOCK_DETECTED:
            raise SlotTaken from busy
        raise


async def announce(
    conn: TenantConnection,
    booking: Booking,
    change: Change,
    by: Actor,
    was_at: datetime | None = None,
    actor_id: int | None = None,
) -> None:
    """Write what happened to the journal, and have the others told."""
    job = BookingChanged(
        booking_id=booking.id, change=change, by=by, was_at=was_at, actor_id=actor_id
    )
    await enqueue(conn, job)
    await journal.record(
        conn,
        f"booking.{change}",
        str(booking.id),
        by=by,
        service_id=booking.service_id,
        staff_id=booking.staff_id,
        starts_at=booking.starts_at.isoformat(),
        time_zone=booking.time_zone,
    )
