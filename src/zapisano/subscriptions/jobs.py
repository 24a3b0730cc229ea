"""What subscriptions ask of those above: payments and the bots."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from zapisano.jobs import Job, Lane


@dataclass(frozen=True)
class Charge(Job):
    """Charge the tenant's saved method, if it has one, for the period that begins at `paid_until`.

    `attempt` counts from 0; each is charged once, however often this is done.
    """

    kind: ClassVar[str] = "subscriptions.charge"
    lane: ClassVar[Lane] = Lane.MONEY

    tenant_id: str
    paid_until: datetime
    attempt: int


@dataclass(frozen=True)
class DaysGiven(Job):
    """Tell a tenant's owner of days that came without a payment, and why: `Gift` says for what."""

    kind: ClassVar[str] = "subscriptions.days_given"

    tenant_id: str
    days: int
    gift: str
