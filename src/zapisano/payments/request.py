"""The body of the request for a payment, as YooKassa's API v3 takes it.

Source: https://yookassa.ru/developers/api#create_payment (checked October 2026).
"""

import json
from collections.abc import Mapping

from zapisano.payments.model import CURRENCY, AnyOrder, CreditsOrder, PlanOrder
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
            "metadata": {"order_id": order.id, **_metadata(order)},
        },
        ensure_ascii=False,
    )


def _way_to_pay(settings: Settings, order: AnyOrder) -> Mapping[str, object]:
    if order.method_id:
        return {"payment_method_id": order.method_id}
    confirmation = {
        "type": "redirect",
        "return_url": f"{settings.checkout_base}/checkout/{order.id}/return",
        "locale": LOCALES[order.buyer_language],
    }
    saving = {"save_payment_method": True} if order.saves_method else {}
    return {"confirmation": confirmation, **saving}


def _description(settings: Settings, order: AnyOrder) -> str:
    """What the payer reads on YooKassa's page, and the operator in its cabinet."""
    match order:
        case PlanOrder():
            plan = settings.plans[order.plan].name
            return f"{settings.operator_name}: {plan}, {order.company_name}"
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
