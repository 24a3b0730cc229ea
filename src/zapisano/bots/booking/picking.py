"""The screens of the booking path, made inside one tenant transaction each."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from html import escape
from math import ceil

from aiogram.types import InlineKeyboardButton
from aiogram.utils.i18n import gettext as _

from zapisano.booking import (
    Rules,
    Slot,
    booking_of,
    free_days,
    free_slots,
    next_free,
    rules_of,
    service_of,
    services_offered,
    staff_offered,
)
from zapisano.booking.availability import last_day, today
from zapisano.booking.model import BookingId
from zapisano.bots.booking.buttons import Act, Go, Mine, Pick, Place, Step, button
from zapisano.bots.booking.month import month_rows
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Rows, Screen
from zapisano.bots.booking.words import day_name, length, money, service_line
from zapisano.db import TenantConnection

TIMES_A_ROW = 4
MAX_TIMES = 92  # a keyboard holds 100 buttons
NEXT_FREE = 4


async def service_screen(conn: TenantConnection) -> Screen:
    """What would you like?"""
    services = await services_offered(conn)
    back = button(_("‹ Back"), Go(to=Place.HOME))
    if not services:
        return Screen(_("There is nothing to book yet. Please come back a little later."), [[back]])
    rows = [
        [button(service_line(service), Pick(step=Step.STAFF, service=service.id))]
        for service in services
    ]
    return Screen(_("What would you like to book?"), [*rows, [back]])


async def staff_screen(conn: TenantConnection, visitor: Visitor, pick: Pick) -> Screen:
    """With whom? Not asked where there is only one."""
    service = await service_of(conn, pick.service)
    staff = await staff_offered(conn)
    if len(staff) < 2:
        return await month_screen(conn, visitor, pick)
    rows = [[button(_("Anybody"), Pick(step=Step.MONTH, service=service.id))]]
    rows += [
        [button(one.name, Pick(step=Step.MONTH, service=service.id, staff=one.id))] for one in staff
    ]
    text = f"<b>{escape(service.name)}</b>\n" + _("With whom?")
    return Screen(text, [*rows, [button(_("‹ Back"), Go(to=Place.BOOK))]])


async def minutes_of(conn: TenantConnection, visitor: Visitor, pick: Pick) -> tuple[str, int]:
    """Return the name and the length of what is booked, or, when moved, was booked."""
    if pick.move:
        booking = await booking_of(conn, pick.move, visitor.person.user_id)
        return booking.service, booking.duration_minutes
    service = await service_of(conn, pick.service)
    return service.name, service.duration_minutes


def _being_moved(pick: Pick) -> BookingId | None:
    return BookingId(pick.move) if pick.move else None


async def month_screen(
    conn: TenantConnection, visitor: Visitor, pick: Pick, title: str = ""
) -> Screen:
    """Which day? Without a month picked, the first that has free time."""
    name, minutes = await minutes_of(conn, visitor, pick)
    now = visitor.now
    moving = _being_moved(pick)
    rules = await rules_of(conn)
    if pick.day:
        month = pick.picked_day
    else:
        soonest = await nearest(conn, visitor, pick, minutes, after=now, limit=1)
        if not soonest:
            return _nothing_free(name, rules, await _back_from_month(conn, pick))
        month = soonest[0].day
    free = await free_days(
        conn, minutes=minutes, staff_id=pick.staff_id, month=month, now=now, moving=moving
    )
    rows = month_rows(pick, month, set(free), first=today(rules, now), last=last_day(rules, now))
    lines = [title, f"<b>{escape(name)}</b>", _("Which day?")]
    if not free:
        lines.append(_("Nothing is free this month."))
        after = max(now, datetime.combine(month, datetime.min.time(), rules.zone))
        rows += slot_rows(pick, await nearest(conn, visitor, pick, minutes, after=after))
    rows.append([await _back_from_month(conn, pick)])
    return Screen("\n".join(line for line in lines if line), rows)


async def _back_from_month(conn: TenantConnection, pick: Pick) -> InlineKeyboardButton:
    if pick.move:
        return button(_("‹ Back"), Mine(act=Act.OPEN, booking=pick.move))
    if len(await staff_offered(conn)) < 2:
        return button(_("‹ Back"), Go(to=Place.BOOK))
    return button(_("‹ Back"), Pick(step=Step.STAFF, service=pick.service))


def _nothing_free(name: str, rules: Rules, back: InlineKeyboardButton) -> Screen:
    text = _("Nothing is free in the next {days} days. Please look again a little later.")
    return Screen(f"<b>{escape(name)}</b>\n" + text.format(days=rules.horizon_days), [[back]])


async def nearest(
    conn: TenantConnection,
    visitor: Visitor,
    pick: Pick,
    minutes: int,
    *,
    after: datetime,
    limit: int = NEXT_FREE,
) -> list[Slot]:
    """Return the next free starts at or after a moment."""
    return await next_free(
        conn,
        minutes=minutes,
        staff_id=pick.staff_id,
        after=after,
        now=visitor.now,
        limit=limit,
        moving=_being_moved(pick),
    )


def slot_rows(pick: Pick, slots: Sequence[Slot]) -> Rows:
    """Return a button per start, with its day."""
    return [[button(f"{day_name(slot.day)}, {slot.at:%H:%M}", pick.slot(slot))] for slot in slots]


async def day_screen(conn: TenantConnection, visitor: Visitor, pick: Pick) -> Screen:
    """At what time?"""
    name, minutes = await minutes_of(conn, visitor, pick)
    slots = await free_slots(
        conn,
        minutes=minutes,
        staff_id=pick.staff_id,
        day=pick.picked_day,
        now=visitor.now,
        moving=_being_moved(pick),
    )
    if not slots:
        return await taken_screen(conn, visitor, pick, _("This day is full."))
    shown = slots[:: ceil(len(slots) / MAX_TIMES)]
    times = [button(f"{slot.at:%H:%M}", pick.slot(slot)) for slot in shown]
    rows = [times[n : n + TIMES_A_ROW] for n in range(0, len(times), TIMES_A_ROW)]
    text = f"<b>{escape(name)}</b>\n{day_name(pick.picked_day)}\n" + _("At what time?")
    return Screen(text, [*rows, [button(_("‹ Back"), pick.to(Step.MONTH))]])


async def taken_screen(
    conn: TenantConnection, visitor: Visitor, pick: Pick, title: str = ""
) -> Screen:
    """The time or the day is gone: offer the next ones."""
    name, minutes = await minutes_of(conn, visitor, pick)
    rules = await rules_of(conn)
    begins = datetime.combine(pick.picked_day, datetime.min.time(), rules.zone)
    if pick.at:
        begins += timedelta(hours=pick.picked_time.hour, minutes=pick.picked_time.minute)
    slots = await nearest(conn, visitor, pick, minutes, after=max(begins, visitor.now))
    if not slots:
        slots = await nearest(conn, visitor, pick, minutes, after=visitor.now)
    other = [button(_("Another day"), pick.to(Step.MONTH))]
    if not slots:
        return _nothing_free(name, rules, other[0])
    lines = [title, f"<b>{escape(name)}</b>", _("The next free times:")]
    return Screen("\n".join(line for line in lines if line), [*slot_rows(pick, slots), other])


async def confirm_screen(conn: TenantConnection, visitor: Visitor, pick: Pick) -> Screen:
    """All of it once more, and one button."""
    name, minutes = await minutes_of(conn, visitor, pick)
    lines = [
        _("Is everything right?"),
        "",
        f"🗓 <b>{day_name(pick.picked_day)}, {pick.picked_time:%H:%M}</b>",
        f"✂️ {escape(name)} · {length(minutes)}",
    ]
    staff = await staff_offered(conn)
    chosen = next((one.name for one in staff if one.id == pick.staff), None)
    if len(staff) > 1:
        lines.append("👤 " + escape(chosen or _("Anybody")))
    if not pick.move and (price := (await service_of(conn, pick.service)).price):
        lines.append(f"💰 {money(price)}")
    if pick.move:
        booking = await booking_of(conn, pick.move, visitor.person.user_id)
        if booking.price:
            lines.append(f"💰 {money(booking.price)}")
        was = f"{day_name(booking.date)}, {booking.time:%H:%M}"
        lines.append(_("Was: {moment}").format(moment=was))
    text = _("✅ Move here") if pick.move else _("✅ Book")
    rows = [[button(text, pick.to(Step.DONE))], [button(_("‹ Back"), pick.to(Step.DAY))]]
    return Screen("\n".join(lines), rows)
