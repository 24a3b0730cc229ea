"""Auto top-up: what is agreed to, how long a decline is waited out, when a day begins. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from zapisano.credits.model import LARGEST
from zapisano.errors import Conflict, Refused
from zapisano.payments.model import AutoTerms, OrderId, topup_amount

# Of one account, whatever its holder agrees to: a mistake in an app must not empty a card.
MOST_PER_DAY = 10
# After the first decline; each further one in a row doubles it.
FIRST_PAUSE = timedelta(hours=1)
LONGEST_PAUSE = timedelta(days=7)
DOUBLINGS = 10  # by then the longest pause is reached


class AutopayOff(Conflict):
    """The operator has not switched on charging of saved methods."""

    code = "autopay_off"
    text = (
        "auto: auto top-up is not switched on here. Once YooKassa has agreed to recurring "
        "payments, set YOOKASSA_AUTOPAY=on; until then leave it out."
    )


@dataclass(frozen=True)
class AutoMethod:
    """How an account of credits is topped up by itself; with `ended_for` it is not any more.

    `declines` are those in a row, `next_at` is when the next attempt may be made at the earliest.
    """

    id: int
    email: str
    method_id: str | None
    title: str
    last4: str | None
    order_id: OrderId
    terms: AutoTerms
    receipt_contact: str | None
    next_at: datetime
    declines: int
    declined_for: str | None
    ended_for: str | None

    @property
    def card(self) -> str:
        """What a person knows it by."""
        return f"•• {self.last4}" if self.last4 else self.title


def auto_terms(below: Decimal, amount: Decimal, per_day: int) -> AutoTerms:
    """Return terms that somebody may be asked to agree to.

    Raises:
        Refused: the detail names the field.
    """
    if not (below.is_finite() and 0 < below <= LARGEST and below == round(below, 2)):
        raise Refused(f"auto.below: must be credits, above 0, {LARGEST} at most, with two decimals")
    if not 1 <= per_day <= MOST_PER_DAY:
        raise Refused(f"auto.perDay: must be 1 to {MOST_PER_DAY}")
    return AutoTerms(below, topup_amount(amount, "auto.amount"), per_day)


def pause_after(declines: int) -> timedelta:
    """Return how long nothing is charged after so many declines in a row: 1 h, 2 h … a week."""
    return min(FIRST_PAUSE * 2 ** min(declines - 1, DOUBLINGS), LONGEST_PAUSE)


def day_start(now: datetime, time_zone: str) -> datetime:
    """Return when the operator's day of this instant has begun."""
    zone = ZoneInfo(time_zone)
    return datetime.combine(now.astimezone(zone).date(), time(), zone).astimezone(UTC)
