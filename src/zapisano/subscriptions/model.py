"""Until when a tenant is paid, and how paid time adds up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from zapisano.errors import NotFound
from zapisano.tenancy import TenantId


class NoSubscription(NotFound):
    """Nothing was ever paid for this tenant."""

    code, text = "no_subscription", "This tenant has no subscription."


@dataclass(frozen=True)
class Subscription:
    """A tenant's plan, by its last payment, and the end of its paid time.

    `next_plan`: another one that its owner wants from the next renewal on.
    """

    tenant_id: TenantId
    plan: str
    paid_until: datetime
    changed_at: datetime
    next_plan: str | None = None


class Reason(StrEnum):
    """Why days were given or taken."""

    PAYMENT = "payment"
    TRIAL = "trial"
    PROMO = "promo"
    REFERRAL = "referral"
    SUPPORT = "support"
    CHANGE = "change"
    REFUND = "refund"


@dataclass(frozen=True)
class Grant:
    """Days for a tenant, and why. Negative ones are taken back.

    `source` is what they come from, once in the world: a payment's id, `refund:<its id>`,
    `trial:<person>`. `by` is who has done it, for the history.
    """

    source: str
    days: int
    reason: Reason
    by: str


@dataclass(frozen=True)
class Period:
    """The time that a grant covers; it ends before it starts where days are taken."""

    starts_at: datetime
    ends_at: datetime


def next_period(paid_until: datetime | None, days: int, now: datetime) -> Period:
    """Add `days` of 24 hours to what is left; time that has lapsed is not charged for."""
    starts_at = now if paid_until is None else max(paid_until, now)
    return Period(starts_at, starts_at + timedelta(days=days))


def plan_at_renewal(subscription: Subscription) -> str:
    """Return the plan that the next renewal is for: the one that is planned, else the same."""
    return subscription.next_plan or subscription.plan
