"""The only way a refund takes effect: read it, prove it, take back once.

The operator's command, the notification (of one given in the cabinet, too), the poller and the
daily sweep all come here. As in `settle`, the provider is asked while no transaction is open; then
one transaction counts the money, shrinks what was granted, and has the buyer told.
"""

import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.errors import Busy
from zapisano.jobs import enqueue, unschedule
from zapisano.payments import auto_methods, methods
from zapisano.payments import store as orders
from zapisano.payments.jobs import OrderRefunded, PollRefund
from zapisano.payments.model import (
    CURRENCY,
    AnyOrder,
    CreditsOrder,
    PlanOrder,
    ProviderName,
    Reason,
)
from zapisano.payments.provider import Refund, RefundingProvider, UnknownRefund
from zapisano.payments.refund_model import (
    RefundId,
    RefundRow,
    RefundSource,
    RefundStatus,
    Taken,
)
from zapisano.payments.settle import review, settle
from zapisano.payments.shrinking import shrink
from zapisano.payments.store import refunds as store
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")


class RefundOutcome(StrEnum):
    """What it has come to; also kept with the notifications it has handled."""

    REFUNDED = "refunded"
    CANCELED = "canceled"
    WAITING = "waiting"
    REVIEW = "review"
    UNKNOWN = "unknown"


async def settle_refund(
    database: Database,
    provider: RefundingProvider,
    settings: Settings,
    refund_id: str,
    now: datetime,
    via: str = "notification",
) -> RefundOutcome:
    """Do what the refund's state asks for; `refund_id` is the provider's. Repeating is harmless.

    A refund may be told of before its payment is: then the payment is settled first, so that what
    is taken was given before.

    Raises:
        ProviderUnavailable: ask again later; a notification's word is never taken instead.
        Busy: what it needs is not there yet: its end, its payment's, or our own request's answer.
    """
    try:
        refund = await provider.get_refund(refund_id)
    except UnknownRefund:
        return await _unknown(database, refund_id, now)
    if not (refund.succeeded or refund.canceled):
        return await _waiting(database, refund_id)
    if refund.succeeded and not await _is_payment_final(database, refund.payment_id):
        await settle(database, provider, settings, refund.payment_id, now, via)
    async with database.shared() as conn:
        outcome = await _finish(conn, settings, refund, now, via)
        await store.close_refund_notices(conn, refund_id, outcome, now)
    log.info("refund_settled", refund=refund_id, outcome=outcome, via=via)
    return outcome


async def _unknown(database: Database, refund_id: str, now: datetime) -> RefundOutcome:
    """Somebody spoke of a refund that our shop does not have: most likely a forgery."""
    async with database.shared() as conn:
        await review(conn, Reason.UNKNOWN_REFUND, payment_id=refund_id, order_id=None)
        await store.close_refund_notices(conn, refund_id, RefundOutcome.UNKNOWN, now)
    return RefundOutcome.UNKNOWN


async def _waiting(database: Database, refund_id: str) -> RefundOutcome:
    async with database.shared() as conn:
        told_otherwise = await store.has_open_refund_notices(conn, refund_id)
    if told_otherwise:
        raise Busy(f"The refund {refund_id} is not final yet.")
    return RefundOutcome.WAITING


async def _is_payment_final(database: Database, payment_id: str) -> bool:
    """Say whether an order of ours knows already what became of this payment."""
    async with database.shared() as conn:
        order_id = await orders.find_by_payment(conn, payment_id)
        return order_id is not None and not (await orders.get(conn, order_id)).is_open


async def _finish(
    conn: SharedConnection, settings: Settings, refund: Refund, now: datetime, via: str
) -> RefundOutcome:
    order_id = await orders.find_by_payment(conn, refund.payment_id)
    if order_id is None:  # a stranger's: what there is to say of its payment, `settle` has said
        return RefundOutcome.REVIEW
    order = await orders.get(conn, order_id, lock=True)
    if order.is_open:
        raise Busy(f"The payment of order {order.id} is not settled yet.")
    row = await _row_of(conn, order, refund, now)
    if refund.canceled:
        return await _canceled(conn, order, row, refund, now)
    if row is not None and row.status is RefundStatus.SUCCEEDED:
        return RefundOutcome.REFUNDED
    if (reason := _mismatch(order, row, refund)) is not None:
        return await _distrust(conn, reason, order, row)
    await take_effect(
        conn, settings, order, row or await _of_cabinet(conn, order, refund, now), now, via
    )
    return RefundOutcome.REFUNDED


async def _row_of(
    conn: SharedConnection, order: AnyOrder, refund: Refund, now: datetime
) -> RefundRow | None:
    """Return what we keep of a refund, if anything; the order is locked.

    A request of ours that has not been answered may have made it: then its answer, or the poller's
    repetition, brings the id. One whose outcome nobody could find out has made it now.
    """
    if (row := await store.find_refund(conn, refund.id)) is not None:
        return row
    nameless = [one for one in await store.refunds_of(conn, order.id) if one.refund_id is None]
    if any(one.is_open and one.requested_at is not None for one in nameless):
        raise Busy(f"A request for a refund of order {order.id} is not answered yet.")
    for one in nameless:
        if one.status is RefundStatus.REVIEW and one.amount == refund.amount:
            await store.set_refund_id(conn, one.id, refund.id)
            await orders.close_reviews(conn, refund.payment_id, now)
            return replace(one, refund_id=refund.id)
    return None


def _mismatch(order: AnyOrder, row: RefundRow | None, refund: Refund) -> Reason | None:
    """Return the first reason why a refund cannot be counted as it is told, or None."""
    proofs = (
        (refund.currency == CURRENCY, Reason.CURRENCY),
        (refund.amount is not None and refund.amount > 0, Reason.REFUND_AMOUNT),
        (row is None or row.amount == refund.amount, Reason.REFUND_AMOUNT),
        (order.refunded + (refund.amount or 0) <= order.amount, Reason.REFUND_TOO_MUCH),
    )
    return next((reason for holds, reason in proofs if not holds), None)


async def _of_cabinet(
    conn: SharedConnection, order: AnyOrder, refund: Refund, now: datetime
) -> RefundRow:
    """Keep a refund that nobody has asked us for."""
    row = RefundRow(
        id=RefundId(str(uuid.uuid4())),
        order_id=order.id,
        amount=refund.amount or Decimal(0),
        source=RefundSource.CABINET,
        status=RefundStatus.PENDING,
        refund_id=refund.id,
        created_at=now,
    )
    await store.insert_refund(conn, row)
    return row


async def take_effect(
    conn: SharedConnection,
    settings: Settings,
    order: AnyOrder,
    row: RefundRow,
    now: datetime,
    via: str,
) -> None:
    """Count the money and take back what it had bought: once, because the order is locked."""
    ended_autopay = False
    if order.refunded + row.amount == order.amount:
        # All has gone back, so nothing about the payment is left to decide.
        await orders.close_reviews(conn, str(order.payment_id), now)
        if isinstance(order, PlanOrder) and order.tenant_id:  # who gives all back wants no more
            ended_autopay = await methods.end(
                conn, order.tenant_id, "refunded", by=row.source, now=now
            )
        elif isinstance(order, CreditsOrder):
            await auto_methods.refunded(conn, order, by=row.source, now=now)
    taken, reason = await shrink(conn, settings, order, row, now)
    await store.mark_refund_succeeded(conn, row, taken, now)
    await _note(conn, order, row, taken, via)
    if reason is not None:
        await review(conn, reason, payment_id=order.payment_id, order_id=order.id)
    await unschedule(conn, PollRefund, subject=row.id)
    if isinstance(order, PlanOrder) and order.provider is not ProviderName.STARS:
        # Of Stars Telegram tells by itself.
        await enqueue(conn, OrderRefunded(row.id, ended_autopay))


async def _note(
    conn: SharedConnection, order: AnyOrder, row: RefundRow, taken: Taken, via: str
) -> None:
    tenant = order.tenant_id if isinstance(order, PlanOrder) else None
    went = (
        {"days": taken.days}
        if isinstance(order, PlanOrder)
        else {"credits": str(taken.credits), "credits_due": str(taken.credits_due)}
    )
    await journal.record(
        conn,
        "refund.succeeded",
        str(row.refund_id),
        tenant=tenant,
        by=row.source,
        order_id=order.id,
        payment_id=order.payment_id,
        amount=str(row.amount),
        before=str(order.refunded),
        after=str(order.refunded + row.amount),
        **went,
        via=via,
    )


async def _canceled(
    conn: SharedConnection, order: AnyOrder, row: RefundRow | None, refund: Refund, now: datetime
) -> RefundOutcome:
    """The money stays. No event tells so: whoever has asked finds it before a person."""
    if row is None or row.status is RefundStatus.CANCELED:
        return RefundOutcome.CANCELED
    if row.status is RefundStatus.SUCCEEDED:
        return await _distrust(conn, Reason.REFUND_AFTER_SUCCESS, order, row)
    await cancel_refund(conn, order, row, refund.cancel_reason or "unknown", now)
    return RefundOutcome.CANCELED


async def cancel_refund(
    conn: SharedConnection, order: AnyOrder, row: RefundRow, reason: str, now: datetime
) -> None:
    """Write that a refund of ours has come to nothing, and put that before a person."""
    await drop_refund(conn, order, row, reason, now)
    await review(conn, Reason.REFUND_CANCELED, payment_id=order.payment_id, order_id=order.id)


async def drop_refund(
    conn: SharedConnection, order: AnyOrder, row: RefundRow, reason: str, now: datetime
) -> None:
    """Write that a refund of ours has come to nothing: its sum may be given back anew."""
    await store.mark_refund_canceled(conn, row.id, reason, now)
    await unschedule(conn, PollRefund, subject=row.id)
    await journal.record(
        conn,
        "refund.canceled",
        row.refund_id or row.id,
        tenant=order.tenant_id if isinstance(order, PlanOrder) else None,
        by="provider",
        order_id=order.id,
        payment_id=order.payment_id,
        amount=str(row.amount),
        reason=reason,
    )


async def _distrust(
    conn: SharedConnection, reason: Reason, order: AnyOrder, row: RefundRow | None
) -> RefundOutcome:
    """Take nothing and put it before a person."""
    if row is not None:
        await store.mark_refund_review(conn, row.id)
        await unschedule(conn, PollRefund, subject=row.id)
    await review(conn, reason, payment_id=order.payment_id, order_id=order.id)
    return RefundOutcome.REVIEW
