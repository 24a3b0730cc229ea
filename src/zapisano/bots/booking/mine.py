"""The customer's own bookings: list, card, move, cancel, and the answer to a reminder."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, InlineKeyboardButton, Message
from aiogram.utils.i18n import gettext as _

from zapisano.booking import (
    Actor,
    Booking,
    BookingOver,
    booking_of,
    cancel,
    confirm,
    my_bookings,
    staff_offered,
)
from zapisano.bots.booking import picking
from zapisano.bots.booking.buttons import Act, Go, Mine, Place, button, moving
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Screen, show
from zapisano.bots.booking.words import details, visit_name
from zapisano.db import TenantConnection


def router() -> Router:
    """Return the handlers of the customer's bookings."""
    made = Router(name="booking.mine")
    made.message.register(list_mine, Command("my"))
    made.callback_query.register(list_mine, Go.filter(F.to == Place.MINE))
    made.callback_query.register(open_one, Mine.filter(F.act == Act.OPEN))
    made.callback_query.register(move_one, Mine.filter(F.act == Act.MOVE))
    made.callback_query.register(ask_cancel, Mine.filter(F.act == Act.ASK_CANCEL))
    made.callback_query.register(cancel_one, Mine.filter(F.act == Act.CANCEL))
    made.callback_query.register(will_come, Mine.filter(F.act == Act.CONFIRM))
    return made


async def list_mine(event: Message | CallbackQuery, visitor: Visitor) -> None:
    """Show what is still to come."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        screen = await list_screen(conn, visitor)
    await show(event, screen)


async def list_screen(conn: TenantConnection, visitor: Visitor) -> Screen:
    """Return the list: a button per booking."""
    bookings = await my_bookings(conn, visitor.person.user_id, visitor.now)
    rows = [[button(visit_name(one), Mine(act=Act.OPEN, booking=one.id))] for one in bookings]
    rows.append([button(_("➕ Book"), Go(to=Place.BOOK))])
    rows.append([button(_("‹ Back"), Go(to=Place.HOME))])
    text = _("Your bookings:") if bookings else _("You have no bookings yet.")
    return Screen(text, rows)


async def card(
    conn: TenantConnection, booking: Booking, visitor: Visitor, title: str = ""
) -> Screen:
    """Return a booking with what can be done with it."""
    many = len(await staff_offered(conn)) > 1
    lines = [f"<b>{title}</b>" if title else "", details(booking, staff=many)]
    if booking.confirmed_at:
        lines.append(_("👌 You have confirmed that you come."))
    rows: list[list[InlineKeyboardButton]] = []
    if booking.stands(visitor.now):
        rows.append(
            [
                button(_("🔁 Move"), Mine(act=Act.MOVE, booking=booking.id)),
                button(_("✖️ Cancel"), Mine(act=Act.ASK_CANCEL, booking=booking.id)),
            ]
        )
    else:
        lines.append(_("This booking is over or cancelled already."))
    rows.append([button(_("My bookings"), Go(to=Place.MINE))])
    return Screen("\n".join(line for line in lines if line), rows)


async def open_one(tap: CallbackQuery, callback_data: Mine, visitor: Visitor) -> None:
    """Show a booking."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        booking = await booking_of(conn, callback_data.booking, visitor.person.user_id)
        screen = await card(conn, booking, visitor)
    await show(tap, screen)


async def _standing(conn: TenantConnection, callback_data: Mine, visitor: Visitor) -> Booking:
    booking = await booking_of(conn, callback_data.booking, visitor.person.user_id)
    if not booking.stands(visitor.now):
        raise BookingOver
    return booking


async def move_one(tap: CallbackQuery, callback_data: Mine, visitor: Visitor) -> None:
    """Let the person pick another day."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        booking = await _standing(conn, callback_data, visitor)
        works_here = any(one.id == booking.staff_id for one in await staff_offered(conn))
        pick = moving(booking, anybody=not works_here)
        title = _("Where shall we move it?")
        screen = await picking.month_screen(conn, visitor, pick, title)
    await show(tap, screen)


async def ask_cancel(tap: CallbackQuery, callback_data: Mine, visitor: Visitor) -> None:
    """Ask once more before cancelling."""
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        booking = await _standing(conn, callback_data, visitor)
    text = _("Cancel this booking?") + "\n\n" + details(booking, staff=False)
    rows = [
        [button(_("Yes, cancel it"), Mine(act=Act.CANCEL, booking=booking.id))],
        [button(_("‹ Back"), Mine(act=Act.OPEN, booking=booking.id))],
    ]
    await show(tap, Screen(text, rows))


async def cancel_one(tap: CallbackQuery, callback_data: Mine, visitor: Visitor) -> None:
    """Cancel, and show what is left."""
    user_id = visitor.person.user_id
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        await cancel(conn, callback_data.booking, user_id, by=Actor.CUSTOMER, now=visitor.now)
        screen = await list_screen(conn, visitor)
    await show(tap, screen, _("The booking is cancelled."))


async def will_come(tap: CallbackQuery, callback_data: Mine, visitor: Visitor) -> None:
    """Note that the person means to come."""
    user_id = visitor.person.user_id
    async with visitor.database.tenant(visitor.tenant.id) as conn:
        booking = await confirm(conn, callback_data.booking, user_id, visitor.now)
        screen = await card(conn, booking, visitor)
    await show(tap, screen, _("Thank you, see you soon!"))
