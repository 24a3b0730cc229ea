"""What can be booked, what is booked, who books. Booking, moving and cancelling have their own
modules; so has what the owner may change.
"""

from datetime import UTC, date, datetime, time, timedelta

from zapisano.booking import availability, store
from zapisano.booking.model import (
    Booking,
    BookingId,
    BookingOver,
    Calendar,
    Person,
    Rules,
    Service,
    Slot,
    Staff,
    StaffId,
    Status,
    UnknownBooking,
    UnknownService,
    UnknownStaff,
    Visit,
    checked_phone,
)
from zapisano.db import TenantConnection
from zapisano.tenancy import LANGUAGES

# Offsets of zones lie within a day of UTC, so a day and its neighbours hold every local day.
MARGIN = timedelta(days=2)
MAX_NAME_SHOWN = 100


async def service_of(conn: TenantConnection, service_id: int) -> Service:
    """Return a service that is offered.

    Raises:
        UnknownService: there is none, or it is hidden.
    """
    for service in await store.services(conn):
        if service.id == service_id and service.active:
            return service
    raise UnknownService


async def services_offered(conn: TenantConnection) -> list[Service]:
    """Return the services a customer can choose from."""
    return [service for service in await store.services(conn) if service.active]


async def staff_offered(conn: TenantConnection) -> list[Staff]:
    """Return the staff members a customer can choose from."""
    return [member for member in await store.staff(conn) if member.active]


async def candidates(conn: TenantConnection, staff_id: int | None) -> list[StaffId]:
    """Return who may do it: the one asked for, or with None everybody.

    Raises:
        UnknownStaff: the one asked for does not work here.
    """
    offered = [member.id for member in await staff_offered(conn)]
    if staff_id is None:
        return offered
    if staff_id not in offered:
        raise UnknownStaff
    return [StaffId(staff_id)]


async def _calendars(
    conn: TenantConnection,
    staff_id: int | None,
    first: date,
    last: date,
    moving: BookingId | None,
) -> list[Calendar]:
    return await store.calendars(
        conn,
        await candidates(conn, staff_id),
        begins_at=datetime.combine(first, time(), UTC) - MARGIN,
        ends_at=datetime.combine(last, time(), UTC) + MARGIN,
        without=moving,
    )


async def free_days(
    conn: TenantConnection,
    *,
    minutes: int,
    staff_id: int | None,
    month: date,
    now: datetime,
    moving: BookingId | None = None,
) -> list[date]:
    """Return the days of a month that have free time for so many minutes."""
    rules = await store.rules(conn)
    first = month.replace(day=1)
    calendars = await _calendars(conn, staff_id, first, first + timedelta(days=31), moving)
    return availability.free_days(calendars, rules, month, minutes=minutes, now=now)


async def free_slots(
    conn: TenantConnection,
    *,
    minutes: int,
    staff_id: int | None,
    day: date,
    now: datetime,
    moving: BookingId | None = None,
) -> list[Slot]:
    """Return the free starts of a day."""
    rules = await store.rules(conn)
    calendars = await _calendars(conn, staff_id, day, day, moving)
    return availability.staff_slots(calendars, rules, day, minutes=minutes, now=now)


async def next_free(
    conn: TenantConnection,
    *,
    minutes: int,
    staff_id: int | None,
    after: datetime,
    now: datetime,
    limit: int,
    moving: BookingId | None = None,
) -> list[Slot]:
    """Return the first free starts at or after a moment."""
    rules = await store.rules(conn)
    last = availability.last_day(rules, now)
    calendars = await _calendars(conn, staff_id, now.date(), last, moving)
    return availability.next_slots(
        calendars, rules, minutes=minutes, after=after, now=now, limit=limit
    )


async def rules_of(conn: TenantConnection) -> Rules:
    """Return how this tenant offers its time."""
    return await store.rules(conn)


async def booking_of(
    conn: TenantConnection, booking_id: int, user_id: int | None, *, lock: bool = False
) -> Booking:
    """Return a booking of this person; with `user_id` None (the owner asks) anybody's.

    Raises:
        UnknownBooking: there is none, or it is somebody else's.
    """
    found = await store.find(conn, booking_id, lock=lock)
    if found is None or user_id not in {None, found.user_id}:
        raise UnknownBooking
    return found


async def my_bookings(conn: TenantConnection, user_id: int, now: datetime) -> list[Booking]:
    """Return what a person still has before them, soonest first."""
    return await store.upcoming(conn, user_id, now)


async def agenda(conn: TenantConnection, day: date) -> list[Visit]:
    """Return a day's bookings with their customers, earliest first."""
    return await store.of_day(conn, day)


async def customer_of(conn: TenantConnection, booking: Booking) -> Person | None:
    """Return who has booked, when the bot knows them."""
    return (await store.persons(conn, [booking.user_id])).get(booking.user_id)


async def confirm(conn: TenantConnection, booking_id: int, user_id: int, now: datetime) -> Booking:
    """The customer means to come. Repeating changes nothing.

    Raises:
        UnknownBooking: there is none, or it is somebody else's.
        BookingOver: it is cancelled or has begun.
    """
    booking = await booking_of(conn, booking_id, user_id, lock=True)
    if not booking.stands(now):
        raise BookingOver
    await store.set_confirmed(conn, booking.id, now)
    return await booking_of(conn, booking_id, user_id)


async def close(conn: TenantConnection, booking_id: int, outcome: Status, now: datetime) -> Booking:
    """The owner notes that the customer came (`COMPLETED`) or did not (`NO_SHOW`).

    May be corrected from one to the other. Who did not come leaves the rest of their time free.

    Raises:
        UnknownBooking: there is none.
        BookingOver: it is cancelled, or has not begun yet.
    """
    booking = await booking_of(conn, booking_id, None, lock=True)
    if outcome not in {Status.COMPLETED, Status.NO_SHOW}:
        raise ValueError(outcome)
    if booking.status is Status.CANCELLED or now < booking.starts_at:
        raise BookingOver
    await store.set_status(conn, booking.id, outcome)
    return await booking_of(conn, booking_id, None)


async def remember_person(
    conn: TenantConnection, user_id: int, *, name: str, username: str | None, language: str
) -> Person:
    """Remember who writes to the bot; an earlier choice of language stays."""
    return await store.upsert_person(
        conn, user_id, name=name[:MAX_NAME_SHOWN], username=username, language=language
    )


async def choose_language(conn: TenantConnection, user_id: int, language: str) -> None:
    """Speak another language to a person from now; an unknown one changes nothing."""
    if language in LANGUAGES:
        await store.set_language(conn, user_id, language)


async def share_phone(conn: TenantConnection, user_id: int, phone: str) -> None:
    """Remember the number a person has shared of themselves.

    Raises:
        BadField: it is no number.
    """
    await store.set_phone(conn, user_id, checked_phone(phone))


async def ask_phone_once(conn: TenantConnection, user_id: int, now: datetime) -> bool:
    """Say whether to ask a person for their number: only once, and not when it is known."""
    return await store.set_phone_asked(conn, user_id, now)


async def note_blocked(conn: TenantConnection, user_id: int, now: datetime) -> None:
    """A person has blocked the bot; their next message undoes it."""
    await store.set_blocked(conn, user_id, now)


async def note_unblocked(conn: TenantConnection, user_id: int) -> None:
    """A person has let the bot in again."""
    await store.set_blocked(conn, user_id, None)


async def next_visit(conn: TenantConnection, now: datetime) -> Visit | None:
    """Return who comes next, or None."""
    return await store.next_visit(conn, now)


async def people_in_charge(conn: TenantConnection, owner_id: int) -> dict[int, Person | None]:
    """Return the owner and whom they have let in; None for an owner who has never come."""
    ids = [owner_id, *(admin for admin in await store.admins(conn) if admin != owner_id)]
    known = await store.persons(conn, ids)
    return {user_id: known.get(user_id) for user_id in ids}
