"""What the payer fills in on the checkout page: a box for autopay, and where the receipt goes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import parse_qsl

from fastapi import Request

from zapisano.payments import (
    Agreed,
    AnyOrder,
    AutoTerms,
    PlanOrder,
    Status,
    agreed,
    offer,
    read_contact,
)
from zapisano.settings import Settings
from zapisano.web.checkout_texts import TEXTS, days_text, fewer_credits_text, roubles

MAX_FIELDS = 8


class Chosen(TypedDict):
    """What the payer has chosen, as `choose` takes it."""

    keeps_method: bool
    contact: str | None


@dataclass(frozen=True)
class Form:
    """What was sent, as it was sent."""

    keeps_method: bool
    contact: str

    def checked(self, settings: Settings, order: AnyOrder) -> Chosen:
        """Return what was chosen, as far as this order asks for it.

        Raises:
            BadContact: a receipt is due, and nobody could be sent it there.
        """
        contact = read_contact(self.contact) if _needs_contact(settings, order) else None
        return Chosen(keeps_method=self.keeps_method, contact=contact)


async def read_form(request: Request) -> Form:
    """Read the form; what is no form of ours is an empty one."""
    try:
        text = (await request.body()).decode()
        fields = dict(parse_qsl(text, max_num_fields=MAX_FIELDS))
    except ValueError:
        fields = {}
    return Form(fields.get("autopay") == "yes", fields.get("receipt", ""))


def _needs_contact(settings: Settings, order: AnyOrder) -> bool:
    """Say whether the payer is asked where the receipt goes: of credits the address is known.

    A request that is sent already has its receipt.
    """
    is_asked = settings.yookassa_receipts and isinstance(order, PlanOrder)
    return is_asked and (order.requested_at is None or not order.is_open)


def form_words(settings: Settings, order: AnyOrder, language: str) -> Mapping[str, Any]:
    """Return what the page needs to show the form: the box's words ('' without a box), and so on.

    The box begins unticked. It is shown ticked only after a press that had it ticked.
    """
    frozen = order.requested_at is not None and order.status is not Status.CANCELED
    autopay, note = _box(agreed(order) if frozen else offer(settings, order), language)
    return {
        "autopay": autopay,
        "autopay_note": note,
        "autopay_ticked": order.is_open and order.saves_method,
        "needs_contact": _needs_contact(settings, order),
        "contact": order.receipt_contact or "",
        "receipt_to": (order.receipt_contact or "") if settings.yookassa_receipts else "",
    }


def _box(terms: Agreed | AutoTerms | None, language: str) -> tuple[str, str]:
    """Say what a tick agrees to, and what else there is to know before."""
    words = TEXTS[language]
    match terms:
        case None:
            return "", ""
        case Agreed(amount, days):
            period, total = days_text(days, language), roubles(amount, language)
            return words["autopay"].format(sum=total, period=period), words["autopay_note"]
        case AutoTerms(below, amount, times):
            text = words["auto_topup"].format(
                sum=roubles(amount, language),
                below=fewer_credits_text(below, language),
                often=words["once_a_day" if times == 1 else "times_a_day"].format(times=times),
            )
            most = roubles(terms.most_a_day, language)
            return text, words["auto_topup_note"].format(most=most)
