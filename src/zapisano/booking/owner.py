"""What the owner may change. Existing bookings are never touched by any of it."""

from datetime import datetime
from decimal import Decimal

from zapisano.booking import store
from zapisano.booking.availability import fits
from zapisano.booking.model import (
    MAX_SERVICES,
    MAX_STAFF,
    BadField,
    Booking,
    Calendar,
    Service,
    ServiceId,
    Staff,
    StaffId,
    Stretch,
    TooMany,
    UnknownService,
    UnknownStaff,
    Window,
    checked_duration,
    checked_hours,
    checked_name,
    checked_price,
    checked_zone,
)
from zapisano.db import TenantConnection

# What a new staff member starts with; the same as a new tenant's first one has.
FIRST_HOURS = (Window(10 * 60, 19 * 60),)
WEEKDAYS = range(1, 8)
# What the tenant's first migration puts in, so that a new bot can be tried at once.
FIRST_SERVICES = {(name, 60, Decimal(1500)) for name in ("Стрижка", "Haircut")}


def is_sample_service(service: Service) -> bool:
    """Say whether this is the service that every tenant starts with, unchanged and on offer."""
    given = (service.name, service.duration_minutes, service.price)
    return service.id == 1 and service.active and given in FIRST_SERVICES


def is_sample_week(calendar: Calendar) -> bool:
    """Say whether these are the hours that everybody starts with."""
    return all(tuple(calendar.weekday(day)) == FIRST_HOURS for day in WEEKDAYS)


async def services(conn: TenantConnection) -> list[Service]:
    """Return every service, hidden ones too."""
    return await store.services(conn)


async def staff(conn: TenantConnection) -> list[Staff]:
    """Return everybody, also those who take no bookings."""
    return await store.staff(conn)


async def service(conn: TenantConnection, service_id: int) -> Service:
    """Return a service, hidden or not.

    Raises:
        UnknownService: there is none.
    """
    for found in await store.services(conn):
        if found.id == service_id:
            return found
    raise UnknownService


async def newest_service(conn: TenantConnection) -> int:
    """Return the highest id of a service, 0 when there is none: what is added comes after it."""
    return max((one.id for one in await store.services(conn)), default=0)


async def newest_staff(conn: TenantConnection) -> int:
    """Return the highest id of a staff member, 0 when there is none."""
    return max((one.id for one in await store.staff(conn)), default=0)


async def add_service(
    conn: TenantConnection, *, name: str, minutes: str, price: str, after: int | None = None
) -> ServiceId:
    """Add a service, as the owner has typed it.

    With `after`, an id, one of that name that came later is the one that is meant.

    Raises:
        BadField: names the field that cannot be read.
        TooMany: there are 40 already.
    """
    there = await store.services(conn)
    for one in there:
        if after is not None and one.id > after and one.name == checked_name(name):
            return one.id
    if len(there) >= MAX_SERVICES:
        raise TooMany
    return await store.insert_service(
        conn,
        name=checked_name(name),
        duration_minutes=checked_duration(minutes),
        price=checked_price(price),
    )


async def edit_service(conn: TenantConnection, service_id: int, field: str, value: str) -> None:
    """Change the `name`, `minutes` or `price` of a service.

    Raises:
        BadField: the value cannot be read.
        UnknownService: there is none.
    """
    if field == "name":
        found = await store.set_service(conn, service_id, name=checked_name(value))
    elif field == "minutes":
        minutes = checked_duration(value)
        found = await store.set_service(conn, service_id, duration_minutes=minutes)
    elif field == "price":
        found = await store.set_service(conn, service_id, price=checked_price(value))
    else:
        raise ValueError(field)
    if not found:
        raise UnknownService


async def show_service(conn: TenantConnection, service_id: int, *, active: bool) -> None:
    """Offer a service, or hide it.

    Raises:
        UnknownService: there is none.
    """
    if not await store.set_service(conn, service_id, active=active):
        raise UnknownService


async def member(conn: TenantConnection, staff_id: int) -> Staff:
    """Return a staff member, active or not.

    Raises:
        UnknownStaff: there is none.
    """
    for found in await store.staff(conn):
        if found.id == staff_id:
            return found
    raise UnknownStaff


async def add_staff(conn: TenantConnection, name: str, *, after: int | None = None) -> StaffId:
    """Add a staff member, who works from 10 to 19 every day until told otherwise.

    With `after`, an id, one of that name who came later is the one who is meant.

    Raises:
        BadField: the name cannot be used.
        TooMany: there are 40 already.
    """
    there = await store.staff(conn)
    for one in there:
        if after is not None and one.id > after and one.name == checked_name(name):
            return one.id
    if len(there) >= MAX_STAFF:
        raise TooMany
    staff_id = await store.insert_staff(conn, checked_name(name))
    for weekday in WEEKDAYS:
        await store.set_hours(conn, staff_id, weekday, FIRST_HOURS)
    return staff_id


async def rename_staff(conn: TenantConnection, staff_id: int, name: str) -> None:
    """Rename a staff member.

    Raises:
        BadField: the name cannot be used.
        UnknownStaff: there is none.
    """
    if not await store.set_staff(conn, staff_id, name=checked_name(name)):
        raise UnknownStaff


async def employ_staff(conn: TenantConnection, staff_id: int, *, active: bool) -> None:
    """Let a staff member take bookings, or no longer. Those they have stay theirs.

    Raises:
        UnknownStaff: there is none.
    """
    if not await store.set_staff(conn, staff_id, active=active):
        raise UnknownStaff


async def week(conn: TenantConnection, staff_id: int) -> Calendar:
    """Return the hours and days off of a staff member, without what is booked.

    Raises:
        UnknownStaff: there is none.
    """
    return await store.working_time(conn, (await member(conn, staff_id)).id)


async def misfits(conn: TenantConnection, staff_id: int, now: datetime) -> list[Booking]:
    """Return the bookings to come that their staff member would no longer be offered for.

    They are outside the hours or on a day off, or the staff member takes none any more; what was
    agreed stands until somebody moves or cancels it, so the owner must see it.

    Raises:
        UnknownStaff: there is none.
    """
    return await _misfits_of(conn, await member(conn, staff_id), now)


async def staff_with_misfits(conn: TenantConnection, now: datetime) -> set[StaffId]:
    """Return who has bookings to come that their schedule leaves out."""
    return {one.id for one in await store.staff(conn) if await _misfits_of(conn, one, now)}


async def _misfits_of(conn: TenantConnection, one: Staff, now: datetime) -> list[Booking]:
    to_come = await store.upcoming_with(conn, one.id, now)
    if not (to_come and one.active):
        return to_come
    calendar, rules = await store.working_time(conn, one.id), await store.rules(conn)
    return [b for b in to_come if not fits(calendar, rules, b.starts_at, b.ends_at)]


async def set_hours(conn: TenantConnection, staff_id: int, weekday: int, value: str) -> None:
    """Set the hours of an ISO weekday from `10:00-14:00, 15:00-19:00`, or `-` for closed.

    Raises:
        BadField: they cannot be read.
        UnknownStaff: there is none.
    """
    if weekday not in WEEKDAYS:
        raise BadField("weekday", "is a number from 1 (Monday) to 7")
    windows = checked_hours(value)
    await store.set_hours(conn, (await member(conn, staff_id)).id, weekday, windows)


async def close_days(conn: TenantConnection, staff_id: int, days: Stretch) -> None:
    """Give a staff member days off; bookings of those days stay.

    Raises:
        UnknownStaff: there is none.
    """
    await store.add_days_off(conn, (await member(conn, staff_id)).id, days)


async def open_days(conn: TenantConnection, staff_id: int, days: Stretch) -> None:
    """Take days off back.

    Raises:
        UnknownStaff: there is none.
    """
    await store.remove_days_off(conn, (await member(conn, staff_id)).id, days)


async def set_zone(conn: TenantConnection, value: str) -> str:
    """Move the place to another time zone; bookings keep the instants that were agreed.

    Raises:
        BadField: there is no such zone.
    """
    zone = checked_zone(value).key
    if not await store.knows_zone(conn, zone):
        raise BadField("time zone", "the database does not know this zone; try the nearest city")
    await store.set_zone(conn, zone)
    return zone
