"""All handlers of the tenant's bot, in the order in which they are asked."""

from aiogram import Router

from zapisano.bots.booking import book, home, membership, mine, phone
from zapisano.bots.booking.owner import routing as owner
from zapisano.bots.booking.person import Introduce


def booking_router() -> Router:
    """Return the router of every tenant's bot; a dispatcher takes each router once."""
    made = Router(name="booking")
    introduce = Introduce()
    made.message.outer_middleware(introduce)
    made.callback_query.outer_middleware(introduce)
    made.include_routers(
        owner.router(),
        home.router(),
        book.router(),
        mine.router(),
        phone.router(),
        membership.router(),
        home.rest(),
    )
    return made
