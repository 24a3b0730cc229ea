"""Ask after orders ourselves: notifications may be lost, and answers to our own requests too.

On by default. Each poll first arranges the next one, then asks; so a kill or an outage of the
provider only makes it later.
"""

from datetime import datetime, timedelta

from zapisano.db import Database
from zapisano.errors import Passing
from zapisano.jobs import schedule, unschedule
from zapisano.payments import store
from zapisano.payments.chargeable import is_charge
from zapisano.payments.checkout import start_payment, store_payment
from zapisano.payments.jobs import Poll
from zapisano.payments.model import (
    AnyOrder,
    Order,
    OrderClosed,
    OrderId,
    ProviderName,
    Reason,
    poll_interval,
)
from zapisano.payments.provider import Provider, ProviderRefused
from zapisano.payments.settle import review, settle
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")

# Around the time of the request: clocks differ, and a key could have been used for 24 h.
SEARCH_BEFORE = timedelta(hours=1)
SEARCH_AFTER = timedelta(hours=25)
# Telegram takes Stars at once or not at all: what is not in its list after this was not paid.
STARS_SOUGHT = timedelta(hours=2)


async def poll(
    database: Database, provider: Provider, settings: Settings, order_id: OrderId, now: datetime
) -> None:
    """Ask after one order until it is final, at the intervals of rule 7."""
    order = await _arrange_next(database, order_id, now)
    if order is None:
        return
    try:
        payment_id = order.payment_id or await _find_payment(
            database, provider, settings, order, now
        )
        if payment_id is not None:
            await settle(database, provider, settings, payment_id, now, via="poller")
    except Passing as error:
        log.info("poll_without_result", order=order_id, reason=error.code)


async def _arrange_next(database: Database, order_id: OrderId, now: datetime) -> AnyOrder | None:
    """Schedule the next poll; return the order, or None when there is nothing to ask about."""
    async with database.shared() as conn:
        order = await store.get(conn, order_id, lock=True)
        if not order.is_open or order.requested_at is None:
            await unschedule(conn, Poll, subject=order_id)
            return None
        polls = await store.count_poll(conn, order_id)
        await schedule(conn, Poll(order_id), at=now + poll_interval(polls), subject=order_id)
        return order


async def _find_payment(
    database: Database, provider: Provider, settings: Settings, order: AnyOrder, now: datetime
) -> str | None:
    """Find out what became of a request whose answer never came; return its payment's id.

    Within 24 h the same key and bytes bring the same payment. After that a repetition would make a
    second one, so the provider's list is searched, and if it is not there a person has to look. A
    charge that is not wanted any more is not repeated, only looked for; its key lives on, so that
    nothing is decided before it is dead.
    """
    if order.provider is ProviderName.STARS:
        return await _find_charge(database, provider, order, now)
    if order.key_lives_at(now) and (settings.yookassa_autopay or not is_charge(order)):
        try:
            await start_payment(database, provider, order.id, now)
        except ProviderRefused:
            return None
        except OrderClosed:
            log.info("repetition_not_wanted", order=order.id)
        else:
            async with database.shared() as conn:
                return (await store.get(conn, order.id)).payment_id
    asked_at = order.requested_at or now
    async for payment in provider.list_payments(asked_at - SEARCH_BEFORE, asked_at + SEARCH_AFTER):
        if payment.metadata.get("order_id") == order.id:
            async with database.shared() as conn:
                await store_payment(conn, order.id, payment)
            return payment.id
    if order.key_lives_at(now):
        return None
    async with database.shared() as conn:
        await store.mark_review(conn, order.id)
        await review(conn, Reason.OUTCOME_UNKNOWN, payment_id=None, order_id=order.id)
        await unschedule(conn, Poll, subject=order.id)
    return None


async def _find_charge(
    database: Database, provider: Provider, order: Order, now: datetime
) -> str | None:
    """Find the charge of an order in Stars whose news was lost; after a while there is none."""
    asked_at = order.requested_at or now
    async for payment in provider.list_payments(asked_at - SEARCH_BEFORE, now + SEARCH_BEFORE):
        if payment.metadata.get("order_id") == order.id:
            async with database.shared() as conn:
                await store_payment(conn, order.id, payment)
            return payment.id
    if now - asked_at >= STARS_SOUGHT:
        async with database.shared() as conn:
            await store.end_stars(conn, order.id)
            await unschedule(conn, Poll, subject=order.id)
    return None
