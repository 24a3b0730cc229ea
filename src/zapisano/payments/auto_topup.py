"""Auto top-up: charging a saved method when an account of credits runs low, as its holder agreed.

A sweep finds the accounts; each is charged by a job of its own. One order per charge, none while
other money may be on its way, and its request is committed before the provider is asked. What the
answer means is settled like every other payment's.
"""

import hmac
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from zapisano import journal
from zapisano.credits.model import LARGEST
from zapisano.db import Database, SharedConnection
from zapisano.db.ledger import is_installed
from zapisano.errors import Conflict, Refused
from zapisano.jobs import enqueue, schedule
from zapisano.payments import store
from zapisano.payments.account import account_of
from zapisano.payments.auto_model import AutoMethod, day_start
from zapisano.payments.checkout import credits_order, keep, start_payment
from zapisano.payments.jobs import AutoTopup, FindLow
from zapisano.payments.model import CreditsOrder, OrderClosed, OrderId
from zapisano.payments.provider import Provider, ProviderRefused
from zapisano.payments.request import request_body
from zapisano.payments.store import auto_topup as methods
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")

# Where nothing can be charged, the worker only looks whether that has changed.
LOOK_AGAIN = timedelta(minutes=1)
# An account that was found is not found again before, whatever became of it.
CLAIMED_FOR = timedelta(minutes=1)
# What is above it waits for the next time, which is soon.
MOST_AT_ONCE = 200
# An order that was never asked for, because a process died, is not asked for much later.
FRESH = timedelta(minutes=10)
NOT_WANTED = "not wanted any more"


async def find_low(database: Database, settings: Settings, job: FindLow, now: datetime) -> None:
    """Have every account that has run low charged, and come again. Safe to run twice at once."""
    is_on = _is_on(settings)
    async with database.shared() as conn:
        pause = timedelta(seconds=settings.credits_auto_topup_seconds) if is_on else LOOK_AGAIN
        await schedule(conn, job, at=now + pause, subject="")
    if not is_on:
        return
    async with database.shared() as conn:
        if not await is_installed(conn):
            return
        day = day_start(now, settings.time_zone)
        until = now + CLAIMED_FOR
        for method in await methods.claim(conn, now, day=day, until=until, limit=MOST_AT_ONCE):
            await enqueue(conn, AutoTopup(method))


def _is_on(settings: Settings) -> bool:
    has_shop = settings.yookassa_shop_id and settings.yookassa_secret_key.get_secret_value()
    return bool(has_shop) and settings.yookassa_autopay


async def charge(
    database: Database, provider: Provider, settings: Settings, method: int, now: datetime
) -> None:
    """Charge a method once, if its account still needs it.

    Raises:
        ProviderUnavailable: the outcome is unknown; the poller asks after it.
    """
    async with database.shared() as conn:
        order_id = await prepare(conn, settings, method, now)
    if order_id is None:
        return
    try:
        await start_payment(database, provider, order_id, now)
    except (OrderClosed, ProviderRefused) as error:
        log.info("auto_topup_not_made", order=order_id, reason=error.code)


async def prepare(
    conn: SharedConnection, settings: Settings, method_row: int, now: datetime
) -> OrderId | None:
    """Return the order to ask the provider for, or None where nothing is to be charged now."""
    method = await methods.lock(conn, method_row)
    if method is None:
        return None
    made = await methods.open_charge(conn, method.email)
    order = await store.get_credits_order(conn, made) if made else None
    if order is not None and order.requested_at is not None:
        return None  # it has its answer, or the poller asks for it
    is_due = await _is_due(conn, settings, method, now)
    if order is not None:
        is_ours = order.method_id == method.method_id and now - order.created_at < FRESH
        if is_due and is_ours:
            return order.id
        await store.drop_charge(conn, order.id, NOT_WANTED)
    return await _order(conn, settings, method, now) if is_due else None


async def _is_due(
    conn: SharedConnection, settings: Settings, method: AutoMethod, now: datetime
) -> bool:
    """Say whether the account is to be charged now.

    The balance is read last: credits that have come since the orders were looked at are in it.
    """
    if not _is_on(settings) or now < method.next_at:
        return False
    day = day_start(now, settings.time_zone)
    if await methods.charges_since(conn, method.email, day) >= method.terms.per_day:
        return False
    if await methods.is_in_the_way(conn, method.email):
        return False
    try:
        account = await account_of(conn, settings, method.email, now)
    except Conflict as error:  # it is frozen, or there is no ledger
        log.info("auto_topup_put_off", method=method.id, reason=error.code)
        return False
    return account.balance < method.terms.below


async def _order(
    conn: SharedConnection, settings: Settings, method: AutoMethod, now: datetime
) -> OrderId | None:
    """Keep the order of one charge, unless the account could not take its credits."""
    try:
        order = _charge_order(settings, method, await methods.count_charge(conn, method.id), now)
    except Refused as error:  # at today's rate the sum buys nothing
        log.info("auto_topup_put_off", method=method.id, reason=error.code)
        return None
    account = await account_of(conn, settings, method.email, now)
    if account.balance + account.held + order.credits > LARGEST or not await keep(conn, order):
        log.info("auto_topup_put_off", method=method.id, reason="too_much")
        return None
    await journal.record(
        conn,
        "auto_topup.charged",
        method.order_id,
        by="system",
        order_id=order.id,
        amount=str(order.amount),
    )
    return order.id


def _charge_order(
    settings: Settings, method: AutoMethod, number: int, now: datetime
) -> CreditsOrder:
    """Make the order of a method's n-th charge, of the sum that was agreed to.

    As of a plan's charge, all of it follows from the method, the number and the secret key: a
    database restored from yesterday's copy asks the same. An order's id is the key to its page.
    """
    key = f"topup:{method.id}:{number}"
    secret = settings.secret_key.get_secret_value().encode()
    digest = hmac.digest(secret, f"charge {key} {method.order_id}".encode(), "sha256")
    order_id = OrderId(str(UUID(bytes=digest[:16], version=4)))
    order = credits_order(
        settings, email=method.email, amount=method.terms.amount, language="ru", now=now
    )
    order = replace(
        order,
        id=order_id,
        method_id=method.method_id,
        charge_key=key,
        idempotence_key=f"{key.replace(':', '.')}.{order_id[:8]}",
        receipt_contact=method.receipt_contact or order.receipt_contact,
    )
    return replace(order, request_body=request_body(settings, order))
