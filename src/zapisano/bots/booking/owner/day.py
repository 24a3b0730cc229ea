"""A day's bookings, and one of them: who comes, cancel with a notice, came or did not."""

from datetime import date, timedelta
from html import escape
from zoneinfo import ZoneInfo

from aiogram.types import InlineKeyboardButton
from aiogram.utils.i18n import gettext as _

from zapisano.booking import (
    Actor,
    Booking,
    Status,
    Visit,
    agenda,
    booking_of,
    cancel,
    close,
    customer_of,
    next_visit,
    rules_of,
    staff_offered,
)
from zapisano.booking.availability import today
from zapisano.bots.booking.buttons import Do, button
from zapisano.bots.booking.owner.press import Press
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Rows, Screen
from zapisano.bots.booking.words import day_name, details, who
from zapisano.db import TenantConnection

# What fits one message and one keyboard.
MAX_VISITS = 30
FARTHEST_DAYS = 400


async def menu(press: Press) -> Screen:
    """Today, and the doors to everything else."""
    day = await day_screen(press)
    coming = await next_visit(press.conn, press.visitor.now)
    text = f"{_next(coming)}\n\n{day.text}" if coming else day.text
    doors: Rows = [
        [button(_("✂️ Services"), Do(act="services")), button(_("🕘 Hours"), Do(act="hours"))],
        [button(_("👥 Staff"), Do(act="staff")), button(_("🌍 Time zone"), Do(act="zone"))],
    ]
    return Screen(text, [*day.rows, *doors])


def _next(visit: Visit) -> str:
    booking = visit.booking
    when = f"{day_name(booking.date)}, {booking.time:%H:%M}"
    what = f"{escape(booking.service)} · {who(booking, visit.customer)}"
    return _("⏭ Next: <b>{when}</b>\n{what}").format(when=when, what=what)


async def day_screen(press: Press) -> Screen:
    """A day's bookings, a button each."""
    now = press.visitor.now
    here = today(await rules_of(press.conn), now)
    day = _read_day(press.do, here)
    visits = await agenda(press.conn, day)
    title = f"<b>{day_name(day)}</b>"
    if day == here:
        title += " · " + _("today")
    lines = [title, *(_line(visit) for visit in visits[:MAX_VISITS])]
    if not visits:
        lines.append(_("No bookings."))
    if len(visits) > MAX_VISITS:
        lines.append(_("And {count} more.").format(count=len(visits) - MAX_VISITS))
    rows: Rows = [[_open(visit)] for visit in visits[:MAX_VISITS]]
    rows.append(
        [
            button("‹", Do(act="menu", word=f"{day - timedelta(days=1):%Y%m%d}")),
            button(_("Today"), Do(act="menu")),
            button("›", Do(act="menu", word=f"{day + timedelta(days=1):%Y%m%d}")),
        ]
    )
    return Screen("\n".join(lines), rows)


def _read_day(do: Do, here: date) -> date:
    """Return the day of a button; what is none, or far away, is today."""
    day = do.day or here
    return day if abs((day - here).days) <= FARTHEST_DAYS else here


def _mark(booking: Booking) -> str:
    if booking.status is Status.COMPLETED:
        return " ✅"
    if booking.status is Status.NO_SHOW:
        return " 🚫"
    return " 👌" if booking.confirmed_at else ""


def _line(visit: Visit) -> str:
    booking = visit.booking
    ends = booking.ends_at.astimezone(ZoneInfo(booking.time_zone))
    times = f"{booking.time:%H:%M}-{ends:%H:%M}"
    silent = " 🔕" if visit.customer and visit.customer.blocked_at else ""
    return f"<b>{times}</b>{_mark(booking)} {who(booking, visit.customer)}{silent}"


def _open(visit: Visit) -> InlineKeyboardButton:
    booking = visit.booking
    text = f"{booking.time:%H:%M} · {booking.service} · {booking.staff}"
    return button(text, Do(act="visit", id=booking.id))


async def visit_screen(press: Press) -> Screen:
    """One booking: who, what, and what the owner can press.do."""
    return await _visit(press.conn, press.visitor, await booking_of(press.conn, press.do.id, None))


async def _visit(conn: TenantConnection, visitor: Visitor, booking: Booking) -> Screen:
    customer = await customer_of(conn, booking)
    many = len(await staff_offered(conn)) > 1
    text = f"{details(booking, staff=many)}\n🙋 {who(booking, customer)}{_mark(booking)}"
    if customer and customer.blocked_at:
        text += "\n" + _("🔕 Has blocked the bot: reminders do not reach them. Better call.")
    rows: Rows = []
    if booking.stands(visitor.now):
        rows.append([button(_("✖️ Cancel and tell the customer"), Do(act="drop?", id=booking.id))])
    elif booking.status is Status.CANCELLED:
        text += "\n" + _("This booking is cancelled.")
    else:
        rows.append(
            [
                button(_("✅ Came"), Do(act="came", id=booking.id)),
                button(_("🚫 Did not come"), Do(act="missed", id=booking.id)),
            ]
        )
    rows.append([button(_("‹ Back"), Do(act="menu", word=f"{booking.date:%Y%m%d}"))])
    return Screen(text, rows)


async def ask_drop(press: Press) -> Screen:
    """Ask once more before cancelling somebody's booking."""
    booking = await booking_of(press.conn, press.do.id, None)
    customer = await customer_of(press.conn, booking)
    text = (
        _("Cancel this booking? The customer has blocked the bot and will not be told.")
        if customer and customer.blocked_at
        else _("Cancel this booking? The customer will be told.")
    )
    rows: Rows = [
        [button(_("Yes, cancel it"), Do(act="drop", id=booking.id))],
        [button(_("‹ Back"), Do(act="visit", id=booking.id))],
    ]
    lines = [text, "", details(booking, staff=False), f"🙋 {who(booking, customer)}"]
    return Screen("\n".join(lines), rows)


async def drop(press: Press) -> Screen:
    """Cancel; the customer is told by a job."""
    visitor = press.visitor
    booking = await cancel(
        press.conn,
        press.do.id,
        None,
        by=Actor.OWNER,
        now=visitor.now,
        actor_id=visitor.person.user_id,
    )
    return await _visit(press.conn, visitor, booking)


async def came(press: Press) -> Screen:
    """The customer came."""
    return await _visit(
        press.conn,
        press.visitor,
        await close(press.conn, press.do.id, Status.COMPLETED, press.visitor.now),
    )


async def missed(press: Press) -> Screen:
    """The customer did not come."""
    return await _visit(
        press.conn,
        press.visitor,
        await close(press.conn, press.do.id, Status.NO_SHOW, press.visitor.now),
    )
