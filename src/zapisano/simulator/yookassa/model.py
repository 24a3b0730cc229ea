"""The state machine of the simulated YooKassa: pure, with the time as an argument.

A payment goes pending → waiting_for_capture → succeeded | canceled; the last two are final, and a
state may be skipped. Sources: YooKassa's published OpenAPI and its guides, October 2026.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from zapisano.simulator.yookassa.cards import OUTCOMES, Card, Party
from zapisano.simulator.yookassa.problems import forbidden, invalid

PaymentStatus = Literal["pending", "waiting_for_capture", "succeeded", "canceled"]
RefundStatus = Literal["pending", "succeeded", "canceled"]
MethodStatus = Literal["pending", "active", "inactive"]
MethodType = Literal["bank_card", "sbp", "yoo_money"]

CONFIRM_WITHIN = timedelta(hours=1)
CAPTURE_CARD_WITHIN = timedelta(days=7)
CAPTURE_OTHER_WITHIN = timedelta(hours=2)
REFUND_WITHIN = timedelta(days=3 * 365)
IDEMPOTENCE_KEPT = timedelta(hours=24)
FEE = Decimal("0.035")
ZERO = Decimal("0.00")


@dataclass(frozen=True)
class Confirmation:
    """How the payer confirms: `redirect` shows a page and comes back to `return_url`."""

    type: str
    return_url: str | None = None
    locale: str = "ru_RU"


@dataclass(frozen=True)
class Cancellation:
    """Who canceled, and why."""

    party: Party
    reason: str


@dataclass(frozen=True)
class Method:
    """What a payment was made with; kept for later payments when `saved`."""

    id: str
    type: MethodType
    saved: bool = False
    status: MethodStatus = "inactive"
    card: Card | None = None
    confirmation: Confirmation | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Payment:
    """One payment of the shop."""

    id: str
    amount: Decimal
    created_at: datetime
    capture: bool
    status: PaymentStatus = "pending"
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    merchant_customer_id: str | None = None
    confirmation: Confirmation | None = None
    wanted_method: MethodType | None = None
    save_method: bool = False
    method: Method | None = None
    receipt: dict[str, Any] | None = None
    captured_at: datetime | None = None
    expires_at: datetime | None = None
    refunded: Decimal = ZERO
    cancellation: Cancellation | None = None

    @property
    def paid(self) -> bool:
        """Has the payer given the money (held or taken)?"""
        return self.status in ("waiting_for_capture", "succeeded")

    @property
    def income(self) -> Decimal:
        """What the shop receives after YooKassa's share."""
        return self.amount - (self.amount * FEE).quantize(Decimal("0.01"), ROUND_HALF_UP)

    @property
    def deadline_at(self) -> datetime | None:
        """When the clock alone cancels it; None for a final payment."""
        if self.status == "pending":
            return self.created_at + CONFIRM_WITHIN
        return self.expires_at if self.status == "waiting_for_capture" else None

    def refundable(self, now: datetime) -> bool:
        """May money still go back?"""
        return (
            self.status == "succeeded"
            and self.refunded < self.amount
            and self.captured_at is not None
            and now <= self.captured_at + REFUND_WITHIN
        )


@dataclass(frozen=True)
class Refund:
    """Money given back, whole or in part; its status has the payment's words."""

    id: str
    payment_id: str
    amount: Decimal
    created_at: datetime
    status: RefundStatus = "succeeded"
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict[str, str])
    receipt: dict[str, Any] | None = None


@dataclass(frozen=True)
class Webhook:
    """Where a partner application wants one kind of event."""

    id: str
    event: str
    url: str


def authorize(payment: Payment, method: Method, now: datetime) -> Payment:
    """The payer pays with `method`: held, taken or declined, as its card says."""
    _require(payment, "pending", "paid")
    outcome = OUTCOMES.get(method.card.number) if method.card else None
    if outcome is not None and outcome.reason is not None:
        return decline(payment, method, Cancellation(outcome.party, outcome.reason))
    kept = payment.save_method or method.saved
    paid = replace(
        payment,
        method=replace(method, saved=kept, status="active" if kept else "inactive"),
        status="waiting_for_capture",
        expires_at=now + (CAPTURE_CARD_WITHIN if method.card else CAPTURE_OTHER_WITHIN),
    )
    return capture(paid, None, now) if payment.capture else paid


def decline(payment: Payment, method: Method, why: Cancellation) -> Payment:
    """The attempt failed: here a failed attempt cancels the payment (see the page's text)."""
    _require(payment, "pending", "declined")
    return replace(payment, method=method, status="canceled", cancellation=why)


def capture(payment: Payment, amount: Decimal | None, now: datetime) -> Payment:
    """Take the held money, or a part of it: the rest goes back to the payer."""
    _require(payment, "waiting_for_capture", "captured")
    taken = payment.amount if amount is None else amount
    if taken > payment.amount:
        raise invalid("Capture amount is greater than the payment amount", "amount.value")
    return replace(payment, status="succeeded", amount=taken, captured_at=now, expires_at=None)


def cancel(payment: Payment) -> Payment:
    """The shop lets the held money go. A pending payment cannot be canceled by the shop."""
    _require(payment, "waiting_for_capture", "canceled")
    return replace(
        payment,
        status="canceled",
        expires_at=None,
        cancellation=Cancellation("merchant", "canceled_by_merchant"),
    )


def expire(payment: Payment, now: datetime) -> Payment:
    """Cancel what the clock has overtaken; anything else comes back unchanged."""
    deadline = payment.deadline_at
    if deadline is None or now < deadline:
        return payment
    reason = "expired_on_confirmation" if payment.status == "pending" else "expired_on_capture"
    return replace(
        payment,
        status="canceled",
        expires_at=None,
        cancellation=Cancellation("yoo_money", reason),
    )


def give_back(payment: Payment, refund: Refund, now: datetime) -> Payment:
    """Count a refund against its payment.

    Raises:
        Problem: 400 when the payment is not refundable or not that much of it is left.
    """
    if not payment.refundable(now):
        raise invalid("Payment cannot be refunded in its current state", "payment_id")
    if payment.refunded + refund.amount > payment.amount:
        raise invalid("Refund amount is greater than the amount left to refund", "amount.value")
    return replace(payment, refunded=payment.refunded + refund.amount)


def finish_refund(payment: Payment, refund: Refund, status: RefundStatus) -> tuple[Payment, Refund]:
    """End a pending refund; a canceled one returns its sum to what may be refunded."""
    if refund.status != "pending":
        raise invalid("Refund is final already", "refund_id")
    left = payment.refunded - refund.amount if status == "canceled" else payment.refunded
    return replace(payment, refunded=left), replace(refund, status=status)


def pay_with_saved(payment: Payment, method: Method, *, allowed: bool, now: datetime) -> Payment:
    """A payment without the payer: needs the operator's agreement and a living permission."""
    if not allowed:
        raise forbidden("The store is not allowed to make recurring payments", "payment_method_id")
    used = replace(method, confirmation=None, metadata={})
    if method.status != "active":
        return decline(payment, used, Cancellation("payment_network", "permission_revoked"))
    return authorize(payment, used, now)


def activate(method: Method, card: Card) -> Method:
    """The payer bound a card with no charge: kept, unless the card is declined."""
    if method.status != "pending":
        raise invalid("Payment method is final already", "payment_method_id")
    outcome = OUTCOMES.get(card.number)
    if outcome is not None and outcome.reason is not None:
        return replace(method, card=card, status="inactive")
    return replace(method, card=card, status="active", saved=True)


def _require(payment: Payment, status: PaymentStatus, verb: str) -> None:
    if payment.status != status:
        raise invalid(
            f"Payment in status {payment.status} cannot be {verb}: it must be {status}",
            "payment_id",
        )
