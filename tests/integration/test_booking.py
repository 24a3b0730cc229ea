"""Booking, moving, cancelling and the owner's edits, on a real database with two tenants."""

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import asyncpg
import pytest
from waiting import somebody_waits

from integration.payments_fixtures import until
from zapisano import booking
from zapisano.booking import (
    Actor,
    BadField,
    BookingOver,
    NotOffered,
    Status,
    TooMany,
    UnknownBooking,
    UnknownService,
    UnknownStaff,
    Wish,
    owner,
)
from zapisano.booking.model import MAX_UPCOMING, Booking, ServiceId, StaffId, Stretch, Window
from zapisano.booking.reminders import is_needed
from zapisano.db import Database, TenantConnection
from zapisano.errors import SlotTaken
from zapisano.jobs import tick
from zapisano.tenancy import Tenant

Witness = asyncpg.Connection
ANNA, BORIS = 501, 502
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)  # noon in Moscow
TOMORROW = date(2026, 11, 23)
CUT = ServiceId(1)


def wish(hour: int, minute: int = 0, *, day: date = TOMORROW, staff: int | None = None) -> Wish:
    return Wish(CUT, StaffId(staff) if staff else None, day, time(hour, minute))


@pytest.fixture
async def tenant(tenants: tuple[Tenant, Tenant], witness: Witness) -> AsyncGenerator[str]:
    """The first tenant; afterwards the second must hold what it was made with."""
    yield tenants[0].id
    assert await witness.fetchval("SELECT count(*) FROM client_002.bookings") == 0
    assert await witness.fetchval("SELECT count(*) FROM client_002.services") == 1
    assert (
        await witness.fetchval("SELECT count(*) FROM shared.due WHERE tenant = 'client_002'") == 0
    )


async def book(database: Database, tenant: str, user: int, what: Wish) -> Booking:
    async with database.tenant(tenant) as conn:
        return (await booking.book(conn, user, what, NOW)).booking


async def due(witness: Witness) -> dict[str, datetime]:
    rows = await witness.fetch("SELECT tenant, subject, at FROM shared.due ORDER BY at")
    assert {row["tenant"] for row in rows} <= {"client_001"}
    return {row["subject"]: row["at"] for row in rows}


async def jobs(witness: Witness) -> list[tuple[str, str]]:
    rows = await witness.fetch(
        "SELECT payload FROM shared.pgqueuer WHERE entrypoint = 'booking.changed' ORDER BY id"
    )
    found = [json.loads(row["payload"]) for row in rows]
    assert {job["tenant_id"] for job in found} <= {"client_001"}
    return [(job["change"], job["by"]) for job in found]


async def starts(
    conn: TenantConnection, *, staff: int | None = None, moving: Booking | None = None
) -> list[str]:
    slots = await booking.free_slots(
        conn,
        minutes=60,
        staff_id=staff,
        day=TOMORROW,
        now=NOW,
        moving=moving.id if moving else None,
    )
    return [f"{slot.at:%H:%M}" for slot in slots]


async def test_a_booking_takes_its_time_and_carries_reminders_job_and_journal(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    assert (made.status, made.price, made.duration_minutes) == ("active", Decimal("1500.00"), 60)
    assert made.starts_at == datetime(2026, 11, 23, 11, tzinfo=UTC)
    assert await due(witness) == {
        f"{made.id}:2": datetime(2026, 11, 23, 9, tzinfo=UTC),
        f"{made.id}:24": datetime(2026, 11, 22, 11, tzinfo=UTC),
    }
    assert await jobs(witness) == [("created", "customer")]
    event = await witness.fetchrow(
        "SELECT tenant, subject, data FROM shared.journal WHERE kind = $1", "booking.created"
    )
    assert event is not None
    assert (event["tenant"], event["subject"]) == ("client_001", str(made.id))
    assert str(ANNA) not in event["data"]
    async with database.tenant(tenant) as conn:
        offered = await starts(conn)
        assert "13:00" in offered
        assert not {"13:30", "14:00", "14:30"} & set(offered)
        assert "15:00" in offered
        assert await booking.my_bookings(conn, ANNA, NOW) == [made]
        assert await booking.my_bookings(conn, BORIS, NOW) == []


async def test_a_reminder_is_sent_though_the_workers_clocks_differ(
    database: Database, tenant: str
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    for hours in (24, 2):
        at = made.starts_at - timedelta(hours=hours)
        seconds = {n: is_needed(made, hours, at + timedelta(seconds=n)) for n in (-61, -1, 0, 1)}
        assert seconds == {-61: False, -1: True, 0: True, 1: True}
    assert not is_needed(made, 24, made.starts_at - timedelta(hours=2))


async def test_a_reminder_that_lies_behind_is_not_planned(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(14, day=date(2026, 11, 22)))
    assert made.starts_at - NOW == timedelta(hours=2)
    assert await due(witness) == {}


async def test_the_same_wish_again_returns_the_same_booking(
    database: Database, tenant: str, witness: Witness
) -> None:
    first = await book(database, tenant, ANNA, wish(14))
    async with database.tenant(tenant) as conn:
        again = await booking.book(conn, ANNA, wish(14), NOW)
    assert (again.booking, again.is_new) == (first, False)
    assert await jobs(witness) == [("created", "customer")]


@pytest.mark.parametrize(
    ("what", "error"),
    [
        (wish(9), NotOffered),
        (wish(18, 30), NotOffered),
        (wish(14, 10), NotOffered),
        (wish(12, 30, day=date(2026, 11, 22)), NotOffered),  # sooner than the lead of an hour
        (wish(14, day=date(2026, 12, 23)), NotOffered),  # past the horizon of 30 days
        (wish(14, day=date(2026, 11, 21)), NotOffered),
        (wish(14, staff=7), UnknownStaff),
        (Wish(ServiceId(9), None, TOMORROW, time(14)), UnknownService),
    ],
)
async def test_what_is_not_offered_cannot_be_booked(
    database: Database, tenant: str, witness: Witness, what: Wish, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await book(database, tenant, ANNA, what)
    assert await witness.fetchval("SELECT count(*) FROM client_001.bookings") == 0
    assert await jobs(witness) == []


async def test_nobody_hoards_bookings(database: Database, tenant: str) -> None:
    for n in range(MAX_UPCOMING):
        await book(database, tenant, ANNA, wish(10, day=TOMORROW + timedelta(days=n)))
    with pytest.raises(TooMany):
        await book(database, tenant, ANNA, wish(12))
    assert await book(database, tenant, BORIS, wish(12))


async def test_moving_frees_the_old_time_and_takes_the_reminders_along(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    async with database.tenant(tenant) as conn:
        assert "14:30" in await starts(conn, moving=made)
        await booking.confirm(conn, made.id, ANNA, NOW)
        moving = await booking.move(
            conn,
            made.id,
            ANNA,
            day=TOMORROW,
            at=time(14, 30),
            staff_id=1,
            by=Actor.CUSTOMER,
            now=NOW,
        )
    moved = moving.booking
    assert moving.is_new
    assert (moved.id, moved.time, moved.confirmed_at) == (made.id, time(14, 30), None)
    assert await due(witness) == {
        f"{made.id}:2": datetime(2026, 11, 23, 9, 30, tzinfo=UTC),
        f"{made.id}:24": datetime(2026, 11, 22, 11, 30, tzinfo=UTC),
    }
    assert await jobs(witness) == [("created", "customer"), ("moved", "customer")]
    async with database.tenant(tenant) as conn:
        assert {"13:00", "13:30"} <= set(await starts(conn))


async def test_a_move_that_cannot_be_changes_nothing(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    await book(database, tenant, BORIS, wish(16))

    async def move(user: int, hour: int, now: datetime = NOW) -> None:
        async with database.tenant(tenant) as conn:
            await booking.move(
                conn,
                made.id,
                user,
                day=TOMORROW,
                at=time(hour),
                staff_id=None,
                by=Actor.CUSTOMER,
                now=now,
            )

    for user, hour, error in [
        (ANNA, 16, SlotTaken),
        (ANNA, 20, NotOffered),
        (BORIS, 12, UnknownBooking),
    ]:
        with pytest.raises(error):
            await move(user, hour)
    with pytest.raises(BookingOver):
        await move(ANNA, 12, made.starts_at)
    await move(ANNA, 14)  # where it already is
    async with database.tenant(tenant) as conn:
        assert await booking.my_bookings(conn, ANNA, NOW) == [made]
    assert len(await jobs(witness)) == 2


async def test_cancelling_frees_the_time_and_the_reminders_are_gone(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    with pytest.raises(UnknownBooking):
        async with database.tenant(tenant) as conn:
            await booking.cancel(conn, made.id, BORIS, by=Actor.CUSTOMER, now=NOW)
    for _ in range(2):
        async with database.tenant(tenant) as conn:
            gone = await booking.cancel(conn, made.id, ANNA, by=Actor.CUSTOMER, now=NOW)
        assert gone.status is Status.CANCELLED
    assert await due(witness) == {}
    assert await jobs(witness) == [("created", "customer"), ("cancelled", "customer")]
    assert (await book(database, tenant, BORIS, wish(14))).id != made.id


async def test_a_booking_that_has_begun_is_closed_by_the_owner_only(
    database: Database, tenant: str
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    async with database.tenant(tenant) as conn:
        with pytest.raises(BookingOver):
            await booking.close(conn, made.id, Status.COMPLETED, NOW)
        with pytest.raises(BookingOver):
            await booking.cancel(conn, made.id, ANNA, by=Actor.CUSTOMER, now=made.starts_at)
        with pytest.raises(BookingOver):
            await booking.confirm(conn, made.id, ANNA, made.starts_at)
        done = await booking.close(conn, made.id, Status.COMPLETED, made.ends_at)
        assert done.status is Status.COMPLETED
        assert (
            await booking.close(conn, made.id, Status.NO_SHOW, made.ends_at)
        ).status is Status.NO_SHOW


async def test_reminders_come_due_as_jobs_of_their_tenant(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    async with database.shared() as conn:
        assert await tick(conn, made.starts_at - timedelta(hours=24, seconds=1)) == 0
        assert await tick(conn, made.starts_at - timedelta(hours=24)) == 1
        assert await tick(conn, made.starts_at) == 1
    rows = await witness.fetch(
        "SELECT payload FROM shared.pgqueuer WHERE entrypoint = 'booking.remind' ORDER BY id"
    )
    assert [json.loads(row["payload"]) for row in rows] == [
        {"tenant_id": "client_001", "booking_id": made.id, "hours": hours} for hours in (24, 2)
    ]


async def press(
    database: Database, tenant: str, user: int, what: Wish, gate: asyncio.Barrier
) -> str:
    await gate.wait()
    try:
        await book(database, tenant, user, what)
    except SlotTaken:
        return "taken"
    return "booked"


async def storm(database: Database, tenant: str, wishes: Sequence[Wish]) -> list[str]:
    gate = asyncio.Barrier(len(wishes))
    return await asyncio.gather(
        *(press(database, tenant, 1000 + n, what, gate) for n, what in enumerate(wishes))
    )


async def test_two_people_and_one_time(database: Database, tenant: str, witness: Witness) -> None:
    for n in range(10):
        outcome = await storm(database, tenant, [wish(14, day=TOMORROW + timedelta(days=n))] * 2)
        assert sorted(outcome) == ["booked", "taken"]
    assert len(await jobs(witness)) == 10


async def test_thirty_people_and_ten_times(
    database: Database, tenant: str, witness: Witness
) -> None:
    wishes = [wish(10 + n % 5, day=TOMORROW + timedelta(days=n % 2)) for n in range(30)]
    outcome = await storm(database, tenant, wishes)
    assert outcome.count("booked") == 10
    assert await witness.fetchval("SELECT count(DISTINCT busy) FROM client_001.bookings") == 10


async def test_anybody_is_shared_out_over_the_staff(database: Database, tenant: str) -> None:
    async with database.tenant(tenant) as conn:
        await owner.add_staff(conn, "Ольга")
        await owner.add_staff(conn, "Пётр")
    assert sorted(await storm(database, tenant, [wish(14)] * 4)) == ["booked"] * 3 + ["taken"]


async def test_people_who_swap_staff_do_not_block_each_other(
    database: Database, tenant: str
) -> None:
    async with database.tenant(tenant) as conn:
        await owner.add_staff(conn, "Ольга")
    first = await book(database, tenant, ANNA, wish(14, staff=1))
    second = await book(database, tenant, BORIS, wish(14, staff=2))
    gate = asyncio.Barrier(2)

    async def move(made: Booking, to: int) -> str:
        await gate.wait()
        try:
            async with database.tenant(tenant) as conn:
                await booking.move(
                    conn,
                    made.id,
                    made.user_id,
                    day=TOMORROW,
                    at=time(14),
                    staff_id=to,
                    by=Actor.CUSTOMER,
                    now=NOW,
                )
        except SlotTaken:
            return "taken"
        return "moved"

    assert await asyncio.gather(move(first, 2), move(second, 1)) == ["taken", "taken"]


async def test_a_typed_insert_that_deadlocks_with_us_means_taken(
    database: Database, tenant: str, postgres: str, witness: Witness
) -> None:
    """Someone types INSERTs without our lock: each side holds what the other wants."""
    typed = """INSERT INTO client_001.bookings (user_id, date, time, service_id)
               VALUES (1, '2026-11-23', $1, 1)"""
    rival = await asyncpg.connect(postgres, database=database.name)
    try:
        await rival.execute("SET deadlock_timeout TO '10s'")  # so that we are the one to lose
        change = rival.transaction()
        await change.start()
        await rival.execute(typed, time(14))
        async with database.tenant(tenant) as conn:
            await booking.book(conn, ANNA, wish(12), NOW)
            second = asyncio.ensure_future(rival.execute(typed, time(12)))
            await until_it_waits(witness, rival.get_server_pid())
            with pytest.raises(SlotTaken):
                await booking.book(conn, ANNA, wish(14), NOW)
        await second
        await change.commit()
    finally:
        await rival.close()


async def until_it_waits(witness: Witness, pid: int) -> None:
    """Return when a server process waits for a lock."""
    waits = "SELECT 1 FROM pg_locks WHERE pid = $1 AND NOT granted"
    deadline = asyncio.get_running_loop().time() + 10
    while not await witness.fetchval(waits, pid):
        assert asyncio.get_running_loop().time() < deadline


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Moscow", date(2027, 3, 28)),
        ("Europe/Berlin", date(2027, 3, 28)),
        ("Europe/Berlin", date(2027, 10, 31)),
        ("America/New_York", date(2027, 11, 7)),
        ("Australia/Lord_Howe", date(2027, 4, 4)),
        ("Australia/Lord_Howe", date(2027, 10, 3)),
        ("Pacific/Chatham", date(2027, 9, 26)),
        ("Asia/Kathmandu", date(2027, 5, 5)),
        ("Pacific/Kiritimati", date(2027, 1, 1)),
        ("Pacific/Marquesas", date(2026, 12, 31)),
    ],
)
async def test_the_database_agrees_on_the_instants_of_every_slot(
    database: Database, tenant: str, zone: str, day: date
) -> None:
    now = datetime.combine(day, time(), UTC) - timedelta(days=3)
    async with database.tenant(tenant) as conn:
        await owner.set_zone(conn, zone)
        await owner.set_hours(conn, 1, day.isoweekday(), "00:00-24:00")
        await owner.edit_service(conn, 1, "minutes", "30")
        slots = await booking.free_slots(conn, minutes=30, staff_id=1, day=day, now=now)
        assert len(slots) > 40
        for n, slot in enumerate(slots):
            picked = Wish(CUT, slot.staff_id, slot.day, slot.at)
            made = (await booking.book(conn, 9000 + n, picked, now)).booking
            assert (made.starts_at, made.time_zone) == (slot.starts_at, zone)
            assert made.ends_at == slot.starts_at + timedelta(minutes=30)
        assert await booking.free_slots(conn, minutes=30, staff_id=1, day=day, now=now) == []


async def test_the_owner_changes_services_and_bookings_keep_what_was_agreed(
    database: Database, tenant: str
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    async with database.tenant(tenant) as conn:
        added = await owner.add_service(conn, name="Окрашивание", minutes="120", price="4 500,50")
        for field, value in [("name", "Стрижка и укладка"), ("minutes", "90"), ("price", "2000")]:
            await owner.edit_service(conn, 1, field, value)
        await owner.show_service(conn, added, active=False)
        offered = await booking.services_offered(conn)
        assert [(s.name, s.duration_minutes, s.price) for s in offered] == [
            ("Стрижка и укладка", 90, Decimal(2000))
        ]
        hidden = await owner.service(conn, added)
        assert (hidden.name, hidden.price, hidden.active) == (
            "Окрашивание",
            Decimal("4500.50"),
            False,
        )
        kept = await booking.booking_of(conn, made.id, ANNA)
        assert (kept.duration_minutes, kept.price) == (60, Decimal("1500.00"))


async def test_two_edits_at_once_are_both_kept(
    database: Database, tenant: str, witness: Witness
) -> None:
    async def second() -> None:
        async with database.tenant(tenant) as conn:
            await owner.edit_service(conn, 1, "price", "2000")
            await owner.rename_staff(conn, 1, "Ольга")

    async with database.tenant(tenant) as conn:
        await owner.edit_service(conn, 1, "name", "Стрижка и укладка")
        await owner.show_service(conn, 1, active=False)
        await owner.employ_staff(conn, 1, active=False)
        behind = asyncio.create_task(second())
        await until(lambda: somebody_waits(witness))
    await behind
    async with database.tenant(tenant) as conn:
        service, member = await owner.service(conn, 1), await owner.member(conn, 1)
    assert (service.name, service.price) == ("Стрижка и укладка", Decimal(2000))
    assert (service.active, service.duration_minutes) == (False, 60)
    assert (member.name, member.active) == ("Ольга", False)


async def test_the_owner_changes_hours_days_off_and_zone_and_bookings_stay(
    database: Database, tenant: str
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    async with database.tenant(tenant) as conn:
        await owner.set_hours(conn, 1, 1, "12:00-13:00, 20:00-24:00")
        assert await starts(conn) == [
            "12:00",
            "20:00",
            "20:30",
            "21:00",
            "21:30",
            "22:00",
            "22:30",
            "23:00",
        ]
        week = await owner.week(conn, 1)
        assert week.windows(TOMORROW) == [Window(720, 780), Window(1200, 1440)]
        await owner.close_days(conn, 1, Stretch(TOMORROW, TOMORROW))
        await owner.close_days(conn, 1, Stretch(TOMORROW, TOMORROW))
        assert await starts(conn) == []
        await owner.open_days(conn, 1, Stretch(TOMORROW, TOMORROW))
        await owner.set_hours(conn, 1, 1, "-")
        assert await starts(conn) == []
        assert await owner.set_zone(conn, "asia/vladivostok") == "Asia/Vladivostok"
        seen = await booking.booking_of(conn, made.id, ANNA)
        assert (seen.starts_at, seen.ends_at) == (made.starts_at, made.ends_at)
        assert (f"{made.time:%H:%M}", f"{seen.time:%H:%M}") == ("14:00", "21:00")


async def test_after_a_change_of_zone_a_clock_time_means_another_moment(
    database: Database, tenant: str, witness: Witness
) -> None:
    made = await book(database, tenant, ANNA, wish(17))
    async with database.tenant(tenant) as conn:
        await owner.set_zone(conn, "Asia/Yekaterinburg")  # two hours ahead: it is 19:00 there
    second = await book(database, tenant, ANNA, wish(17))
    assert made.starts_at - second.starts_at == timedelta(hours=2)
    async with database.tenant(tenant) as conn:
        moved = await booking.move(
            conn, made.id, ANNA, day=TOMORROW, at=time(18), staff_id=1, by=Actor.CUSTOMER, now=NOW
        )
    assert moved.is_new
    assert moved.booking.starts_at - second.starts_at == timedelta(hours=1)
    assert await jobs(witness) == [("created", "customer")] * 2 + [("moved", "customer")]


async def test_the_zone_is_not_changed_between_the_look_and_the_booking(
    database: Database, tenant: str, witness: Witness
) -> None:
    async def change_zone() -> None:
        async with database.tenant(tenant) as conn:
            await owner.set_zone(conn, "Asia/Vladivostok")

    async with database.tenant(tenant) as conn:
        made = await booking.book(conn, ANNA, wish(14), NOW)
        changing = asyncio.create_task(change_zone())
        await until(lambda: somebody_waits(witness))  # the change, for the booking
    await changing
    rows = await witness.fetch("SELECT time_zone, lower(busy) AS at FROM client_001.bookings")
    assert [(row["time_zone"], row["at"].hour) for row in rows] == [("Europe/Moscow", 11)]
    assert made.booking.starts_at.hour == 11


async def test_a_day_is_the_places_own_whatever_zone_was_agreed(
    database: Database, tenant: str
) -> None:
    late = await book(database, tenant, ANNA, wish(18))
    early = await book(database, tenant, BORIS, wish(10))
    async with database.tenant(tenant) as conn:

        async def seen(day: date) -> list[tuple[int, str]]:
            visits = await booking.agenda(conn, day)
            return [(one.booking.id, f"{one.booking.time:%H:%M}") for one in visits]

        assert await seen(TOMORROW) == [(early.id, "10:00"), (late.id, "18:00")]
        await owner.set_zone(conn, "Asia/Vladivostok")
        assert await seen(TOMORROW) == [(early.id, "17:00")]
        assert await seen(TOMORROW + timedelta(days=1)) == [(late.id, "01:00")]
        await owner.set_zone(conn, "Pacific/Pago_Pago")
        assert await seen(TOMORROW - timedelta(days=1)) == [(early.id, "20:00")]
        assert await seen(TOMORROW) == [(late.id, "04:00")]


async def test_who_has_come_keeps_the_chair_and_who_has_not_frees_it(
    database: Database, tenant: str
) -> None:
    made = await book(database, tenant, ANNA, wish(14))
    came_at = made.starts_at + timedelta(minutes=5)
    async with database.tenant(tenant) as conn:
        await booking.close(conn, made.id, Status.COMPLETED, came_at)
        assert "14:00" not in await starts(conn)
        await booking.close(conn, made.id, Status.NO_SHOW, came_at)
        assert "14:00" in await starts(conn)


async def test_staff_come_and_go_and_keep_their_bookings(database: Database, tenant: str) -> None:
    async with database.tenant(tenant) as conn:
        olga = await owner.add_staff(conn, "Ольга")
        await owner.rename_staff(conn, olga, "Ольга Петровна")
    made = await book(database, tenant, ANNA, wish(14, staff=olga))
    async with database.tenant(tenant) as conn:
        await owner.employ_staff(conn, olga, active=False)
        assert [member.id for member in await booking.staff_offered(conn)] == [1]
        with pytest.raises(UnknownStaff):
            await booking.free_slots(conn, minutes=60, staff_id=olga, day=TOMORROW, now=NOW)
        kept = await booking.my_bookings(conn, ANNA, NOW)
        assert [(one.id, one.staff) for one in kept] == [(made.id, "Ольга Петровна")]


async def test_what_no_longer_fits_the_schedule_is_told_from_what_does(
    database: Database, tenant: str
) -> None:
    early, late = (
        await book(database, tenant, ANNA, wish(10)),
        await book(database, tenant, ANNA, wish(14)),
    )
    async with database.tenant(tenant) as conn:

        async def misfits() -> list[int]:
            return [one.id for one in await owner.misfits(conn, 1, NOW)]

        assert await misfits() == []
        await owner.set_hours(conn, 1, 1, "10:30-15:00")
        assert await misfits() == [early.id]
        await owner.set_hours(conn, 1, 1, "10:00-14:30")
        assert await misfits() == [late.id]
        await owner.set_hours(conn, 1, 1, "10:00-15:00")
        assert await misfits() == []
        await owner.close_days(conn, 1, Stretch(TOMORROW, TOMORROW))
        assert await misfits() == [early.id, late.id]
        await booking.cancel(conn, early.id, ANNA, by=Actor.CUSTOMER, now=NOW)
        assert await misfits() == [late.id]
        await owner.open_days(conn, 1, Stretch(TOMORROW, TOMORROW))
        await owner.employ_staff(conn, 1, active=False)
        assert await misfits() == [late.id]
        assert await owner.misfits(conn, 1, late.starts_at) == []


async def test_input_that_cannot_be_read_names_its_field(database: Database, tenant: str) -> None:
    async with database.tenant(tenant) as conn:
        with pytest.raises(BadField, match=r"^price: "):
            await owner.add_service(conn, name="Бритьё", minutes="30", price="много")
        with pytest.raises(BadField, match=r"^minutes: "):
            await owner.edit_service(conn, 1, "minutes", "0")
        with pytest.raises(BadField, match=r"^weekday: "):
            await owner.set_hours(conn, 1, 8, "10:00-19:00")
        with pytest.raises(BadField, match=r"^time zone: "):
            await owner.set_zone(conn, "Mars/Olympus")
        with pytest.raises(UnknownService):
            await owner.edit_service(conn, 99, "name", "Бритьё")
        with pytest.raises(UnknownService):
            await owner.show_service(conn, 99, active=True)
        with pytest.raises(UnknownStaff):
            await owner.rename_staff(conn, 99, "Ольга")
        with pytest.raises(UnknownStaff):
            await owner.employ_staff(conn, 99, active=True)
        assert [s.name for s in await booking.services_offered(conn)] == ["Стрижка"]


async def test_people_are_remembered_and_their_own_language_stays(
    database: Database, tenant: str
) -> None:
    async with database.tenant(tenant) as conn:
        await booking.remember_person(conn, ANNA, name="Анна", username="anna", language="ru")
        await booking.choose_language(conn, ANNA, "en")
        await booking.choose_language(conn, ANNA, "xx")
        await booking.share_phone(conn, ANNA, "+79000000001")
        known = await booking.remember_person(
            conn, ANNA, name="Анна К.", username=None, language="ru"
        )
        assert (known.name, known.username, known.phone, known.language, known.is_admin) == (
            "Анна К.",
            None,
            "+79000000001",
            "en",
            False,
        )
    made = await book(database, tenant, ANNA, wish(14))
    await book(database, tenant, BORIS, wish(12))
    async with database.tenant(tenant) as conn:
        visits = await booking.agenda(conn, TOMORROW)
        assert [(v.booking.time.hour, v.customer) for v in visits] == [(12, None), (14, known)]
        assert await booking.customer_of(conn, made) == known
