"""The body of the request for a payment, as YooKassa's API v3 takes it.

Source: https://yookassa.ru/developers/api#create_payment (checked October 2026).
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from zapisano.payments.model import (
    CURRENCY,
    Agreed,
    AnyOrder,
    AutoTerms,
    CreditsOrder,
    Order,
    PlanOrder,
)
from zapisano.payments.receipts import receipt
from zapisano.settings import Settings

# Of YooKassa's page: confirmation.locale.
LOCALES = {"ru": "ru_RU", "en": "en_US"}
MAX_DESCRIPTION = 128  # YooKassa's limit


def request_body(settings: Settings, order: AnyOrder) -> str:
    """Write the request once; every repetition sends these very bytes.

    One for a saved method needs no page and no confirmation: the payer is not there.
    """
    return json.dumps(
        {
            "amount": {"value": str(order.amount), "currency": CURRENCY},
            "capture": True,
            **_way_to_pay(settings, order),
            "description": _description(settings, order)[:MAX_DESCRIPTION],
            "metadata": {"order_id": order.id, **_metadata(order), **_agreement(settings, order)},
            **_receipt(settings, order),
        },
        ensure_ascii=False,
    )


def agreed(order: Order) -> Agreed | AutoTerms | None:
    """Return what the payer has agreed to be charged later, as the frozen request says it.

    None where the request does not ask to save the method, so nothing can be saved.
    """
    body: dict[str, Any] = json.loads(order.request_body or "{}")
    if not body.get("save_payment_method"):
        return None
    metadata = body["metadata"]
    amount = Decimal(metadata["autopay_amount"])
    if "autopay_below" in metadata:
        below = Decimal(metadata["autopay_below"])
        return AutoTerms(below, amount, int(metadata["autopay_per_day"]))
    return Agreed(amount, int(metadata["autopay_days"]))


def offer(settings: Settings, order: AnyOrder) -> Agreed | AutoTerms | None:
    """Return what the payer of this order can agree to, at today's price; None where to nothing."""
    if not settings.yookassa_autopay:
        return None
    if isinstance(order, CreditsOrder):
        return order.auto
    plan = settings.plans.get(order.plan)
    return Agreed(plan.price, plan.days) if plan and not order.method_id else None


def _way_to_pay(settings: Settings, order: AnyOrder) -> Mapping[str, object]:
    if order.method_id:
        return {"payment_method_id": order.method_id}
    confirmation = {
        "type": "redirect",
        "return_url": f"{settings.checkout_base}/checkout/{order.id}/return",
        "locale": LOCALES[order.buyer_language],
    }
    saves = order.saves_method and offer(settings, order) is not None
    return {"confirmation": confirmation, **({"save_payment_method": True} if saves else {})}


def _agreement(settings: Settings, order: AnyOrder) -> Mapping[str, str]:
    """What is agreed to stands in the request itself: it is frozen, and the provider has it too."""
    match offer(settings, order) if order.saves_method else None:
        case None:
            return {}
        case Agreed(amount, days):
            return {"autopay_amount": str(amount), "autopay_days": str(days)}
        case AutoTerms(below, amount, per_day):
            return {
                "autopay_amount": str(amount),
                "autopay_below": str(below),
                "autopay_per_day": str(per_day),
            }


def _receipt(settings: Settings, order: AnyOrder) -> Mapping[str, object]:
    if not (settings.yookassa_receipts and order.receipt_contact):
        return {}
    name = _description(settings, order)
    return {"receipt": receipt(settings, order.receipt_contact, name, order.amount)}


def _description(settings: Settings, order: AnyOrder) -> str:
    """What the payer reads on YooKassa's page, and the operator in its cabinet."""
    match order:
        case PlanOrder():
            plan = settings.plans.get(order.plan)  # sold no more? the order's price stands
            bought = plan.name if plan else f"{order.days} дн."
            return f"{settings.operator_name}: {bought}, {order.company_name}"
        case CreditsOrder():
            number = f"{order.credits:f}".removesuffix(".00")
            return f"{settings.operator_name}: кредиты ({number}) на счёт {order.email}"


def _metadata(order: AnyOrder) -> Mapping[str, str]:
    match order:
        case PlanOrder():
            return {
                "user_id": str(order.buyer_id),
                "company_name": order.company_name,
                "plan": order.plan,
                "days": str(order.days),
            }
        case CreditsOrder():
            return {"credits": str(order.credits)}
