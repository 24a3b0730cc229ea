"""Orders, the proof that a payment pays one, and when to ask after it. Pure."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import NewType

from zapisano.credits.model import CENT
from zapisano.errors import Conflict, NotFound, Refused
from zapisano.payments.provider import Payment
from zapisano.settings import Plan
from zapisano.tenancy import TenantId, cleaned_name

OrderId = NewType("OrderId", str)

CURRENCY = "RUB"
STARS_CURRENCY = "XTR"
KOPECK = Decimal("0.01")
# Of roubles at once. Below, the shop's fee and the receipt cost more than is bought; above, a zero
# too many is likelier than the wish, and a session that was stolen could do more harm.
LEAST_TOPUP, MOST_TOPUP = Decimal("10.00"), Decimal("100000.00")
MAX_REQUEST_KEY = 255  # characters of an Idempotency-Key, as everywhere in our APIs
MAX_TELEGRAM_ID = 2**52  # https://core.telegram.org/bots/api#user: at most 52 significant bits
# A key is remembered for 24 h (facts of YooKassa); a request under way must not outlive it.
KEY_LIVES = timedelta(hours=24) - timedelta(minutes=5)
# Rule 7: 30 s, 1 m, 2 m, 5 m, 10 m, 30 m, 1 h, then hourly until final.
POLL_INTERVALS = tuple(timedelta(seconds=s) for s in (30, 60, 120, 300, 600, 1800, 3600))


class Status(StrEnum):
    """Where an order is. `PAID` and `CANCELED` are final."""

    CREATED = "created"
    PENDING = "pending"
    PAID = "paid"
    CANCELED = "canceled"
    REVIEW = "review"


class Source(StrEnum):
    """Where an order comes from: our checkout, or the sales bot that was before us."""

    CHECKOUT = "checkout"
    LEGACY = "legacy"


class ProviderName(StrEnum):
    """Who is asked about an order's payment."""

    YOOKASSA = "yookassa"
    STARS = "stars"


class Reason(StrEnum):
    """Why a payment is put before a person instead of being granted."""

    NOT_SUCCEEDED = "not succeeded"
    NOT_PAID = "not paid"
    OTHER_SHOP = "other shop"
    TEST_FLAG = "test flag"
    CURRENCY = "currency"
    AMOUNT = "amount"
    OTHER_ORDER = "other order"
    OTHER_PAYMENT = "other payment"
    UNKNOWN_PAYMENT = "unknown payment"
    UNKNOWN_ORDER = "unknown order"
    LEGACY_OVER = "legacy sales are over"
    LEGACY_DATA = "legacy data"
    AFTER_CANCEL = "succeeded after canceled"
    AFTER_PAID = "canceled after paid"
    OUTCOME_UNKNOWN = "outcome unknown"
    ARCHIVED = "tenant is archived"
    NO_LEDGER = "no ledger of credits"
    FROZEN = "account is frozen"
    TOO_MUCH = "account holds too much"
    KEY_REUSED = "key of another posting"
    REFUNDED_FIRST = "refunded before it was granted"
    UNKNOWN_REFUND = "unknown refund"
    REFUND_AMOUNT = "refund of another sum"
    REFUND_TOO_MUCH = "refund of more than is left"
    REFUND_CANCELED = "refund canceled"
    REFUND_AFTER_SUCCESS = "refund canceled after it succeeded"
    REFUND_UNKNOWN = "outcome of refund unknown"
    CREDITS_SPENT = "credits are spent"
    PAID_THERE_ONLY = "paid at the provider only"
    PAID_HERE_ONLY = "paid in our ledger only"
    PAID_SUMS = "paid sums differ"
    REFUNDED_THERE_ONLY = "refunded at the provider only"
    REFUNDED_HERE_ONLY = "refunded in our ledger only"
    REFUNDED_SUMS = "refunded sums differ"


# What the daily sweep puts before a person: together they must be none.
DIFFERENCES = frozenset(
    {
        Reason.PAID_THERE_ONLY,
        Reason.PAID_HERE_ONLY,
        Reason.PAID_SUMS,
        Reason.REFUNDED_THERE_ONLY,
        Reason.REFUNDED_HERE_ONLY,
        Reason.REFUNDED_SUMS,
    }
)


# Money or news that is none of ours, and money of ours of which a fact is wrong.
FORGED = frozenset(
    {Reason.UNKNOWN_PAYMENT, Reason.UNKNOWN_ORDER, Reason.OTHER_ORDER, Reason.OTHER_PAYMENT}
)
MISMATCH = frozenset(
    {
        Reason.NOT_SUCCEEDED,
        Reason.NOT_PAID,
        Reason.OTHER_SHOP,
        Reason.TEST_FLAG,
        Reason.CURRENCY,
        Reason.AMOUNT,
    }
)


class UnknownOrder(NotFound):
    """No order has this id."""

    code, text = "unknown_order", "There is no such order."


class BusinessClosed(Conflict):
    """What the order prolongs is archived: paying would bring nothing."""

    code, text = "business_closed", "This business is closed."


class OrderClosed(Conflict):
    """The order is paid, canceled or under review: there is nothing to pay now."""

    code, text = "order_closed", "This order cannot be paid any more."


class ChoiceFrozen(Conflict):
    """The payment was asked for without saving the method: what was asked for cannot change."""

    code, text = "choice_frozen", "This payment was started without autopay."


class TopupsOff(Conflict):
    """Here nobody can add credits for money: no shop, no ledger, or credits stand alone."""

    code, text = "topups_off", "Top-ups are not switched on here."


@dataclass(frozen=True)
class AutoTerms:
    """What a payer of credits agrees to: `amount` roubles whenever fewer than `below` are left.

    No more than `per_day` times a day.
    """

    below: Decimal
    amount: Decimal
    per_day: int

    @property
    def most_a_day(self) -> Decimal:
        """What a day may cost, in roubles."""
        return self.amount * self.per_day


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody wants to buy, at a frozen price: one order, one request, one payment.

    An order is a `PlanOrder` or a `CreditsOrder`; up to the grant they go the same way. One with a
    `method_id` is charged without its payer, and `charge_key` names the attempt. Its `provider` is
    one for good; `instead_of` is the order in roubles beside which one in Stars stands.
    """

    id: OrderId
    buyer_language: str
    amount: Decimal
    idempotence_key: str
    created_at: datetime
    source: Source = Source.CHECKOUT
    status: Status = Status.CREATED
    request_body: str = ""
    requested_at: datetime | None = None
    payment_id: str | None = None
    confirmation_url: str | None = None
    polls: int = 0
    retry_of: OrderId | None = None
    cancel_reason: str | None = None
    paid_at: datetime | None = None
    saves_method: bool = False
    receipt_contact: str | None = None
    method_id: str | None = None
    charge_key: str | None = None
    card_last4: str | None = None
    refunded: Decimal = Decimal("0.00")
    provider: ProviderName = ProviderName.YOOKASSA
    currency: str = CURRENCY
    instead_of: OrderId | None = None

    @property
    def is_open(self) -> bool:
        """Say whether it may still be paid."""
        return self.status in {Status.CREATED, Status.PENDING}

    def key_lives_at(self, now: datetime) -> bool:
        """Say whether the request may be repeated under its key and make no second payment."""
        return self.requested_at is None or now - self.requested_at < KEY_LIVES


@dataclass(frozen=True, kw_only=True)
class PlanOrder(Order):
    """Paid time for a tenant: the one named, else one that is made when the money is there.

    The buyer is a person in Telegram. `is_switch`: the plan is changed now, not prolonged.
    """

    buyer_id: int
    company_name: str
    plan: str
    days: int
    tenant_id: TenantId | None
    promo_code: str | None = None
    is_switch: bool = False


@dataclass(frozen=True, kw_only=True)
class CreditsOrder(Order):
    """Credits for the account of an e-mail address: how many is settled when it is made.

    `request_key` is the Idempotency-Key it was asked for under, if there was one. Nobody in
    Telegram knows of it. `auto` is what its payer is asked to agree to besides, for later.
    """

    email: str
    credits: Decimal
    request_key: str | None = None
    auto: AutoTerms | None = None


AnyOrder = PlanOrder | CreditsOrder


@dataclass(frozen=True)
class Agreed:
    """What a payer agrees to be charged without being asked: no more than this, no more often."""

    amount: Decimal
    days: int

    def covers(self, plan: Plan) -> bool:
        """Say whether a plan, as it is sold now, is within what was agreed."""
        return plan.price <= self.amount and plan.days >= self.days


@dataclass(frozen=True)
class SavedMethod:
    """A way to pay that a tenant's owner has left with us, until it is ended."""

    tenant_id: TenantId
    method_id: str
    title: str
    last4: str | None
    order_id: OrderId
    agreed: Agreed
    receipt_contact: str | None
    saved_at: datetime


@dataclass(frozen=True)
class Received:
    """What became of a notification: whether it is new, and whether it is still to be handled."""

    is_new: bool
    is_open: bool


@dataclass(frozen=True)
class Figures:
    """What the tables say for the metrics: counts, and ages in seconds.

    `reconciled_at` is Unix time, of the last sweep that could compare everything; 0 for never.
    """

    orders: Mapping[str, int]
    settled: Mapping[tuple[str, str], int]
    open_reviews: Mapping[str, int]
    reviews: Mapping[str, int]
    provider_errors: Mapping[str, int]
    differences: int
    oldest_unhandled_seconds: float
    oldest_unprovisioned_seconds: float
    reconciled_at: float


@dataclass(frozen=True)
class LegacySale:
    """What the metadata of the old sales bot's payment says was bought."""

    buyer_id: int
    company_name: str
    plan: Plan


@dataclass(frozen=True)
class Expected:
    """Whose payments prove anything: our shop's ('' for no shop), of test money or of real."""

    shop_id: str
    test: bool


def mismatch(order: Order, payment: Payment, expected: Expected) -> Reason | None:
    """Return the first reason why `payment` does not prove that `order` is paid, or None.

    Rule 4: succeeded AND paid, AND all that `foreign` asks for.
    """
    if not payment.succeeded:
        return Reason.NOT_SUCCEEDED
    return foreign(order, payment, expected) if payment.paid else Reason.NOT_PAID


def foreign(order: Order, payment: Payment, expected: Expected) -> Reason | None:
    """Return the first reason why `payment`, whatever became of it, is not `order`'s, or None.

    Our shop AND the expected test flag AND our currency AND the exact amount AND our order's id AND
    the payment id we stored.
    """
    names_order = "order_id" in payment.metadata
    proofs = (
        (bool(expected.shop_id) and payment.account_id == expected.shop_id, Reason.OTHER_SHOP),
        (payment.test is expected.test, Reason.TEST_FLAG),
        (payment.currency == order.currency, Reason.CURRENCY),
        (payment.amount == order.amount, Reason.AMOUNT),
        (
            not names_order
            if order.source is Source.LEGACY
            else payment.metadata.get("order_id") == order.id,
            Reason.OTHER_ORDER,
        ),
        (order.payment_id == payment.id, Reason.OTHER_PAYMENT),
    )
    return next((reason for holds, reason in proofs if not holds), None)


def read_order_id(text: str) -> OrderId | None:
    """Read what claims to be an order's id; None unless it is one in our spelling."""
    try:
        return OrderId(text) if str(uuid.UUID(text)) == text else None
    except ValueError:
        return None


def topup_amount(amount: Decimal, field: str = "amount") -> Decimal:
    """Return a sum in roubles that credits are sold for, with its two places.

    Raises:
        Refused: it is too small, too large, no number, or finer than a kopeck; names `field`.
    """
    if not (amount.is_finite() and LEAST_TOPUP <= amount <= MOST_TOPUP):
        raise Refused(f"{field}: must be {LEAST_TOPUP} to {MOST_TOPUP} roubles")
    if amount != (rounded := amount.quantize(KOPECK)):
        raise Refused(f"{field}: must have two decimal places at most")
    return rounded


def credits_for(amount: Decimal, per_rouble: Decimal) -> Decimal:
    """Return how many credits a sum in roubles buys: what is less than a hundredth is left out.

    Raises:
        Refused: it buys none.
    """
    bought = (amount * per_rouble).quantize(CENT, ROUND_DOWN)
    if bought <= 0:
        raise Refused("amount: buys less than 0.01 credits")
    return bought


def legacy_sale(metadata: Mapping[str, str], plans: Mapping[str, Plan]) -> LegacySale | None:
    """Read a sale of the old bot: `user_id, company_name, plan, days`; None where it is no such."""
    plan = plans.get(metadata.get("plan", ""))
    buyer = metadata.get("user_id", "")
    name = cleaned_name(metadata.get("company_name", ""))
    if plan is None or name is None or metadata.get("days") != str(plan.days):
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,15}", buyer) or int(buyer) >= MAX_TELEGRAM_ID:
        return None
    return LegacySale(int(buyer), name, plan)


def poll_interval(polls: int) -> timedelta:
    """Return the pause before the next poll, after `polls` of them."""
    return POLL_INTERVALS[min(polls, len(POLL_INTERVALS) - 1)]
