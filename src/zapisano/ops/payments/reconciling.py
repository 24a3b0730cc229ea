"""`zapisano payments reconcile`: compare YooKassa's money with ours, now."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from zapisano.clock import utc_now
from zapisano.errors import Conflict, Refused
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.payments.refunding import shop
from zapisano.payments import Report, reconcile
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
    _show(report)
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


def _show(report: Report) -> None:
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
    if report.healed:
        screen.note(f"{report.healed} had been lost on the way here and are settled now.")
    if report.put_off:
        screen.note(f"{report.put_off} are under way: compare again in a while.")
    if report.differences:
        screen.say("")
        screen.table(
            ("what differs", "payment", "order", "refund"),
            [
                (one.reason, one.payment_id, one.order_id or "-", one.refund_id or "-")
                for one in report.differences
            ],
        )
