"""What payments ask for: of themselves, and of those who talk to the buyer."""

from dataclasses import dataclass
from typing import ClassVar

from zapisano.jobs import Job, Lane


@dataclass(frozen=True)
class Settle(Job):
    """Look a payment up and do what its state asks for. `via` says who asked, for the figures."""

    kind: ClassVar[str] = "payments.settle"
    lane: ClassVar[Lane] = Lane.MONEY

    payment_id: str
    via: str = "notification"


@dataclass(frozen=True)
class Poll(Job):
    """Ask after an order that nobody has told us about."""

    kind: ClassVar[str] = "payments.poll"
    lane: ClassVar[Lane] = Lane.MONEY

    order_id: str


@dataclass(frozen=True)
class OrderPaid(Job):
    """Tell a plan's buyer that the money has arrived; `is_new`: for a tenant that is made now."""

    kind: ClassVar[str] = "payments.order_paid"

    order_id: str
    tenant_id: str
    is_new: bool


@dataclass(frozen=True)
class OrderCanceled(Job):
    """Tell a plan's buyer that the payment was canceled, and why (YooKassa's word, an open set)."""

    kind: ClassVar[str] = "payments.order_canceled"

    order_id: str
    reason: str


@dataclass(frozen=True)
class OrderWaits(Job):
    """Show a plan's buyer once more what is to be paid, and where."""

    kind: ClassVar[str] = "payments.order_waits"

    order_id: str
