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
class SettleRefund(Job):
    """Look a refund up and let it take effect, once. `refund_id` is the provider's."""

    kind: ClassVar[str] = "payments.settle_refund"
    lane: ClassVar[Lane] = Lane.MONEY

    refund_id: str
    via: str = "notification"


@dataclass(frozen=True)
class PollRefund(Job):
    """Ask after a refund of ours; `id` is our own. No event tells of one that was canceled."""

    kind: ClassVar[str] = "payments.poll_refund"
    lane: ClassVar[Lane] = Lane.MONEY

    id: str


@dataclass(frozen=True)
class Reconcile(Job):
    """Compare the provider's money of the last days with ours, and come again tomorrow."""

    kind: ClassVar[str] = "payments.reconcile"
    lane: ClassVar[Lane] = Lane.MONEY


@dataclass(frozen=True)
class OrderRefunded(Job):
    """Tell a plan's buyer that money has gone back; `id` is our own of the refund.

    `ended_autopay`: with it went the consent to be charged.
    """

    kind: ClassVar[str] = "payments.order_refunded"

    id: str
    ended_autopay: bool = False


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
class RefundStars(Job):
    """Give the Stars of an order back, all of them; the operator has asked for it."""

    kind: ClassVar[str] = "payments.refund_stars"
    lane: ClassVar[Lane] = Lane.MONEY

    order_id: str


@dataclass(frozen=True)
class ChargeDeclined(Job):
    """Tell a tenant's owner that autopay has brought no money this time, and why.

    `reason` is YooKassa's word (an open set), or `refused`: we may not charge at all.
    """

    kind: ClassVar[str] = "payments.charge_declined"

    order_id: str
    reason: str


@dataclass(frozen=True)
class AutopayEnded(Job):
    """Tell a tenant's owner that autopay is over by itself: a word of YooKassa, or `terms`.

    `terms`: the plan is no longer sold as it was agreed to.
    """

    kind: ClassVar[str] = "payments.autopay_ended"

    tenant_id: str
    reason: str


@dataclass(frozen=True)
class FindLow(Job):
    """Find accounts of credits that are to be topped up by themselves, and come again soon."""

    kind: ClassVar[str] = "payments.find_low"
    lane: ClassVar[Lane] = Lane.MONEY


@dataclass(frozen=True)
class AutoTopup(Job):
    """Charge the saved method of an account of credits; `method` is its number with us."""

    kind: ClassVar[str] = "payments.auto_topup"
    lane: ClassVar[Lane] = Lane.MONEY

    method: int


@dataclass(frozen=True)
class OrderWaits(Job):
    """Show a plan's buyer once more what is to be paid, and where."""

    kind: ClassVar[str] = "payments.order_waits"

    order_id: str
