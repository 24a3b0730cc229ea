"""What support does for people: days, another owner, a message once more."""

import re
import uuid

from zapisano import journal, subscriptions, tenancy
from zapisano.clock import utc_now
from zapisano.db import Database, SharedConnection
from zapisano.db.names import tenant_schema
from zapisano.errors import Conflict, Refused
from zapisano.jobs import Job, enqueue
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.payments import OrderCanceled, OrderPaid, OrderWaits, PlanOrder, Status, methods
from zapisano.payments import store as orders
from zapisano.payments.charges import NOT_WANTED, is_of_period
from zapisano.payments.jobs import AutopayEnded, ChargeDeclined, OrderRefunded
from zapisano.payments.model import ProviderName, read_order_id
from zapisano.payments.store.refunds import refunds_of
from zapisano.settings import Settings
from zapisano.subscriptions import DaysGiven, Gift, Grant, Reason
from zapisano.tenancy import State, Tenant, TenantId, WrongState
from zapisano.tenancy import store as tenants

MAX_WHY = 200  # characters
DATE = re.compile(r"\b(\d{4}-\d{2}-\d{2}|\d{1,2}\.\d{2}\.\d{4})\b")
BETWEEN = re.compile(r"[\s().+\u2010-\u2015-]+")  # the digits of a phone number
PERSONAL = re.compile(r"@|\d{7}")


async def add_days(settings: Settings, name: str, days: int, *, why: str, who: str) -> None:
    """Give a tenant days, and tell its owner.

    Raises:
        UnknownTenant, WrongState: there is no such tenant, or it is archived.
        Refused: the reason is too long, or speaks of a person.
    """
    tenant = TenantId(tenant_schema(name))
    if not 1 <= len(why) <= MAX_WHY:
        raise Refused(f"why: must have 1 to {MAX_WHY} characters")
    if is_personal(why):
        raise Refused(
            "why: stays in the history for ever, so no phone number, e-mail or @name; "
            "say what happened, as in “two days offline”"
        )
    async with opened(settings) as database, database.shared() as conn:
        found = await tenants.get(conn, tenant, lock=True)
        if found.state is State.ARCHIVED:
            raise WrongState(f"{tenant} is archived: zapisano tenants restore {tenant}")
        before = await subscriptions.find(conn, tenant)
        plan = before.plan if before else next(iter(settings.plans))
        grant = Grant(f"support:{uuid.uuid4()}", days, Reason.SUPPORT, by=who)
        paid = await subscriptions.give(conn, tenant, grant, plan=plan, now=utc_now())
        await journal.record(conn, "support.days_added", tenant, tenant=tenant, by=who, why=why)
        await enqueue(conn, DaysGiven(tenant, days, Gift.SUPPORT))
    screen.say(f"{tenant} is paid until {paid.paid_until:%Y-%m-%d %H:%M} UTC.")
    if before is None:
        screen.note("Its time was not counted before; now it is, and ends then.")


def is_personal(text: str) -> bool:
    """Say whether a text seems to hold an address, a name of Telegram's, or a phone number."""
    return PERSONAL.search(BETWEEN.sub("", DATE.sub("d", text))) is not None


async def move(settings: Settings, name: str, to: int, *, who: str, ask: bool = True) -> None:
    """Give a tenant to another person, once that is agreed to; a saved way to pay is ended.

    Raises:
        UnknownTenant: there is no such tenant.
        Refused: it is no Telegram id.
        Conflict: the tenant is this person's already.
    """
    tenant = TenantId(tenant_schema(name))
    if not 0 < to < tenancy.TELEGRAM_IDS_END:
        raise Refused("to: is a Telegram id, a number above zero and below 2^52")
    async with opened(settings) as database:
        async with database.shared() as conn:
            before = await tenants.get(conn, tenant)
        if ask and before.owner_id != to and not _agreed(before, to):
            screen.note("Nothing was changed.")
            return
        ended = await hand_over(database, tenant, to, who=who)
        async with database.shared() as conn:
            one = await tenants.overview(conn, tenant)
    screen.say(f"{tenant} is {to}'s now; it was {before.owner_id}'s.")
    if ended:
        screen.note("The former owner's saved card is not charged any more.")
    if one.bot_managed:
        screen.note(
            f"In Telegram @{one.bot_username} stays with whoever has made it: only that person "
            "can hand the bot itself over, in @BotFather."
        )
    screen.note("The new owner is told by the sales bot, once it was started there.")


def _agreed(tenant: Tenant, to: int) -> bool:
    return screen.agreed(
        f"{tenant.id} ({tenant.name}) with its clients and bookings goes from {tenant.owner_id} "
        f"to {to}.\nMove it?",
        otherwise="tenants move: gives a business with its clients to another person and asks "
        "before; where nobody can be asked, add --yes",
    )


async def hand_over(database: Database, tenant: TenantId, to: int, *, who: str) -> bool:
    """Write the new owner in one transaction; say whether a saved method has ended by it.

    Raises:
        UnknownTenant, Conflict: as `move`.
    """
    async with database.shared() as conn:
        before = await tenants.get(conn, tenant, lock=True)
        if before.owner_id == to:
            raise Conflict(f"{tenant} is {to}'s already.")
        await tenants.set_owner(conn, tenant, to)
        ended = await methods.end(conn, tenant, "moved", by=who, now=utc_now())
        await journal.record(
            conn,
            "tenant.moved",
            tenant,
            tenant=tenant,
            by=who,
            before=before.owner_id,
            after=to,
            method_ended=ended,
        )
        await enqueue(conn, tenancy.TenantMoved(tenant, to))
    return ended


async def resend(settings: Settings, text: str, *, who: str) -> None:
    """Send an order's last message once more.

    Raises:
        UnknownOrder: there is no such order of a plan.
        Conflict: nothing was said of it, or what was said is over; the detail says why.
    """
    async with opened(settings) as database, database.shared() as conn:
        order = await orders.get_plan_order(conn, read_order_id(text) or str(uuid.UUID(int=0)))
        await enqueue(conn, await _message(conn, order))
        await journal.record(
            conn, "order.resent", order.id, tenant=order.tenant_id, order_id=order.id, by=who
        )
    state = "refunded" if order.refunded else order.status
    screen.say(f"The buyer of {order.id} is told again that it is {state}.")


async def _message(conn: SharedConnection, order: PlanOrder) -> Job:
    """Return the job that says what was said last."""
    if order.charge_key and order.status not in {Status.PAID, Status.REVIEW}:
        return await _message_of_charge(conn, order)
    match order.status:
        case Status.CREATED | Status.PENDING:
            # Stars are paid in the chat, from the screen of the order in roubles.
            return OrderWaits(order.instead_of or order.id)
        case Status.CANCELED:
            newest = await orders.newest(conn, order.id)
            if newest.is_open:
                return OrderWaits(newest.id)
            return OrderCanceled(order.id, order.cancel_reason or "unknown")
        case Status.PAID if order.refunded and order.provider is ProviderName.STARS:
            raise Conflict("These Stars went back: Telegram itself has told the buyer.")
        case Status.PAID if order.refunded:
            went = [one for one in await refunds_of(conn, order.id) if one.refund_id]
            return OrderRefunded(went[-1].id)
        case Status.PAID:
            assert order.tenant_id is not None  # noqa: S101 # a constraint of the table
            return OrderPaid(order.id, order.tenant_id, is_new=False)
        case Status.REVIEW:
            raise Conflict("A person has to look at this order first: it is under review.")


async def _message_of_charge(conn: SharedConnection, order: PlanOrder) -> Job:
    """Return what was said of a charge that has brought no money, if that still holds."""
    newest = await orders.newest(conn, order.id)
    if newest.id != order.id and newest.is_open:
        return OrderWaits(newest.id)
    if order.status is not Status.CANCELED:
        raise Conflict("This charge is under way: its owner is told when the bank has answered.")
    reason, tenant = order.cancel_reason or "unknown", TenantId(order.tenant_id or "")
    if reason == NOT_WANTED:
        raise Conflict("This charge was dropped before anybody was charged: nothing was said.")
    if not is_of_period(order, await subscriptions.get(conn, tenant)):
        raise Conflict("What this charge was for is paid by now: nothing is left to say.")
    if reason not in methods.DEAD:
        return ChargeDeclined(order.id, reason)
    if await methods.find(conn, tenant) is not None:
        raise Conflict("Another card was left meanwhile: nothing is left to say of the old one.")
    return AutopayEnded(tenant, reason)
