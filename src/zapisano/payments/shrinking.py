"""What goes back with the money: days not used yet, credits not spent yet.

The rule is in docs/decisions/0013-refunds.md, its arithmetic in `refund_model`.
"""

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from zapisano import subscriptions
from zapisano.credits import ledger
from zapisano.credits.model import AccountFrozen, Insufficient, Item, Rules, Verb, own_key
from zapisano.db import SharedConnection
from zapisano.db.ledger import is_installed
from zapisano.payments.model import AnyOrder, CreditsOrder, PlanOrder, Reason, Status
from zapisano.payments.refund_model import RefundRow, Taken, credits_due, days_due, unused_days
from zapisano.payments.store import refunds as store
from zapisano.settings import Settings
from zapisano.subscriptions import Grant
from zapisano.subscriptions import Reason as Why
from zapisano.tenancy import store as tenants

OPERATION = "Refund of a top-up"
NOTHING = Decimal("0.00")


async def shrink(
    conn: SharedConnection, settings: Settings, order: AnyOrder, refund: RefundRow, now: datetime
) -> tuple[Taken, Reason | None]:
    """Take back what the refunded share of a locked order had given; say what a person must see.

    An order that was never granted gives nothing back. The tenant's state does not matter: what is
    taken from one that is archived is missing when it is restored, and that is right.
    """
    if order.status is not Status.PAID:
        return Taken(), None
    match order:
        case PlanOrder():
            days = await days_to_take(conn, order, refund.amount, now)
            if days and order.tenant_id:
                source = f"refund:{refund.id}"
                grant = Grant(source, -days, Why.REFUND, by=refund.source)
                await subscriptions.take(conn, order.tenant_id, grant, now)
            return Taken(days=days), None
        case CreditsOrder():
            return await _take_credits(conn, settings, order, refund, now)


async def days_to_take(
    conn: SharedConnection, order: PlanOrder, amount: Decimal, now: datetime
) -> int:
    """Return how many days go when `amount` of a paid order goes back now; locks the tenant."""
    if order.status is not Status.PAID or order.tenant_id is None or order.payment_id is None:
        return 0
    await tenants.get(conn, order.tenant_id, lock=True)
    paid = await subscriptions.find(conn, order.tenant_id)
    if paid is None:
        return 0
    given = await subscriptions.days_given(conn, order.tenant_id)
    taken = await store.days_taken(conn, order.tenant_id)
    unused = unused_days(given, taken, order.payment_id, paid.paid_until - now)
    due = days_due(order.days, order.amount, order.refunded + amount)
    return max(0, min(due - taken.get(order.payment_id, 0), unused))


async def credits_to_take(conn: SharedConnection, order: CreditsOrder, amount: Decimal) -> Decimal:
    """Return how many credits go back with `amount`, whether they are there or not."""
    if order.status is not Status.PAID:
        return NOTHING
    due = credits_due(order.credits, order.amount, order.refunded + amount)
    return due - sum((one.credits_due for one in await store.refunds_of(conn, order.id)), NOTHING)


async def _take_credits(
    conn: SharedConnection,
    settings: Settings,
    order: CreditsOrder,
    refund: RefundRow,
    now: datetime,
) -> tuple[Taken, Reason | None]:
    due = await credits_to_take(conn, order, refund.amount)
    if due <= 0:
        return Taken(), None
    if not await is_installed(conn):
        return Taken(credits_due=due), Reason.NO_LEDGER
    try:
        taken = await _take_what_is_there(conn, settings, order, refund, due, now)
    except AccountFrozen:
        return Taken(credits_due=due), Reason.FROZEN
    reason = None if taken == due else Reason.CREDITS_SPENT
    return Taken(credits_due=due, credits=taken), reason


async def _take_what_is_there(
    conn: SharedConnection,
    settings: Settings,
    order: CreditsOrder,
    refund: RefundRow,
    due: Decimal,
    now: datetime,
) -> Decimal:
    """Take credits, but never lead an account below zero; return how many."""
    rules = replace(Rules.of(settings), floor=NOTHING)
    wanted = due
    while wanted > 0:
        item = Item(
            order.email,
            Verb.ADJUST,
            amount=-wanted,
            operation=OPERATION,
            metadata=json.dumps(
                {"order": order.id, "refund": refund.refund_id, "roubles": str(refund.amount)}
            ),
            key=own_key("refund", refund.refund_id),
        )
        try:
            return -(await ledger.post(conn, rules, item, now)).amount
        except Insufficient as short:  # and nothing was moved
            wanted = min(wanted, max(short.balance, NOTHING))
    return NOTHING
