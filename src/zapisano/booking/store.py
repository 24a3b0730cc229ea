"""Bookings, calendars and people: SQL inside a tenant."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import LiteralString
from zoneinfo import ZoneInfo

from zapisano.booking.model import (
    Booking,
    BookingId,
    Busy,
    Calendar,
    Person,
    Rules,
    Service,
    ServiceId,
    Slot,
    Staff,
    StaffId,
    Status,
    Stretch,
    Visit,
    Window,
)
from zapisano.db import Row, TenantConnection

_RULES: LiteralString = "SELECT time_zone, slot_minutes, lead_minutes, horizon_days FROM settings"
# `here.begins` is the start by the clock of the place. The row's own date, time and zone are what
# was agreed; the owner may have moved the place to another zone since.
_BOOKING: LiteralString = """
    SELECT b.id, b.user_id, b.service_id, v.name AS service, b.staff_id, s.name AS staff, b.status,
        here.begins::date AS date, here.begins::time AS time, zone() AS time_zone,
        b.duration_minutes, b.price,
        lower(b.busy) AT TIME ZONE 'UTC' AS starts_at, upper(b.busy) AT TIME ZONE 'UTC' AS ends_at,
        b.confirmed_at, b.created_at, b.changed_at
    FROM bookings AS b
    JOIN services AS v ON v.id = b.service_id
    JOIN staff AS s ON s.id = b.staff_id
    CROSS JOIN LATERAL (
        SELECT lower(b.busy) AT TIME ZONE 'UTC' AT TIME ZONE zone() AS begins) AS here """
_TO_COME: LiteralString = """
        AND b.status IN ('held', 'active')
        AND lower(b.busy) > $2::timestamptz AT TIME ZONE 'UTC'
    ORDER BY b.busy"""


def _booking(row: Row) -> Booking:
    return replace(Booking(**row), status=Status(row["status"]))


def _person(row: Row) -> Person:
    return Person(**row)


async def lock_staff(conn: TenantConnection, staff: Sequence[StaffId]) -> None:
    """Keep others from booking these staff members until this transaction ends.

    In the order of their ids, so that two who want several never wait for each other.
    """
    for staff_id in sorted(staff):
        await conn.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || ':' || $1, 0))",
            str(staff_id),
        )


async def rules(conn: TenantConnection) -> Rules:
    """Return how this tenant offers its time."""
    return _rules(await conn.fetchrow(_RULES))


async def rules_that_stay(conn: TenantConnection) -> Rules:
    """Return them; nobody changes them until this transaction ends."""
    return _rules(await conn.fetchrow(_RULES + " FOR SHARE"))


def _rules(row: Row | None) -> Rules:
    assert row is not None  # noqa: S101 # written when the schema was made, one row by constraint
    return Rules(
        ZoneInfo(row["time_zone"]), row["slot_minutes"], row["lead_minutes"], row["horizon_days"]
    )


async def calendars(
    conn: TenantConnection,
    staff: Sequence[StaffId],
    *,
    begins_at: datetime,
    ends_at: datetime,
    without: BookingId | None = None,
) -> list[Calendar]:
    """Return the calendars of staff members, with what is taken between two instants.

    A visit that has been noted as come keeps its time: the customer may still be there. `without`
    leaves out a booking that is being moved: it is not in its own way.
    """
    busy = await conn.fetch(
        """SELECT staff_id, lower(busy) AT TIME ZONE 'UTC' AS starts_at,
               upper(busy) AT TIME ZONE 'UTC' AS ends_at
           FROM bookings
           WHERE staff_id = ANY($1::bigint[]) AND status IN ('held', 'active', 'completed')
               AND busy && tsrange($2::timestamptz AT TIME ZONE 'UTC',
                                   $3::timestamptz AT TIME ZONE 'UTC')
               AND id IS DISTINCT FROM $4::bigint""",
        staff,
        begins_at,
        ends_at,
        without,
    )
    return [
        replace(
            await working_time(conn, one),
            busy=tuple(Busy(r["starts_at"], r["ends_at"]) for r in busy if r["staff_id"] == one),
        )
        for one in staff
    ]


async def working_time(conn: TenantConnection, staff_id: StaffId) -> Calendar:
    """Return the hours and days off of a staff member, without what is taken."""
    hours = await conn.fetch(
        """SELECT weekday, (extract(epoch FROM opens) / 60)::int AS opens,
               (extract(epoch FROM closes) / 60)::int AS closes
           FROM working_hours WHERE staff_id = $1""",
        staff_id,
    )
    off = await conn.fetch("SELECT day FROM days_off WHERE staff_id = $1", staff_id)
    return Calendar(
        staff_id,
        tuple((row["weekday"], Window(row["opens"], row["closes"])) for row in hours),
        frozenset(row["day"] for row in off),
        (),
    )


async def insert(conn: TenantConnection, user_id: int, service: Service, slot: Slot) -> BookingId:
    """Write an active booking with the price and the length its service has now.

    Raises:
        SlotTaken: the time overlaps another booking.
    """
    return BookingId(
        await conn.fetchval(
            """INSERT INTO bookings
                   (user_id, date, time, service_id, staff_id, status, duration_minutes, price)
               VALUES ($1, $2, $3, $4, $5, 'active', $6, $7) RETURNING id""",
            user_id,
            slot.day,
            slot.at,
            service.id,
            slot.staff_id,
            service.duration_minutes,
            service.price,
        )
    )


async def relocate(conn: TenantConnection, booking: BookingId, slot: Slot) -> None:
    """Give a booking another time, in the zone the tenant has now.

    Raises:
        SlotTaken: the time overlaps another booking.
    """
    await conn.execute(
        """UPDATE bookings SET date = $2, time = $3, staff_id = $4, time_zone = zone(),
               confirmed_at = NULL, changed_at = now() WHERE id = $1""",
        booking,
        slot.day,
        slot.at,
        slot.staff_id,
    )


async def set_status(conn: TenantConnection, booking: BookingId, status: Status) -> None:
    """Write a status; whether it may change is the use case's affair."""
    await conn.execute(
        "UPDATE bookings SET status = $2, changed_at = now() WHERE id = $1", booking, status
    )


async def set_confirmed(conn: TenantConnection, booking: BookingId, now: datetime) -> None:
    """Remember that the customer means to come."""
    await conn.execute(
        "UPDATE bookings SET confirmed_at = coalesce(confirmed_at, $2) WHERE id = $1", booking, now
    )


async def find(conn: TenantConnection, booking: int, *, lock: bool = False) -> Booking | None:
    """Return a booking, or None; with `lock` nobody else changes it until this ends."""
    if lock:
        await conn.execute("SELECT 1 FROM bookings WHERE id = $1 FOR UPDATE", booking)
    row = await conn.fetchrow(_BOOKING + "WHERE b.id = $1", booking)
    return _booking(row) if row else None


async def upcoming(conn: TenantConnection, user_id: int, now: datetime) -> list[Booking]:
    """Return what a person still has before them, soonest first."""
    rows = await conn.fetch(_BOOKING + "WHERE b.user_id = $1" + _TO_COME, user_id, now)
    return [_booking(row) for row in rows]


async def upcoming_with(conn: TenantConnection, staff: StaffId, now: datetime) -> list[Booking]:
    """Return what a staff member still has before them, soonest first."""
    rows = await conn.fetch(_BOOKING + "WHERE b.staff_id = $1" + _TO_COME, staff, now)
    return [_booking(row) for row in rows]


async def of_day(conn: TenantConnection, day: date) -> list[Visit]:
    """Return a day's bookings that were not cancelled, earliest first."""
    # The agreed date, which has an index, may be up to two days off: zones differ by 26 hours.
    rows = await conn.fetch(
        _BOOKING
        + """WHERE b.date BETWEEN $1::date - 2 AND $1::date + 2 AND here.begins::date = $1
                 AND b.status <> 'cancelled'
             ORDER BY lower(b.busy), b.id""",
        day,
    )
    bookings = [_booking(row) for row in rows]
    people = await persons(conn, [booking.user_id for booking in bookings])
    return [Visit(booking, people.get(booking.user_id)) for booking in bookings]


async def next_visit(conn: TenantConnection, now: datetime) -> Visit | None:
    """Return the booking that begins next, whoever takes it; None when nothing is to come."""
    row = await conn.fetchrow(
        _BOOKING
        + """WHERE b.status = 'active' AND lower(b.busy) > $1::timestamptz AT TIME ZONE 'UTC'
                 AND b.date >= ($1::timestamptz AT TIME ZONE 'UTC')::date - 1
             ORDER BY lower(b.busy), b.id LIMIT 1""",
        now,
    )
    if row is None:
        return None
    booking = _booking(row)
    return Visit(booking, (await persons(conn, [booking.user_id])).get(booking.user_id))


async def persons(conn: TenantConnection, user_ids: Sequence[int]) -> dict[int, Person]:
    """Return those of these people whom the bot knows."""
    rows = await conn.fetch(
        """SELECT user_id, name, username, phone, language, is_admin, blocked_at
           FROM users WHERE user_id = ANY($1::bigint[])""",
        user_ids,
    )
    return {row["user_id"]: _person(row) for row in rows}


async def admins(conn: TenantConnection) -> list[int]:
    """Return the people whom the owner has let in."""
    rows = await conn.fetch("SELECT user_id FROM users WHERE is_admin ORDER BY user_id")
    return [row["user_id"] for row in rows]


async def upsert_person(
    conn: TenantConnection, user_id: int, *, name: str, username: str | None, language: str
) -> Person:
    """Remember who writes; their own choice of language stays."""
    await conn.execute(
        """INSERT INTO users (user_id, name, username, language) VALUES ($1, $2, $3, $4)
           ON CONFLICT (user_id) DO UPDATE
               SET name = excluded.name, username = excluded.username, blocked_at = NULL
           WHERE (users.name, users.username, users.blocked_at)
               IS DISTINCT FROM (excluded.name, excluded.username, NULL)""",
        user_id,
        name,
        username,
        language,
    )
    return (await persons(conn, [user_id]))[user_id]


async def set_language(conn: TenantConnection, user_id: int, language: str) -> None:
    """Remember a person's choice of language."""
    await conn.execute("UPDATE users SET language = $2 WHERE user_id = $1", user_id, language)


async def set_phone(conn: TenantConnection, user_id: int, phone: str) -> None:
    """Remember a person's number."""
    await conn.execute("UPDATE users SET phone = $2 WHERE user_id = $1", user_id, phone)


async def set_phone_asked(conn: TenantConnection, user_id: int, now: datetime) -> bool:
    """Remember that a person was asked for their number; say whether it was not known or asked."""
    return bool(
        await conn.execute(
            """UPDATE users SET phone_asked_at = $2
               WHERE user_id = $1 AND phone IS NULL AND phone_asked_at IS NULL""",
            user_id,
            now,
        )
    )


async def set_blocked(conn: TenantConnection, user_id: int, now: datetime | None) -> None:
    """Remember since when a person has blocked the bot; None when they have let it in again."""
    await conn.execute("UPDATE users SET blocked_at = $2 WHERE user_id = $1", user_id, now)


async def services(conn: TenantConnection) -> list[Service]:
    """Return every service, in the order they were added."""
    rows = await conn.fetch(
        "SELECT id, name, duration_minutes, price, active FROM services ORDER BY id"
    )
    return [Service(**row) for row in rows]


async def insert_service(
    conn: TenantConnection, *, name: str, duration_minutes: int, price: object
) -> ServiceId:
    """Add a service."""
    return ServiceId(
        await conn.fetchval(
            """INSERT INTO services (name, duration_minutes, price) VALUES ($1, $2, $3)
               RETURNING id""",
            name,
            duration_minutes,
            price,
        )
    )


async def set_service(
    conn: TenantConnection,
    service_id: int,
    *,
    name: str | None = None,
    duration_minutes: int | None = None,
    price: Decimal | None = None,
    active: bool | None = None,
) -> bool:
    """Change what is given and nothing else; return False if there is no such service.

    One statement, so that two edits at once are both kept. Bookings keep the length and price
    they were made with.
    """
    return bool(
        await conn.execute(
            """UPDATE services SET name = coalesce($2::text, name),
                   duration_minutes = coalesce($3::int, duration_minutes),
                   price = coalesce($4::numeric, price), active = coalesce($5::boolean, active)
               WHERE id = $1""",
            service_id,
            name,
            duration_minutes,
            price,
            active,
        )
    )


async def staff(conn: TenantConnection) -> list[Staff]:
    """Return everybody who works or has worked here, in the order they were added."""
    rows = await conn.fetch("SELECT id, name, active FROM staff ORDER BY id")
    return [Staff(**row) for row in rows]


async def insert_staff(conn: TenantConnection, name: str) -> StaffId:
    """Add a staff member; they have no hours yet."""
    return StaffId(await conn.fetchval("INSERT INTO staff (name) VALUES ($1) RETURNING id", name))


async def set_staff(
    conn: TenantConnection, staff_id: int, *, name: str | None = None, active: bool | None = None
) -> bool:
    """Change what is given and nothing else; return False if there is no such staff member."""
    return bool(
        await conn.execute(
            """UPDATE staff SET name = coalesce($2::text, name),
                   active = coalesce($3::boolean, active)
               WHERE id = $1""",
            staff_id,
            name,
            active,
        )
    )


async def set_hours(
    conn: TenantConnection, staff_id: StaffId, weekday: int, windows: Sequence[Window]
) -> None:
    """Replace the hours of one ISO weekday."""
    await conn.execute(
        "DELETE FROM working_hours WHERE staff_id = $1 AND weekday = $2", staff_id, weekday
    )
    # '24:00' is a time to PostgreSQL but not to Python, so minutes travel.
    await conn.executemany(
        """INSERT INTO working_hours (staff_id, weekday, opens, closes)
           VALUES ($1, $2, make_time($3::int / 60, $3::int % 60, 0),
               make_time($4::int / 60, $4::int % 60, 0))""",
        [(staff_id, weekday, window.opens, window.closes) for window in windows],
    )


async def add_days_off(conn: TenantConnection, staff_id: StaffId, days: Stretch) -> None:
    """Close days; closing one twice changes nothing."""
    await conn.execute(
        """INSERT INTO days_off (staff_id, day)
           SELECT $1::bigint, $2::date + n FROM generate_series(0, $3::date - $2::date) AS n
           ON CONFLICT DO NOTHING""",
        staff_id,
        days.first,
        days.last,
    )


async def remove_days_off(conn: TenantConnection, staff_id: StaffId, days: Stretch) -> None:
    """Open days again."""
    await conn.execute(
        "DELETE FROM days_off WHERE staff_id = $1 AND day BETWEEN $2 AND $3",
        staff_id,
        days.first,
        days.last,
    )


async def knows_zone(conn: TenantConnection, name: str) -> bool:
    """Say whether the database has this time zone."""
    return bool(await conn.fetchval("SELECT 1 FROM pg_timezone_names WHERE name = $1", name))


async def set_zone(conn: TenantConnection, name: str) -> None:
    """Write the tenant's time zone; bookings keep the one they were agreed in."""
    await conn.execute("UPDATE settings SET time_zone = $1", name)
