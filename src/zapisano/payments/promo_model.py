"""Promo codes and what they take off a price. Pure."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal

from zapisano.errors import Conflict, Refused

CODE = re.compile(r"[A-Z0-9_-]{3,32}")
LEAST_PRICE = Decimal("1.00")  # roubles; a payment of nothing is no payment
KOPECK = Decimal("0.01")
# An order that nobody begins to pay gives its use back after this long.
RESERVED_FOR = timedelta(hours=24)
# A code that came by a link is offered to the person's orders for so long.
NOTED_FOR = timedelta(days=7)


class NoPromo(Conflict):
    """There is no such code, or it is over."""

    code, text = "no_promo", "There is no such promo code, or it has ended."


class PromoUsedUp(Conflict):
    """All uses of the code are taken."""

    code, text = "promo_used_up", "This promo code is used up."


class PromoUsedOnce(Conflict):
    """The person has used the code, and it is for once."""

    code, text = "promo_used_once", "You have used this promo code already."


class PromoOtherPlan(Conflict):
    """The code is not for this plan."""

    code, text = "promo_other_plan", "This promo code is for other plans."


class PromoLapsed(Refused):
    """Nobody began to pay the order for long, and others have taken the code's last uses."""

    code, text = "promo_lapsed", "The promo code of this order is used up; please order anew."


@dataclass(frozen=True)
class Promo:
    """A code: what it takes off, how often, until when, of which plans (None: of all)."""

    code: str
    percent: int | None
    fixed: Decimal | None
    uses: int | None
    until: datetime | None
    plans: tuple[str, ...] | None
    once_per_person: bool
    created_at: datetime
    ended_at: datetime | None = None

    def is_over(self, now: datetime) -> bool:
        """Say whether its time has passed, or the operator has ended it."""
        return self.ended_at is not None or (self.until is not None and self.until <= now)

    def is_for(self, plan: str) -> bool:
        """Say whether it is for this plan."""
        return self.plans is None or plan in self.plans

    def price(self, full: Decimal) -> Decimal:
        """Return what is left of a price in roubles.

        A part of a kopeck falls to the buyer. At least a rouble is left, or the whole price where
        it is less; nothing gets dearer.
        """
        off = self.fixed if self.fixed is not None else full * Decimal(self.percent or 0) / 100
        return max((full - off).quantize(KOPECK, ROUND_DOWN), min(full, LEAST_PRICE))


def cleaned_code(text: str) -> str | None:
    """Return a code as it is kept, in capitals; None for what can be none."""
    code = text.strip().upper()
    return code if CODE.fullmatch(code) else None
