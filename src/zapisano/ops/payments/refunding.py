"""`zapisano payments refund`: give money back, having seen what goes with it."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

from zapisano import subscriptions
from zapisano.clock import utc_now
from zapisano.db import Database, SharedConnection
from zapisano.errors import Conflict, Refused
from zapisano.jobs import enqueue
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.payments import (
    AlreadyRefunded,
    AnyOrder,
    CreditsOrder,
    NotPaid,
    PlanOrder,
    ProviderUnavailable,
    RefundOutcome,
    RefundRow,
    Status,
    UnknownOrder,
    YooKassa,
    ask_refund,
    left_to_refund,
    settle_refund,
    start_refund,
)
from zapisano.payments import store as orders
from zapisano.payments.jobs import RefundStars
from zapisano.payments.model import ProviderName, read_order_id
from zapisano.payments.refund_model import refund_amount
from zapisano.payments.shrinking import credits_to_take, days_to_take
from zapisano.payments.store import refunds as store
from zapisano.settings import Settings

SUM = re.compile(r"[0-9]{1,9}(\.[0-9]{1,2})?")


class NothingWentBack(Conflict):
    """The provider has refused or canceled the refund."""

    code, text = "nothing_went_back", "YooKassa has canceled the refund: nothing went back."


@asynccontextmanager
async def shop(settings: Settings) -> AsyncGenerator[YooKassa]:
    """Open the provider for the length of one command.

    Raises:
        BrokenSetting: there is no shop.
    """
    settings.require("yookassa_shop_id", "yookassa_secret_key")
    provider = YooKassa(settings)
    try:
        yield provider
    finally:
        await provider.close()


async def refund(
    settings: Settings, order: str, amount: str, reason: str, *, ask: bool = True
) -> None:
    """Give an order's money back, whole or in part, once a person has agreed to what goes with it.

    Raises:
        UnknownOrder, NotPaid, AlreadyRefunded, RefundTooLarge, Refused: nothing was asked for.
        ProviderRefused, NothingWentBack: nothing went back.
    """
    order_id = read_order_id(order)
    if order_id is None:
        raise UnknownOrder(f"ORDER: {order!r} is no id of an order")
    wanted = read_sum(amount)
    async with opened(settings) as database, database.shared() as conn:
        if (found := await orders.get(conn, order_id)).provider is ProviderName.STARS:
            await _in_stars(conn, found, wanted, ask=ask)
            return
    async with shop(settings) as provider, opened(settings) as database:
        async with database.shared() as conn:
            found = await orders.get(conn, order_id)
            if found.is_open or found.payment_id is None:
                raise NotPaid
            sum_ = refund_amount(wanted, await left_to_refund(conn, found))
            shown = await _what_goes(conn, found, sum_)
        if ask and not _agreed(shown, order_id):
            screen.note("Nothing was given back.")
            return
        async with database.shared() as conn:
            row = await ask_refund(
                conn, order_id, amount=sum_, reason=reason or None, now=utc_now()
            )
        await _go(settings, database, provider, row)


async def _in_stars(
    conn: SharedConnection, order: AnyOrder, wanted: Decimal | None, *, ask: bool
) -> None:
    """Have the worker, which holds the sales bot, give Stars back: Telegram does so whole only."""
    if order.status is not Status.PAID:
        raise NotPaid
    if order.refunded:
        raise AlreadyRefunded
    if wanted not in {None, order.amount}:
        raise Refused("--amount: Telegram gives Stars back whole; leave it out")
    if ask and not _agreed(f"{_bought(order)}: {order.amount:.0f} Stars go back.", order.id):
        screen.note("Nothing was given back.")
        return
    await enqueue(conn, RefundStars(order.id))
    screen.say(f"{order.amount:.0f} Stars are asked for; the worker gives them back.")
    screen.note(f"See: zapisano payments show {order.id}")


def read_sum(text: str) -> Decimal | None:
    """Read what was typed, strictly: `1_0` or `1e2` is likelier a slip than a sum.

    Raises:
        Refused: it is no sum in roubles.
    """
    if text and not SUM.fullmatch(text):
        raise Refused(f"--amount: {text!r} is no sum in roubles, as 100.00")
    return Decimal(text) if text else None


def _agreed(shown: str, order_id: str) -> bool:
    return screen.agreed(
        f"{shown}\nGive it back?",
        otherwise=f"payments refund: gives back the money of {order_id} and asks before; where "
        "nobody can be asked, add --yes",
    )


async def _what_goes(conn: SharedConnection, order: AnyOrder, sum_: Decimal) -> str:
    """Say what was bought, what goes back and what goes with it."""
    before = f", {order.refunded} ₽ of it refunded before" if order.refunded else ""
    lines = [f"{_bought(order)}: {order.amount} ₽{before}.", f"Goes back now: {sum_} ₽."]
    if order.status is not Status.PAID:
        return "\n".join([*lines, f"It was never granted ({order.status}): nothing is taken."])
    match order:
        case PlanOrder():
            days = await days_to_take(conn, order, sum_, utc_now())
            paid = await subscriptions.get(conn, order.tenant_id) if order.tenant_id else None
            until = paid.paid_until - timedelta(days=days) if paid else None
            tail = f" and is then paid until {until:%Y-%m-%d}" if until else ""
            lines.append(f"{order.tenant_id} loses {days} of its {order.days} days{tail}.")
        case CreditsOrder():
            due = await credits_to_take(conn, order, sum_)
            lines.append(f"{due} credits go with it, as far as they are not spent.")
    return "\n".join(lines)


def _bought(order: AnyOrder) -> str:
    match order:
        case PlanOrder():
            return f"{order.company_name}, plan {order.plan}, {order.days} days"
        case CreditsOrder():
            return f"{order.email}, {order.credits} credits"


async def _go(settings: Settings, database: Database, provider: YooKassa, row: RefundRow) -> None:
    """Ask the provider; what it does not say at once is found out by the worker."""
    try:
        started = await start_refund(database, provider, row.id, utc_now())
        outcome = (
            await settle_refund(
                database, provider, settings, started.refund_id, utc_now(), "operator"
            )
            if started.refund_id
            else RefundOutcome.WAITING
        )
    except ProviderUnavailable:
        outcome = RefundOutcome.WAITING
    if outcome is RefundOutcome.WAITING:
        screen.say(f"{row.amount} ₽ are asked for; YooKassa has not said yet that they went back.")
        screen.note("The worker asks again, and tells the buyer. Do not ask for it a second time.")
        return
    if outcome is not RefundOutcome.REFUNDED:
        raise NothingWentBack
    async with database.shared() as conn:
        done = await store.get_refund(conn, row.id)
    screen.say(f"{done.amount} ₽ went back. {_taken(done)}")


def _taken(done: RefundRow) -> str:
    if done.credits_due:
        return f"{done.credits_taken} of {done.credits_due} credits went with it."
    return f"{done.days_taken} days went with it."
