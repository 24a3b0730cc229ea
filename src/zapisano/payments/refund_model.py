"""Refunds, and the rule of what goes back with the money. Pure.

The rule is stated in docs/decisions/0013-refunds.md.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, Decimal
from enum import StrEnum
from typing import Any, NewType, cast

from zapisano.credits.model import CENT
from zapisano.errors import Conflict, NotFound, Refused
from zapisano.payments.model import CURRENCY, KEY_LIVES, KOPECK, Order, OrderId

RefundId = NewType("RefundId", str)
DAY = timedelta(days=1)
MAX_REASON = 250  # characters of a refund's description: YooKassa's limit
ONE = "1.00"  # quantity of an item of a receipt


class RefundStatus(StrEnum):
    """Where a refund is. `SUCCEEDED` and `CANCELED` are final."""

    REQUESTED = "requested"
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    REVIEW = "review"


class RefundSource(StrEnum):
    """Who gave the money back: the operator by us, or in the provider's cabinet."""

    OPERATOR = "operator"
    CABINET = "cabinet"


class NotPaid(Conflict):
    """No money has come by this order, so none can go back."""

    code, text = "not_paid", "This order is not paid: there is nothing to give back."


class AlreadyRefunded(Conflict):
    """All of it has gone back, or is on its way."""

    code, text = "already_refunded", "This order is refunded already."


class RefundTooLarge(Refused):
    """More than what is left of the payment."""

    code, text = "refund_too_large", "amount: more than is left of the payment."


class UnknownRefundRow(NotFound):
    """We keep no refund with this id."""

    code, text = "unknown_refund", "There is no such refund."


@dataclass(frozen=True, kw_only=True)
class RefundRow:
    """A refund as we keep it: one request, one refund of the provider's.

    `days_taken`, `credits_taken`: what went back with it. `credits_due`: what should have; the
    difference was spent already.
    """

    id: RefundId
    order_id: OrderId
    amount: Decimal
    source: RefundSource
    created_at: datetime
    status: RefundStatus = RefundStatus.REQUESTED
    reason: str | None = None
    idempotence_key: str | None = None
    request_body: str | None = None
    requested_at: datetime | None = None
    refund_id: str | None = None
    polls: int = 0
    days_taken: int = 0
    credits_due: Decimal = Decimal("0.00")
    credits_taken: Decimal = Decimal("0.00")
    finished_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Say whether its outcome is still to come."""
        return self.status in {RefundStatus.REQUESTED, RefundStatus.PENDING}

    def key_lives_at(self, now: datetime) -> bool:
        """Say whether the request may be repeated under its key and give nothing back twice."""
        return self.requested_at is None or now - self.requested_at < KEY_LIVES


@dataclass(frozen=True)
class Taken:
    """What goes back with the money."""

    days: int = 0
    credits_due: Decimal = Decimal("0.00")
    credits: Decimal = Decimal("0.00")


def refund_amount(amount: Decimal | None, left: Decimal) -> Decimal:
    """Return the sum to give back: all that is left where none is named.

    Raises:
        AlreadyRefunded: nothing is left.
        RefundTooLarge: more than is left.
        Refused: it is no sum in roubles.
    """
    if left <= 0:
        raise AlreadyRefunded
    if amount is None:
        return left
    if not amount.is_finite() or amount <= 0:
        raise Refused("amount: must be above zero, with two decimal places at most")
    if amount > left:
        raise RefundTooLarge(f"amount: {amount} is more than is left of the payment, {left}")
    if amount != amount.quantize(KOPECK):
        raise Refused("amount: must be above zero, with two decimal places at most")
    return amount.quantize(KOPECK)


def days_due(days: int, amount: Decimal, refunded: Decimal) -> int:
    """Return how many of an order's days go back when `refunded` of `amount` has, in all."""
    return int(days * refunded // amount)


def credits_due(bought: Decimal, amount: Decimal, refunded: Decimal) -> Decimal:
    """Return how many of an order's credits go back when `refunded` of `amount` has, in all."""
    return (bought * refunded / amount).quantize(CENT, ROUND_DOWN)


def unused_days(
    given: Sequence[tuple[str, int]], taken: Mapping[str, int], source: str, left: timedelta
) -> int:
    """Return how many whole days that `source` has given are not used yet.

    Days are used in the order in which they were `given`, so of the time that is `left` those
    given later come last. `taken`: what refunds took of each source before. A day begun is used.
    """
    kept = [(name, days - taken.get(name, 0)) for name, days in given if days > 0]
    place = next((n for n, (name, _) in enumerate(kept) if name == source), None)
    if place is None:
        return 0
    later = sum(days for _, days in kept[place + 1 :])
    return max(0, min(kept[place][1], left // DAY - later))


def refund_body(order: Order, amount: Decimal, reason: str | None) -> str:
    """Write the request once; every repetition sends these very bytes."""
    body: dict[str, Any] = {
        "payment_id": order.payment_id,
        "amount": {"value": str(amount), "currency": CURRENCY},
    }
    if reason:
        body["description"] = reason
    if (receipt := _receipt(order, amount)) is not None:
        body["receipt"] = receipt
    return json.dumps(body, ensure_ascii=False)


def _receipt(order: Order, amount: Decimal) -> dict[str, Any] | None:
    """Return the receipt of the order's own request with its items scaled to what goes back.

    Source: https://yookassa.ru/developers/payment-acceptance/receipts/54fz/other-services/basics
    """
    request = cast("dict[str, Any]", json.loads(order.request_body or "{}"))
    receipt = cast("dict[str, Any] | None", request.get("receipt"))
    if receipt is None:
        return None
    return {**receipt, "items": _scaled(cast("list[dict[str, Any]]", receipt["items"]), amount)}


def _scaled(items: Sequence[Mapping[str, Any]], amount: Decimal) -> list[dict[str, Any]]:
    """Give every item its share of `amount`, to the kopeck; one that has none is left out."""
    sums = [Decimal(one["amount"]["value"]) * Decimal(str(one["quantity"])) for one in items]
    whole, rest_of_sums, rest = sum(sums), sum(sums), amount
    scaled: list[dict[str, Any]] = []
    for item, paid in zip(items, sums, strict=True):
        # The last one takes what rounding has left over.
        share = rest if paid == rest_of_sums else (amount * paid / whole).quantize(KOPECK)
        share = min(share, rest)
        rest, rest_of_sums = rest - share, rest_of_sums - paid
        if share > 0:
            money = {"value": str(share.quantize(KOPECK)), "currency": CURRENCY}
            scaled.append({**item, "amount": money, "quantity": ONE})
    return scaled
