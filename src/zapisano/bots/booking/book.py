"""The booking path: service, staff, day, time, confirm, card."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message
from aiogram.utils.i18n import gettext as _

from zapisano.booking import (
    Actor,
    Booked,
    NotOffered,
    SendFile,
    Wish,
    book,
    move,
)
from zapisano.booking.model import ServiceId, StaffId
from zapisano.bots.booking import mine, picking
from zapisano.bots.booking.buttons import Go, Pick, Place, Step
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import show
from zapisano.bots.booking.words import explain
from zapisano.db import TenantConnection
from zapisano.errors import SlotTaken
from zapisano.jobs import enqueue


def router() -> Router:
    """Return the handlers of the path."""
    made = Router(name="booking.book")
    made.message.register(start_booking, Command("book"))
    made.callback_query.register(start_booking, Go.filter(F.to == Place.BOOK))
    made.callback_query.register(done, Pick.filter(F.step == Step.DONE))
    made.callback_query.register(step, Pick.filter())
    return made


async def start_booking(event: Message | CallbackQuery, visitor: Visitor) -> None:
    """Show the services."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        screen = await picking.service_screen(conn)
    await show(event, screen)


async def step(tap: CallbackQuery, callback_data: Pick, visitor: Visitor) -> None:
    """Show the next screen of the path."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        match callback_data.step:
            case Step.STAFF:
                screen = await picking.staff_screen(conn, visitor, callback_data)
            case Step.MONTH:
                screen = await picking.month_screen(conn, visitor, callback_data)
            case Step.DAY:
                screen = await picking.day_screen(conn, visitor, callback_data)
            case _:
                screen = await picking.confirm_screen(conn, visitor, callback_data)
    await show(tap, screen)


async def done(tap: CallbackQuery, callback_data: Pick, visitor: Visitor) -> None:
    """Book or move; a second press finds what the first has done."""
    try:
        booked = await _write(visitor, callback_data)
    except (SlotTaken, NotOffered) as error:
        reason = explain(error) or ""
        async with visitor.database.tenant(visitor.tenant.id) as conn:
            screen = await picking.taken_screen(conn, visitor, callback_data, reason)
        await show(tap, screen, reason, alert=True)
        return
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        title = _("Your booking is moved!") if callback_data.move else _("You are booked!")
        card = await mine.card(conn, booked.booking, visitor, title)
    await show(tap, card, _("Done"))


async def _write(visitor: Visitor, pick: Pick) -> Booked:
    """Book or move; what is said afterwards is asked for in the same commit, and so not lost."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        booked = await _book_or_move(conn, visitor, pick)
        if booked.is_new:
            await enqueue(conn, SendFile(booking_id=booked.booking.id, moved=bool(pick.move)))
    return booked


async def _book_or_move(conn: TenantConnection, visitor: Visitor, pick: Pick) -> Booked:
    user_id, now = visitor.person.user_id, visitor.now
    if not pick.move:
        staff = StaffId(pick.staff) if pick.staff else None
        wish = Wish(ServiceId(pick.service), staff, pick.picked_day, pick.picked_time)
        return await book(conn, user_id, wish, now)
    return await move(
        conn,
        pick.move,
        user_id,
        day=pick.picked_day,
        at=pick.picked_time,
        staff_id=pick.staff_id,
        by=Actor.CUSTOMER,
        now=now,
    )
