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
    """On which side somebody did it."""

    CUSTOMER = "customer"
    OWNER = "owner"


@dataclass(frozen=True, kw_only=True)
class BookingChanged(Job):
    """Have everybody told but who did it. `was_at` is the old start of a moved booking."""

    kind: ClassVar[str] = "booking.changed"

    tenant_id: str = ""
    booking_id: int
    change: Change
    by: Actor
    was_at: datetime | None = None
    actor_id: int | None = None
    """Who did it, on the owner's side: there may be several."""


@dataclass(frozen=True, kw_only=True)
class Tell(BookingChanged):
    """Tell one of them: a retry of one message must not repeat the others."""

    kind: ClassVar[str] = "booking.tell"

    user_id: int


@dataclass(frozen=True, kw_only=True)
class SendFile(Job):
    """Send the customer the booking as a file for their calendar."""

    kind: ClassVar[str] = "booking.send_file"

    tenant_id: str = ""
    booking_id: int
    moved: bool = False
    """Whether they have had a file of it before, with another time."""


@dataclass(frozen=True, kw_only=True)
class AskPhone(Job):
    """Ask the customer of a booking for their number."""

    kind: ClassVar[str] = "booking.ask_phone"

    tenant_id: str = ""
    booking_id: int


@dataclass(frozen=True, kw_only=True)
class Remind(Job):
    """Remind the customer, so many hours before; whether there is still need is asked again."""

    kind: ClassVar[str] = "booking.remind"

    tenant_id: str = ""
    booking_id: int
    hours: int
