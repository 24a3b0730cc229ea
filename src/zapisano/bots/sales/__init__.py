"""The sales bot: what you get, the price, the order, the bot."""

from aiogram import Router

from zapisano.bots.i18n import SALES, TelegramLanguage
from zapisano.bots.sales import (
    arrival,
    inviting,
    mine,
    ordering,
    otherwise,
    promo,
    showcase,
    stars,
    tariff,
    trying,
)

__all__ = ["sales_router"]


def sales_router() -> Router:
    """Return the sales bot's handlers, in the order in which they are asked."""
    router = Router(name="sales")
    TelegramLanguage(SALES).setup(router)
    parts = (stars, inviting, promo, showcase, trying, mine, tariff, ordering, arrival, otherwise)
    for part in parts:
        router.include_router(part.routes())
    return router
