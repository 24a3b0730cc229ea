"""Receipts (54-FZ) as YooKassa's API v3 takes them, and where they are sent.

Source: https://yookassa.ru/developers/api#create_payment_receipt (checked October 2026). Taxes are
the operator's settings; there is no default for them.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from zapisano.errors import Refused
from zapisano.settings import Settings

MAX_ITEM = 128  # characters of an item's description, YooKassa's limit
MAX_CONTACT = 255
EMAIL = re.compile(r"[^\s@<>,;:\"]{1,64}@[^\s@<>,;:\"]+\.[^\s@<>,;:\".]{2,63}")
PHONE = re.compile(r"\+?[0-9][0-9 ()\-\u2010-\u2015\u00a0]{8,30}")
E164_DIGITS = range(10, 16)
RUSSIAN_DIGITS = 11


class BadContact(Refused):
    """Nobody could be sent a receipt there."""

    code = "bad_contact"
    text = "receipt_contact: needs an e-mail address or a phone number such as +79161234567"


def read_contact(text: str) -> str:
    """Read where a receipt goes: an e-mail address, or a phone number as `+` and its digits.

    Numbers as they are written in Russia, such as 8 (916) 123-45-67, are understood.

    Raises:
        BadContact: it is neither.
    """
    text = text.strip()
    if len(text) <= MAX_CONTACT and EMAIL.fullmatch(text) and text.isprintable():
        return text
    digits = re.sub(r"[^0-9]", "", text) if PHONE.fullmatch(text) else ""
    if len(digits) == RUSSIAN_DIGITS and digits[0] == "8" and not text.startswith("+"):
        digits = "7" + digits[1:]
    elif len(digits) == RUSSIAN_DIGITS - 1 and digits[0] == "9" and not text.startswith("+"):
        digits = "7" + digits
    if len(digits) not in E164_DIGITS or digits[0] == "0":
        raise BadContact
    return "+" + digits


def receipt(
    settings: Settings, contact: str, description: str, amount: Decimal
) -> Mapping[str, object]:
    """Write the receipt of one service that is paid in full; `amount` is the payment's, roubles.

    `contact` is as `read_contact` returns it.
    """
    to = {"email": contact} if "@" in contact else {"phone": contact.removeprefix("+")}
    return {
        "customer": to,
        "tax_system_code": settings.yookassa_tax_system,
        "items": [
            {
                "description": description[:MAX_ITEM],
                "quantity": "1",
                "amount": {"value": str(amount), "currency": "RUB"},
                "vat_code": settings.yookassa_vat_code,
                "payment_subject": "service",
                "payment_mode": "full_payment",
            }
        ],
    }
