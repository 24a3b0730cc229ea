"""Which function does which job of this room; the composition root calls it once."""

from collections.abc import Callable
from datetime import datetime

from zapisano.db import Database
from zapisano.jobs import Handlers
from zapisano.payments.jobs import Poll, Settle
from zapisano.payments.model import OrderId
from zapisano.payments.poller import poll
from zapisano.payments.provider import Provider
from zapisano.payments.settle import settle
from zapisano.payments.stars import Providers
from zapisano.settings import Settings


def payments_handlers(
    handlers: Handlers,
    database: Database,
    provider: Provider,
    settings: Settings,
    now: Callable[[], datetime],
    stars: Provider | None = None,
) -> None:
    """Let `Settle` and `Poll` be done. `OrderPaid` and `OrderCanceled` are for the bots.

    Whom to ask is written in the order: `provider`, or `stars` where those can be received.
    """
    providers = Providers(provider, stars or provider)

    async def on_settle(job: Settle) -> None:
        asked = await providers.of_payment(database, job.payment_id)
        await settle(database, asked, settings, job.payment_id, now(), job.via)

    async def on_poll(job: Poll) -> None:
        order_id = OrderId(job.order_id)
        asked = await providers.of_order(database, order_id)
        await poll(database, asked, settings, order_id, now())

    handlers.on(Settle, on_settle)
    handlers.on(Poll, on_poll)
