"""What subscriptions ask for: of themselves later, of payments and of the bots."""

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
class Live(Job):
    """Do what is due in a tenant's paid life, and ask for the same at its next moment."""

    kind: ClassVar[str] = "subscriptions.live"

    tenant_id: str


@dataclass(frozen=True)
class Notice(Job):
    """Tell the owner how the paid time that ends at `paid_until` stands, if it still does.

    `word` is a `life.Word`; `days` are left of a reminder. At `acts_at` the bot pauses, or closes
    after the last call; at `charge_at` the saved method is charged.
    """

    kind: ClassVar[str] = "subscriptions.notice"

    tenant_id: str
    paid_until: datetime
    word: str
    days: int | None = None
    acts_at: datetime | None = None
    charge_at: datetime | None = None


@dataclass(frozen=True)
class RewardHost(Job):
    """Give the host of a guest who has paid for the first time the days for it."""

    kind: ClassVar[str] = "subscriptions.reward_host"

    host: str
    guest_id: int
    days: int


@dataclass(frozen=True)
class DaysGiven(Job):
    """Tell a tenant's owner of days that came without a payment, and why: `Gift` says for what."""

    kind: ClassVar[str] = "subscriptions.days_given"

    tenant_id: str
    days: int
    gift: str
