"""The saved method of an account of credits: kept as agreed, waiting after a decline, ended.

Locks are taken in one order: of an order that nobody has asked the provider for yet, its method
first; of one with a payment, the order first. No order is both at once.
"""

from datetime import datetime

from zapisano import journal
from zapisano.credits.model import fold
from zapisano.credits.store import alerts
from zapisano.db import SharedConnection
from zapisano.db.ledger import is_installed
from zapisano.payments import store
from zapisano.payments.auto_model import AutoMethod, pause_after
from zapisano.payments.declines import REFUSED
from zapisano.payments.methods import DEAD
from zapisano.payments.model import AutoTerms, CreditsOrder, OrderClosed, OrderId
from zapisano.payments.provider import Payment
from zapisano.payments.request import agreed
from zapisano.payments.store import auto_topup as methods
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")

DECLINED, ENDED = "auto_topup.declined", "auto_topup.ended"
# Why nobody has to be told that it is over: whoever has ended it knows.
KNOWN = frozenset({"owner", "replaced"})


async def newest(conn: SharedConnection, email: str) -> AutoMethod | None:
    """Return how an account is topped up by itself, or last was, or None."""
    return await methods.newest(conn, fold(email))


async def paid(
    conn: SharedConnection, order: CreditsOrder, payment: Payment, now: datetime
) -> None:
    """Let a paid order take effect: a charge ends the waiting, a consent keeps the method."""
    if order.charge_key:
        if (method := await methods.active_of_order(conn, order.id)) is not None:
            await methods.note_success(conn, method, now)
        return
    terms, method = agreed(order), payment.method
    if not (order.saves_method and isinstance(terms, AutoTerms) and method and method.saved):
        return
    await end(conn, order.email, "replaced", by="payment", now=now)
    saved = AutoMethod(
        id=0,  # the table counts
        email=fold(order.email),
        method_id=method.id,
        title=method.title,
        last4=method.last4,
        order_id=order.id,
        terms=terms,
        receipt_contact=order.receipt_contact,
        next_at=now,
        declines=0,
        declined_for=None,
        ended_for=None,
    )
    if await methods.insert(conn, saved, now):
        await journal.record(
            conn,
            "auto_topup.saved",
            order.id,
            by="payer",
            order_id=order.id,
            below=str(terms.below),
            amount=str(terms.amount),
            per_day=terms.per_day,
        )


async def end(conn: SharedConnection, email: str, why: str, *, by: str, now: datetime) -> bool:
    """Forget how to charge an account, at once and for good; say whether there was anything.

    A charge that the provider was asked for before goes its way.
    """
    before = await methods.newest(conn, fold(email))
    ended = await methods.end(conn, fold(email), why, now)
    if before is None or ended is None:
        return False
    await journal.record(conn, ENDED, ended, by=by, order_id=ended, before="active", reason=why)
    if why not in KNOWN:
        await _tell(conn, before, ENDED, why, None, now)
    return True


async def declined(conn: SharedConnection, order: CreditsOrder, reason: str, now: datetime) -> None:
    """Wait after a charge that brought no money, each time twice as long; tell of the first.

    A method that is dead is forgotten. One that has ended meanwhile is nobody's affair.
    """
    await store.forget_charged(conn, order.id)
    found = await methods.active_of_order(conn, order.id)
    method = await methods.lock(conn, found) if found is not None else None
    if method is None:
        return
    if reason == REFUSED:
        log.error(
            "auto_topup_refused", order=order.id, remedy="ask YooKassa for recurring payments"
        )
    if reason in DEAD:
        await end(conn, method.email, reason, by="provider", now=now)
        return
    next_at = now + pause_after(method.declines + 1)
    await methods.note_decline(conn, method.id, reason, next_at)
    await journal.record(
        conn,
        DECLINED,
        method.order_id,
        order_id=order.id,
        reason=reason,
        declines=method.declines + 1,
        next_at=next_at.isoformat(),
    )
    if method.declines == 0:
        await _tell(conn, method, DECLINED, reason, next_at, now)


async def refunded(conn: SharedConnection, order: CreditsOrder, *, by: str, now: datetime) -> None:
    """Who gets all the money of a consent or of a charge back wants no more charges."""
    if await methods.active_of_order(conn, order.id) is not None:
        await end(conn, order.email, "refunded", by=by, now=now)


async def hold(conn: SharedConnection, order_id: OrderId) -> None:
    """Keep the method of a charge that is about to be asked for, until that is written down.

    A charge that was asked for before is only repeated, and so needs no lock.

    Raises:
        OrderClosed: the method was ended before.
    """
    order = await store.get(conn, order_id)
    is_charge = isinstance(order, CreditsOrder) and order.charge_key is not None
    if not is_charge or order.payment_id is not None:
        return
    method = await methods.active_of_order(conn, order_id)
    is_repeated = order.requested_at is not None
    if method is None or not (is_repeated or await methods.hold(conn, method)):
        raise OrderClosed


async def _tell(
    conn: SharedConnection,
    method: AutoMethod,
    kind: str,
    reason: str,
    next_at: datetime | None,
    now: datetime,
) -> None:
    """Have the app's server told, so that it can tell its user."""
    if await is_installed(conn):
        told = alerts.Told(kind, method.terms.amount, reason, next_at)
        await alerts.tell(conn, method.email, method.terms.below, told, now)
