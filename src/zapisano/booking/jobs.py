"""What booking asks others to do. The database stamps `tenant_id` with the acting tenant."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar

from zapisano.jobs import Job


class Change(StrEnum):
    """What happened to a booking."""

    CREATED = "created"
    MOVED = "moved"
    CANCELLED = "cancelled"


class Actor(StrEnum):
    """Who did it: they need not be told."""

    CUSTOMER = "customer"
    OWNER = "owner"


@dataclass(frozen=True, kw_only=True)
class BookingChanged(Job):
    """Tell the other side. `was_at` is the old start of a moved booking."""

    kind: ClassVar[str] = "booking.changed"

    tenant_id: str = ""
    booking_id: int
    change: Change
    by: Actor
    was_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Remind(Job):
    """Remind the customer, so many hours before; whether there is still need is asked again."""

    kind: ClassVar[str] = "booking.remind"

    tenant_id: str = ""
    booking_id: int
    hours: int
