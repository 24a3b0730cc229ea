"""Which function does which job of this room; the composition root calls it once."""

from collections.abc import Callable
from datetime import datetime

from zapisano.db import Database
from zapisano.jobs import Handlers
from zapisano.payments import auto_topup
from zapisano.payments.charges import charge
from zapisano.payments.jobs import (
    AutoTopup,
    FindLow,
    Poll,
    PollRefund,
    Reconcile,
    RefundStars,
    Settle,
    SettleRefund,
)
from zapisano.payments.model import OrderId
from zapisano.payments.poller import poll
from zapisano.payments.provider import RefundingProvider
from zapisano.payments.reconcile import sweep
from zapisano.payments.refund_model import RefundId
from zapisano.payments.refunds import poll_refund
from zapisano.payments.settle import settle
from zapisano.payments.settle_refund import settle_refund
from zapisano.payments.stars import Providers, StarsProvider, give_back_stars
from zapisano.settings import Settings
from zapisano.subscriptions import Charge


def payments_handlers(
    handlers: Handlers,
    database: Database,
    provider: RefundingProvider,
    settings: Settings,
    now: Callable[[], datetime],
    stars: StarsProvider | None = None,
) -> None:
    """Let `Settle`, `Poll` and `Charge` be done. What tells somebody is for the bots.

    Whom to ask is written in the order: `provider`, or `stars` where those can be received.
    """
    providers = Providers(provider, stars)

    async def on_refund_stars(job: RefundStars) -> None:
        await give_back_stars(database, settings, providers.stars, OrderId(job.order_id), now())

    handlers.on(RefundStars, on_refund_stars)

    async def on_settle(job: Settle) -> None:
        asked = await providers.of_payment(database, job.payment_id)
        await settle(database, asked, settings, job.payment_id, now(), job.via)

    async def on_poll(job: Poll) -> None:
        order_id = OrderId(job.order_id)
        asked = await providers.of_order(database, order_id)
        await poll(database, asked, settings, order_id, now())

    async def on_settle_refund(job: SettleRefund) -> None:
        await settle_refund(database, provider, settings, job.refund_id, now(), job.via)

    async def on_poll_refund(job: PollRefund) -> None:
        await poll_refund(database, provider, settings, RefundId(job.id), now())

    async def on_reconcile(job: Reconcile) -> None:
        await sweep(database, provider, settings, job, now)

    handlers.on(Reconcile, on_reconcile)
    handlers.on(SettleRefund, on_settle_refund)
    handlers.on(PollRefund, on_poll_refund)

    async def on_charge(job: Charge) -> None:
        await charge(database, provider, settings, job, now())

    handlers.on(Charge, on_charge)
    handlers.on(Settle, on_settle)
    handlers.on(Poll, on_poll)
    _auto_topup_handlers(handlers, database, provider, settings, now)


def _auto_topup_handlers(
    handlers: Handlers,
    database: Database,
    provider: RefundingProvider,
    settings: Settings,
    now: Callable[[], datetime],
) -> None:
    async def on_find_low(job: FindLow) -> None:
        await auto_topup.find_low(database, settings, job, now())

    async def on_auto_topup(job: AutoTopup) -> None:
        await auto_topup.charge(database, provider, settings, job.method, now())

    handlers.on(FindLow, on_find_low)
    handlers.on(AutoTopup, on_auto_topup)
