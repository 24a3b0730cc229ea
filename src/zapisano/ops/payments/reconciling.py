"""`zapisano payments reconcile`: compare YooKassa's money with ours, now."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from zapisano.clock import utc_now
from zapisano.db import Database
from zapisano.errors import Conflict, Refused
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.payments.refunding import shop
from zapisano.payments import CreditsOrder, PlanOrder, Report, reconcile
from zapisano.payments import store as orders
from zapisano.payments.reconcile import Healed
from zapisano.payments.store import reconcile as store
from zapisano.settings import Settings

YEARS = (2010, 2099)  # in which money may have moved
DAYS = 3  # that are compared unless some are named


class Differs(Conflict):
    """Something differs; it is before a person."""

    code, text = "differs", "YooKassa and the ledger differ: look at each of these."


async def compare(settings: Settings, since: str, until: str) -> None:
    """Compare the days from `since` to `until`, heal what can be, and list what differs.

    Raises:
        Refused: the days cannot be read.
        Differs: something differs.
    """
    now = utc_now()
    begin = _day(since, "--since", settings) if since else now - timedelta(days=DAYS)
    end = _day(until, "--until", settings) + timedelta(days=1) if until else now
    if begin >= end:
        raise Refused("--since: must not be after --until")
    async with shop(settings) as provider, opened(settings) as database:
        report = await reconcile(database, provider, settings, begin, min(end, now), now)
        came = [await _came_of(database, one) for one in report.settled]
    _show(report, came)
    if report.differences:
        raise Differs


def _day(text: str, option: str, settings: Settings) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{option}: write a day, as 2026-11-30") from None
    if not YEARS[0] <= day.year <= YEARS[1]:
        raise Refused(f"{option}: write a day of the years {YEARS[0]} to {YEARS[1]}")
    return datetime.combine(day, time(), ZoneInfo(settings.time_zone)).astimezone(UTC)


async def _came_of(database: Database, one: Healed) -> tuple[str, ...]:
    """Say what was settled and what came of it."""
    async with database.shared() as conn:
        order = await orders.get(conn, one.order_id)
        found = await store.refunds_by_id(conn, [one.refund_id or ""])
    if one.refund_id:
        sum_ = found[one.refund_id][2]
        return (one.payment_id, one.refund_id, order.id, f"{sum_} ₽ went back")
    match order:
        case PlanOrder():
            came = f"{order.tenant_id}: plan {order.plan}, {order.days} days"
        case CreditsOrder():
            came = f"{order.credits} credits"
    return (one.payment_id, "-", order.id, came)


def _show(report: Report, came: Sequence[tuple[str, ...]]) -> None:
    screen.table(
        ("what", "number", "at YooKassa", "in our ledger"),
        [
            ("paid", str(report.payments), str(report.paid_there), str(report.paid_here)),
            (
                "refunded",
                str(report.refunds),
                str(report.refunded_there),
                str(report.refunded_here),
            ),
        ],
    )
    if came:
        screen.say("")
        screen.table(("settled now", "refund", "order", "what came of it"), came)
    if report.put_off:
        screen.note(f"Still under way: {report.put_off}. Compare again in a while.")
    if report.differences:
        screen.say("")
        screen.table(
            ("what differs", "payment", "order", "refund"),
            [
                (one.reason, one.payment_id, one.order_id or "-", one.refund_id or "-")
                for one in report.differences
            ],
        )
    elif not report.put_off:
        screen.note("All is well: YooKassa and the ledger agree.")
