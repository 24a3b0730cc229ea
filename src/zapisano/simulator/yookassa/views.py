"""The API's JSON of payments, refunds, methods and lists, field by field as published."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from zapisano.simulator.yookassa.cards import Card
from zapisano.simulator.yookassa.model import Method, Payment, Refund, Webhook

GATEWAY_ID = "1000001"
TITLES = {"sbp": "СБП", "yoo_money": "YooMoney wallet"}


@dataclass(frozen=True)
class Shop:
    """The shop that all objects here belong to, and where its hosted pages are."""

    id: str
    name: str
    test: bool
    public_url: str

    def page(self, object_id: str) -> str:
        """The hosted page that confirms a payment or a binding."""
        return f"{self.public_url}/yookassa/pay/{object_id}"


def moment(at: datetime) -> str:
    """ISO 8601 in UTC with milliseconds: 2026-11-22T14:30:45.129Z."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def money(value: Decimal) -> dict[str, str]:
    """An amount: roubles as a string with two places."""
    return {"value": f"{value:.2f}", "currency": "RUB"}


def payment_json(payment: Payment, shop: Shop, now: datetime) -> dict[str, Any]:
    """A payment as GET shows it; fields that have no value yet are absent, not null."""
    body: dict[str, Any] = {
        "id": payment.id,
        "status": payment.status,
        "amount": money(payment.amount),
        "recipient": {"account_id": shop.id, "gateway_id": GATEWAY_ID},
        "created_at": moment(payment.created_at),
        "test": shop.test,
        "paid": payment.paid,
        "refundable": payment.refundable(now),
        "metadata": payment.metadata,
    }
    optional: dict[str, Any] = {
        "description": payment.description,
        "merchant_customer_id": payment.merchant_customer_id,
        "payment_method": payment.method and method_of_payment_json(payment.method),
        "confirmation": payment.confirmation and _confirmation_json(payment, shop),
        "captured_at": payment.captured_at and moment(payment.captured_at),
        "expires_at": payment.expires_at and moment(payment.expires_at),
        "receipt_registration": _registration(payment),
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    return body | _outcome_json(payment)


def disguised(
    body: dict[str, Any],
    *,
    account_id: str | None = None,
    test: bool | None = None,
    currency: str | None = None,
) -> dict[str, Any]:
    """A payment's JSON as a control wants it to look; what is not named stays."""
    looks = dict(body)
    if account_id is not None:
        looks["recipient"] = body["recipient"] | {"account_id": account_id}
    if test is not None:
        looks["test"] = test
    if currency is not None:
        looks["amount"] = body["amount"] | {"currency": currency}
    return looks


def _outcome_json(payment: Payment) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if payment.status == "succeeded":
        body["income_amount"] = money(payment.income)
        body["refunded_amount"] = money(payment.refunded)
    if payment.paid and payment.method and payment.method.card:
        body["authorization_details"] = {
            "rrn": "10000000000",
            "auth_code": "000000",
            "three_d_secure": {"applied": payment.confirmation is not None},
        }
    if payment.cancellation:
        body["cancellation_details"] = {
            "party": payment.cancellation.party,
            "reason": payment.cancellation.reason,
        }
    return body


def _registration(payment: Payment) -> str | None:
    if payment.receipt is None:
        return None
    return {"succeeded": "succeeded", "canceled": "canceled"}.get(payment.status, "pending")


def _confirmation_json(payment: Payment, shop: Shop) -> dict[str, Any] | None:
    """What the payer needs next; gone once there is nothing left to confirm."""
    asked = payment.confirmation
    if asked is None or payment.status != "pending":
        return None
    body: dict[str, Any] = {"type": asked.type}
    if asked.return_url is not None:
        body["return_url"] = asked.return_url
    if asked.type in ("redirect", "mobile_application"):
        body["confirmation_url"] = shop.page(payment.id)
    elif asked.type == "embedded":
        body["confirmation_token"] = f"ct-{payment.id}"
    elif asked.type == "qr":
        body["confirmation_data"] = shop.page(payment.id)
    return body


def card_json(card: Card) -> dict[str, Any]:
    """What a shop may know of a card."""
    return {
        "first6": card.number[:6],
        "last4": card.number[-4:],
        "expiry_month": card.month,
        "expiry_year": card.year,
        "card_type": card.brand,
        "card_product": {"code": "E"},
        "issuer_country": "RU",
    }


def method_of_payment_json(method: Method) -> dict[str, Any]:
    """The `payment_method` inside a payment."""
    body: dict[str, Any] = {
        "type": method.type,
        "id": method.id,
        "saved": method.saved,
        "status": method.status,
        "title": _title(method),
    }
    if method.card:
        body["card"] = card_json(method.card)
    return body


def method_json(method: Method, shop: Shop) -> dict[str, Any]:
    """A method as `/payment_methods` shows it."""
    body = method_of_payment_json(method) | {
        "holder": {"account_id": shop.id, "gateway_id": GATEWAY_ID}
    }
    if method.metadata:
        body["metadata"] = method.metadata
    if method.confirmation and method.status == "pending":
        body["confirmation"] = {
            "type": "redirect",
            "return_url": method.confirmation.return_url,
            "confirmation_url": shop.page(method.id),
        }
    return body


def _title(method: Method) -> str:
    if method.card:
        return f"Bank card *{method.card.number[-4:]}"
    return TITLES.get(method.type, "Bank card")


def refund_json(refund: Refund) -> dict[str, Any]:
    """A refund."""
    body: dict[str, Any] = {
        "id": refund.id,
        "payment_id": refund.payment_id,
        "status": refund.status,
        "created_at": moment(refund.created_at),
        "amount": money(refund.amount),
    }
    if refund.description is not None:
        body["description"] = refund.description
    if refund.metadata:
        body["metadata"] = refund.metadata
    if refund.receipt is not None:
        registered = "pending" if refund.status == "pending" else refund.status
        body["receipt_registration"] = registered
    if refund.status == "canceled":
        body["cancellation_details"] = {"party": "refund_network", "reason": "general_decline"}
    return body


def webhook_json(webhook: Webhook) -> dict[str, Any]:
    """A registered webhook."""
    return {"id": webhook.id, "event": webhook.event, "url": webhook.url}


def list_json(items: Sequence[dict[str, Any]], next_cursor: str | None = None) -> dict[str, Any]:
    """A page of a list; `next_cursor` only where more follows."""
    body: dict[str, Any] = {"type": "list", "items": list(items)}
    return body | ({"next_cursor": next_cursor} if next_cursor else {})


def me_json(shop: Shop) -> dict[str, Any]:
    """The shop's settings."""
    return {
        "account_id": shop.id,
        "status": "enabled",
        "test": shop.test,
        "fiscalization_enabled": False,
        "payment_methods": ["bank_card", "sbp", "yoo_money"],
        "itn": "7700000000",
    }
