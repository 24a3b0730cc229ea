"""The sales bot: what you get, the price, the order, the bot."""

from aiogram import Router

from zapisano.bots.i18n import SALES, TelegramLanguage
from zapisano.bots.sales import arrival, mine, ordering, otherwise, showcase, stars

__all__ = ["sales_router"]


def sales_router() -> Router:
    """Return the sales bot's handlers, in the order in which they are asked."""
    router = Router(name="sales")
    TelegramLanguage(SALES).setup(router)
    for part in (stars, showcase, mine, ordering, arrival, otherwise):
        router.include_router(part.routes())
    return router
