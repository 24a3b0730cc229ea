"""Orders, the proof that a payment pays one, and when to ask after it. Pure."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NewType

from zapisano.errors import Conflict, NotFound
from zapisano.payments.provider import Payment
from zapisano.settings import Plan
from zapisano.tenancy import TenantId, cleaned_name

OrderId = NewType("OrderId", str)

CURRENCY = "RUB"
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


class UnknownOrder(NotFound):
    """No order has this id."""

    code, text = "unknown_order", "There is no such order."


class BusinessClosed(Conflict):
    """What the order prolongs is archived: paying would bring nothing."""

    code, text = "business_closed", "This business is closed."


class OrderClosed(Conflict):
    """The order is paid, canceled or under review: there is nothing to pay now."""

    code, text = "order_closed", "This order cannot be paid any more."


@dataclass(frozen=True)
class Order:
    """What somebody wants to buy, at a frozen price: one order, one request, one payment."""

    id: OrderId
    buyer_id: int
    buyer_language: str
    company_name: str
    plan: str
    days: int
    amount: Decimal
    tenant_id: TenantId | None
    source: Source
    status: Status
    idempotence_key: str
    request_body: str
    requested_at: datetime | None
    payment_id: str | None
    confirmation_url: str | None
    polls: int
    retry_of: OrderId | None
    cancel_reason: str | None
    created_at: datetime
    paid_at: datetime | None

    @property
    def is_open(self) -> bool:
        """Say whether it may still be paid."""
        return self.status in {Status.CREATED, Status.PENDING}

    def key_lives_at(self, now: datetime) -> bool:
        """Say whether the request may be repeated under its key and make no second payment."""
        return self.requested_at is None or now - self.requested_at < KEY_LIVES


@dataclass(frozen=True)
class Received:
    """What became of a notification: whether it is new, and whether it is still to be handled."""

    is_new: bool
    is_open: bool


@dataclass(frozen=True)
class Figures:
    """What the tables say for the metrics: counts, and ages in seconds."""

    orders: Mapping[str, int]
    settled: Mapping[tuple[str, str], int]
    open_reviews: Mapping[str, int]
    oldest_unhandled_seconds: float
    oldest_unprovisioned_seconds: float


@dataclass(frozen=True)
class LegacySale:
    """What the metadata of the old sales bot's payment says was bought."""

    buyer_id: int
    company_name: str
    plan: Plan


def mismatch(order: Order, payment: Payment, *, shop_id: str, test: bool) -> Reason | None:
    """Return the first reason why `payment` does not prove that `order` is paid, or None.

    Rule 4: succeeded AND paid AND our shop AND the expected test flag AND roubles AND the exact
    amount AND our order's id AND the payment id we stored.
    """
    names_order = "order_id" in payment.metadata
    proofs = (
        (payment.succeeded, Reason.NOT_SUCCEEDED),
        (payment.paid, Reason.NOT_PAID),
        (bool(shop_id) and payment.account_id == shop_id, Reason.OTHER_SHOP),
        (payment.test is test, Reason.TEST_FLAG),
        (payment.currency == CURRENCY, Reason.CURRENCY),
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
