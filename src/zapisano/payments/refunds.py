"""A refund that the operator asks for: kept, requested under its own key, asked after.

As a payment: the row, the request's bytes and the key are committed before the call; an unknown
outcome is repeated under the same key within 24 h, then looked for in the provider's list, and put
before a person if it is not there. It takes effect in `settle_refund` only.
"""

import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.errors import Passing, Refused
from zapisano.jobs import enqueue, schedule, unschedule
from zapisano.payments import store as orders
from zapisano.payments.jobs import PollRefund, SettleRefund
from zapisano.payments.model import POLL_INTERVALS, AnyOrder, PlanOrder, Reason, poll_interval
from zapisano.payments.poller import SEARCH_AFTER, SEARCH_BEFORE
from zapisano.payments.provider import ProviderRefused, Refund, RefundingProvider
from zapisano.payments.refund_model import (
    MAX_REASON,
    NotPaid,
    RefundId,
    RefundRow,
    RefundSource,
    refund_amount,
    refund_body,
)
from zapisano.payments.settle import review
from zapisano.payments.settle_refund import cancel_refund, settle_refund
from zapisano.payments.store import refunds as store
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")


async def left_to_refund(conn: SharedConnection, order: AnyOrder) -> Decimal:
    """Return how many roubles of an order may still be given back."""
    return order.amount - order.refunded - await store.sum_on_its_way(conn, order.id)


async def ask_refund(
    conn: SharedConnection,
    order_id: str,
    *,
    amount: Decimal | None,
    reason: str | None,
    now: datetime,
) -> RefundRow:
    """Keep a refund of an order with its frozen request and its key; all that is left by default.

    Money that came but was not granted (too late, under review) may go back as well; whether it
    came is for the provider to say, who refuses otherwise.

    Raises:
        UnknownOrder: there is no such order.
        NotPaid: no money has come by it.
        AlreadyRefunded: nothing is left to give back.
        RefundTooLarge, Refused: the sum or the reason is not acceptable.
    """
    order = await orders.get(conn, order_id, lock=True)
    if order.is_open or order.payment_id is None:
        raise NotPaid
    if reason is not None and not (1 <= len(reason) <= MAX_REASON and reason.isprintable()):
        raise Refused(f"reason: must be 1 to {MAX_REASON} printable characters")
    sum_ = refund_amount(amount, await left_to_refund(conn, order))
    row = RefundRow(
        id=RefundId(str(uuid.uuid4())),
        order_id=order.id,
        amount=sum_,
        source=RefundSource.OPERATOR,
        reason=reason,
        idempotence_key=f"zapisano-refund-{uuid.uuid4()}",
        request_body=refund_body(order, sum_, reason),
        created_at=now,
    )
    await store.insert_refund(conn, row)
    await schedule(conn, PollRefund(row.id), at=now + POLL_INTERVALS[0], subject=row.id)
    await journal.record(
        conn,
        "refund.requested",
        row.id,
        tenant=order.tenant_id if isinstance(order, PlanOrder) else None,
        by=row.source,
        order_id=order.id,
        payment_id=order.payment_id,
        amount=str(sum_),
    )
    return row


async def start_refund(
    database: Database, provider: RefundingProvider, id_: RefundId, now: datetime
) -> RefundRow:
    """Ask the provider for the refund; return it with the provider's id, if it is still wanted.

    Safe to repeat and to run twice at once: the same key and bytes bring the same refund.

    Raises:
        ProviderUnavailable: the outcome is unknown; the poller asks again.
        ProviderRefused: nothing was given back. The refund is canceled, unless another request
            under its key may have made it.
    """
    async with database.shared() as conn:
        row = await store.get_refund(conn, id_, lock=True)
        if row.refund_id or not row.is_open or not row.key_lives_at(now):
            return row
        await store.mark_refund_requested(conn, row.id, now)
    body, key = row.request_body or "", row.idempotence_key or ""
    try:
        refund = await provider.create_refund(body.encode(), key)
    except ProviderRefused as error:
        await _note_refusal(database, row, now, settles_key=error.settles_key)
        raise
    async with database.shared() as conn:
        await _store_id(conn, row, refund)
    return replace(row, refund_id=refund.id)


async def _note_refusal(
    database: Database, row: RefundRow, now: datetime, *, settles_key: bool
) -> None:
    """End a refund, once no request under its key can have made it."""
    async with database.shared() as conn:
        order = await orders.get(conn, row.order_id, lock=True)
        left = await store.count_refund_refusal(conn, row.id)
        if left is not None and (left == 0 or settles_key):
            await cancel_refund(conn, order, row, "refused", now)


async def _store_id(conn: SharedConnection, row: RefundRow, refund: Refund) -> None:
    """Store the id of the refund that our request has made. Repeating changes nothing."""
    if not await store.set_refund_id(conn, row.id, refund.id):
        return
    await journal.record(
        conn, "refund.created", refund.id, order_id=row.order_id, amount=str(row.amount)
    )
    if refund.succeeded or refund.canceled:
        await enqueue(conn, SettleRefund(refund.id, via="request"))


async def poll_refund(
    database: Database,
    provider: RefundingProvider,
    settings: Settings,
    id_: RefundId,
    now: datetime,
) -> None:
    """Ask after one refund until it is final, at the intervals of rule 7."""
    row = await _arrange_next(database, id_, now)
    if row is None:
        return
    try:
        refund_id = row.refund_id or await _find_refund(database, provider, row, now)
        if refund_id is not None:
            await settle_refund(database, provider, settings, refund_id, now, via="poller")
    except Passing as error:
        log.info("poll_without_result", refund=id_, reason=error.code)


async def _arrange_next(database: Database, id_: RefundId, now: datetime) -> RefundRow | None:
    async with database.shared() as conn:
        row = await store.get_refund(conn, id_, lock=True)
        if not row.is_open:
            await unschedule(conn, PollRefund, subject=id_)
            return None
        polls = await store.count_refund_poll(conn, id_)
        await schedule(conn, PollRefund(id_), at=now + poll_interval(polls), subject=id_)
        return row


async def _find_refund(
    database: Database, provider: RefundingProvider, row: RefundRow, now: datetime
) -> str | None:
    """Find out what became of a request whose answer never came; return its refund's id.

    Repeated after 24 h it would give the money back twice, so then the provider's list is searched.
    """
    if row.key_lives_at(now):
        try:
            return (await start_refund(database, provider, row.id, now)).refund_id
        except ProviderRefused:
            return None
    async with database.shared() as conn:
        order = await orders.get(conn, row.order_id)
    since = (row.requested_at or now) - SEARCH_BEFORE
    until = (row.requested_at or now) + SEARCH_AFTER
    async for refund in provider.list_refunds(since, until, order.payment_id):
        async with database.shared() as conn:
            if refund.amount == row.amount and await store.find_refund(conn, refund.id) is None:
                await _store_id(conn, row, refund)
                return refund.id
    async with database.shared() as conn:
        order = await orders.get(conn, row.order_id, lock=True)
        await store.mark_refund_review(conn, row.id)
        await unschedule(conn, PollRefund, subject=row.id)
        await review(conn, Reason.REFUND_UNKNOWN, payment_id=order.payment_id, order_id=order.id)
    return None
