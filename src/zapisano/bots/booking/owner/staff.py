"""The owner's staff: list, one person, their week and their days off."""

from dataclasses import replace
from html import escape

from aiogram.utils.i18n import gettext as _

from zapisano.booking import owner, rules_of
from zapisano.booking.availability import today
from zapisano.booking.model import Calendar, Staff, StaffId, Stretch, stretches
from zapisano.bots.booking.buttons import Do, button
from zapisano.bots.booking.owner.press import Press
from zapisano.bots.booking.screen import Rows, Screen
from zapisano.bots.booking.words import (
    day_name,
    days_name,
    hours,
    visit_name,
    weekday_long,
    weekday_short,
)

MAX_MISFITS = 10
MAX_STRETCHES = 60  # of days off: what one message and its keyboard can hold
EVERY_DAY = 0


async def staff(press: Press) -> Screen:
    """Everybody, a button each; marked are who takes no bookings, and who has misfits."""
    warned = await owner.staff_with_misfits(press.conn, press.visitor.now)
    rows: Rows = [
        [button(_mark(one, warned) + one.name, Do(act="member", id=one.id))]
        for one in await owner.staff(press.conn)
    ]
    rows.append([button(_("➕ Add a person"), Do(act="type", word="staff.add"))])
    rows.append([button(_("‹ Back"), Do(act="menu"))])
    return Screen(_("<b>Staff</b>\nPress somebody to change their hours."), rows)


def _mark(one: Staff, warned: set[StaffId]) -> str:
    return ("" if one.active else "🙈 ") + ("⚠️ " if one.id in warned else "")


async def member(press: Press) -> Screen:
    """One person, their week, and what can be changed."""
    one = await owner.member(press.conn, press.do.id)
    calendar = await owner.week(press.conn, press.do.id)
    lines = [f"<b>{escape(one.name)}</b>"]
    if not one.active:
        lines.append(_("🙈 Takes no bookings."))
    lines += [f"{weekday_short(day)}: {hours(calendar.weekday(day))}" for day in owner.WEEKDAYS]
    lines += [f"🏖 {days_name(days)}" for days in await _days_off_ahead(press, calendar)]
    works = (
        button(_("🙈 Take no bookings"), Do(act="fire", id=one.id))
        if one.active
        else button(_("👁 Take bookings"), Do(act="hire", id=one.id))
    )
    rows: Rows = [
        [button(_("🕘 Hours"), Do(act="week", id=one.id))],
        [button(_("🏖 Days off"), Do(act="off", id=one.id))],
        [button(_("✏️ Rename"), Do(act="type", id=one.id, word="staff.name")), works],
        [button(_("‹ Back"), Do(act="staff"))],
    ]
    return await _with_misfits(press, Screen("\n".join(lines), rows))


async def _with_misfits(press: Press, screen: Screen) -> Screen:
    """Add what is booked outside the schedule: it stands, and only the owner can settle it."""
    left = await owner.misfits(press.conn, press.do.id, press.visitor.now)
    if not left:
        return screen
    lines = [
        screen.text,
        "",
        _("⚠️ Bookings outside this schedule still stand. Press one to reach the customer."),
    ]
    if len(left) > MAX_MISFITS:
        lines.append(_("And {count} more.").format(count=len(left) - MAX_MISFITS))
    rows: Rows = [
        [button(f"⚠️ {visit_name(booking)}", Do(act="visit", id=booking.id))]
        for booking in left[:MAX_MISFITS]
    ]
    return Screen("\n".join(lines), [*rows, *screen.rows])


async def fire(press: Press) -> Screen:
    """Take no more bookings; those there are stay."""
    await owner.employ_staff(press.conn, press.do.id, active=False)
    return await member(press)


async def hire(press: Press) -> Screen:
    """Take bookings again."""
    await owner.employ_staff(press.conn, press.do.id, active=True)
    return await member(press)


async def whose_hours(press: Press) -> Screen:
    """The week of the only one there is, else everybody, to choose from."""
    working = [one for one in await owner.staff(press.conn) if one.active]
    if len(working) != 1:
        return await staff(press)
    return await week(replace(press, do=Do(act="week", id=working[0].id)))


async def week(press: Press) -> Screen:
    """The week, a button per weekday."""
    one = await owner.member(press.conn, press.do.id)
    calendar = await owner.week(press.conn, press.do.id)
    rows: Rows = [
        [
            button(
                f"{weekday_long(day)}: {hours(calendar.weekday(day))}",
                Do(act="type", id=one.id, word=f"hours.{day}"),
            )
        ]
        for day in owner.WEEKDAYS
    ]
    every = Do(act="type", id=one.id, word=f"hours.{EVERY_DAY}")
    rows.append([button(_("The same every day"), every)])
    rows.append([button(_("‹ Back"), Do(act="member", id=one.id))])
    screen = Screen(f"<b>{escape(one.name)}</b>\n" + _("Which day's hours?"), rows)
    return await _with_misfits(press, screen)


async def days_off(press: Press) -> Screen:
    """Days off to come; a press takes one back."""
    one = await owner.member(press.conn, press.do.id)
    calendar = await owner.week(press.conn, press.do.id)
    ahead = await _days_off_ahead(press, calendar)
    rows: Rows = [
        [
            button(
                f"✖️ {_day_or_days(days)}",
                Do(act="open", id=one.id, word=f"{days.first:%Y%m%d}-{days.last:%Y%m%d}"),
            )
        ]
        for days in ahead
    ]
    rows.append([button(_("➕ Add a day off"), Do(act="type", id=one.id, word="off"))])
    rows.append([button(_("‹ Back"), Do(act="member", id=one.id))])
    hint = _("Press a day to work on it after all.") if ahead else _("No days off.")
    return await _with_misfits(press, Screen(f"<b>{escape(one.name)}</b>\n{hint}", rows))


def _day_or_days(days: Stretch) -> str:
    return day_name(days.first) if days.first == days.last else days_name(days)


async def _days_off_ahead(press: Press, calendar: Calendar) -> list[Stretch]:
    here = today(await rules_of(press.conn), press.visitor.now)
    return stretches(day for day in calendar.days_off if day >= here)[:MAX_STRETCHES]


async def open_days(press: Press) -> Screen:
    """Take days off back: all that stand on one button."""
    if days := press.do.days:
        await owner.open_days(press.conn, press.do.id, days)
    return await days_off(press)
