"""Cancel a booking; its time is free again and its reminders are gone."""

from datetime import datetime

from zapisano.booking import reminders, store, usecases
from zapisano.booking.book import announce
from zapisano.booking.jobs import Actor, Change
from zapisano.booking.model import Booking, BookingOver, Status
from zapisano.db import TenantConnection


async def cancel(
    conn: TenantConnection,
    booking_id: int,
    user_id: int | None,
    *,
    by: Actor,
    now: datetime,
    actor_id: int | None = None,
) -> Booking:
    """Cancel a booking. Cancelling twice changes nothing.

    `user_id` None: the owner's side asks; `actor_id` is who there.

    Raises:
        UnknownBooking: there is none, or it is somebody else's.
        BookingOver: it has begun.
    """
    booking = await usecases.booking_of(conn, booking_id, user_id, lock=True)
    if booking.status is Status.CANCELLED:
        return booking
    if not booking.stands(now):
        raise BookingOver
    await store.set_status(conn, booking.id, Status.CANCELLED)
    await reminders.forget(conn, booking)
    await announce(conn, booking, Change.CANCELLED, by, actor_id=actor_id)
    return await usecases.booking_of(conn, booking_id, user_id)
