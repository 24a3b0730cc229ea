"""Which function does which job of this room; the composition root calls it once."""

from collections.abc import Callable
from datetime import datetime

from zapisano.db import Database
from zapisano.jobs import Handlers
from zapisano.payments.charges import charge
from zapisano.payments.jobs import Poll, PollRefund, Reconcile, Settle, SettleRefund
from zapisano.payments.model import OrderId
from zapisano.payments.poller import poll
from zapisano.payments.provider import Provider
from zapisano.payments.reconcile import sweep
from zapisano.payments.refund_model import RefundId
from zapisano.payments.refunds import poll_refund
from zapisano.payments.settle import settle
from zapisano.payments.settle_refund import settle_refund
from zapisano.settings import Settings
from zapisano.subscriptions import Charge


def payments_handlers(
    handlers: Handlers,
    database: Database,
    provider: Provider,
    settings: Settings,
    now: Callable[[], datetime],
) -> None:
    """Let `Settle`, `Poll` and `Charge` be done. What tells somebody is for the bots."""

    async def on_settle(job: Settle) -> None:
        await settle(database, provider, settings, job.payment_id, now(), job.via)

    async def on_poll(job: Poll) -> None:
        await poll(database, provider, settings, OrderId(job.order_id), now())

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
