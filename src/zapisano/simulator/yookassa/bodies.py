"""Reading the API's request bodies: every rule names the parameter that broke it."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, cast

from zapisano.simulator.yookassa.model import Confirmation, MethodType
from zapisano.simulator.yookassa.problems import Problem, invalid

KEY = re.compile(r"[0-9a-zA-Z+\-_.]{1,64}")
VALUE = re.compile(r"\d{1,12}(\.\d{1,2})?")
ADDRESS = re.compile(r"(?!javascript:)[a-zA-Z][a-zA-Z0-9+.\-]*://\S{1,2000}")
METHODS: tuple[MethodType, ...] = ("bank_card", "sbp", "yoo_money")
CONFIRMATIONS = ("redirect", "embedded", "qr", "mobile_application", "external")
EVENTS = (
    "payment.waiting_for_capture",
    "payment.succeeded",
    "payment.canceled",
    "payment_method.active",
    "refund.succeeded",
)
VAT_CODES = range(1, 13)


@dataclass(frozen=True)
class NewPayment:
    """What `POST /payments` asks for."""

    amount: Decimal
    capture: bool
    description: str | None
    metadata: dict[str, str]
    merchant_customer_id: str | None
    confirmation: Confirmation | None
    wanted_method: MethodType | None
    saved_method_id: str | None
    save_method: bool
    receipt: dict[str, Any] | None


@dataclass(frozen=True)
class NewRefund:
    """What `POST /refunds` asks for."""

    payment_id: str
    amount: Decimal
    description: str | None
    metadata: dict[str, str]
    receipt: dict[str, Any] | None


def read_json(raw: bytes) -> dict[str, Any]:
    """The body as an object; nothing at all counts as an empty one (capture, cancel)."""
    if not raw.strip():
        return {}
    try:
        body: object = json.loads(raw)
        json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except (ValueError, RecursionError):
        raise invalid("Request body is not valid JSON") from None
    if not isinstance(body, dict):
        raise invalid("Request body must be a JSON object")
    return cast("dict[str, Any]", body)


def read_key(key: str | None) -> str:
    """The Idempotence-Key header: required on POST and DELETE, at most 64 plain characters."""
    if key is None:
        raise invalid("Idempotence key is required", "Idempotence-Key")
    if KEY.fullmatch(key) is None:
        raise invalid("Idempotence key has illegal format", "Idempotence-Key")
    return key


def new_payment(body: dict[str, Any]) -> NewPayment:
    """Read and check the body of `POST /payments`."""
    amount = required_amount(body)
    return NewPayment(
        amount=amount,
        capture=_flag(body, "capture"),
        description=_text(body, "description", 128),
        metadata=metadata(body),
        merchant_customer_id=_text(body, "merchant_customer_id", 200),
        confirmation=_payment_confirmation(body),
        wanted_method=_wanted_method(body),
        saved_method_id=_text(body, "payment_method_id", 64),
        save_method=_flag(body, "save_payment_method"),
        receipt=receipt(body, amount),
    )


def new_refund(body: dict[str, Any]) -> NewRefund:
    """Read and check the body of `POST /refunds`."""
    payment_id = _text(body, "payment_id", 64)
    if payment_id is None:
        raise invalid("payment_id is required", "payment_id")
    amount = required_amount(body)
    return NewRefund(
        payment_id=payment_id,
        amount=amount,
        description=_text(body, "description", 250),
        metadata=metadata(body),
        receipt=receipt(body, amount),
    )


def new_method(body: dict[str, Any]) -> Confirmation:
    """Read and check the body of `POST /payment_methods`: only cards can be bound here."""
    if body.get("type") != "bank_card":
        raise invalid("Only bank_card can be bound", "type")
    confirmation = _confirmation(body)
    if confirmation is None or confirmation.type != "redirect":
        raise invalid("Confirmation of type redirect is required", "confirmation")
    return confirmation


def new_webhook(body: dict[str, Any]) -> tuple[str, str]:
    """Read and check the body of `POST /webhooks`: the event and the address."""
    event, url = body.get("event"), body.get("url")
    if event not in EVENTS:
        raise invalid("Unknown event", "event")
    if not isinstance(url, str) or re.fullmatch(r"https?://\S{1,2000}", url) is None:
        raise invalid("Address must be an absolute URL", "url")
    return str(event), url


def required_amount(body: dict[str, Any]) -> Decimal:
    """The `amount` that must be there."""
    amount = optional_amount(body)
    if amount is None:
        raise invalid("Amount is required", "amount")
    return amount


def optional_amount(body: dict[str, Any]) -> Decimal | None:
    """`{"value": "299.00", "currency": "RUB"}`: a string with a dot, more than zero, roubles."""
    amount = _object(body, "amount")
    if amount is None:
        return None
    value = amount.get("value")
    if not isinstance(value, str) or VALUE.fullmatch(value) is None:
        raise invalid("Amount value must be a string like 299.00", "amount.value")
    if amount.get("currency") != "RUB":
        raise invalid("Currency must be RUB", "amount.currency")
    if Decimal(value) <= 0:
        raise invalid("Amount value must be greater than zero", "amount.value")
    return Decimal(value).quantize(Decimal("0.01"))


def metadata(body: dict[str, Any]) -> dict[str, str]:
    """At most 16 pairs of strings: a name of at most 32 characters, a value of at most 512."""
    pairs = _object(body, "metadata") or {}
    if len(pairs) > 16:
        raise invalid("Metadata has more than 16 keys", "metadata")
    for name, value in pairs.items():
        if len(name) > 32:
            raise invalid("Metadata key is longer than 32 characters", "metadata")
        if not isinstance(value, str):
            raise invalid("Metadata value must be a string", f"metadata.{name}")
        if len(value) > 512:
            raise invalid("Metadata value is longer than 512 characters", f"metadata.{name}")
    return pairs


def receipt(body: dict[str, Any], amount: Decimal) -> dict[str, Any] | None:
    """A receipt (54-FZ): somewhere to send it, and items that add up to the amount."""
    given = _object(body, "receipt")
    if given is None:
        return None
    customer = _object(given, "customer", "receipt.") or {}
    if not (customer.get("email") or customer.get("phone")):
        raise invalid("Receipt needs the customer's email or phone", "receipt.customer")
    items: object = given.get("items")
    if not isinstance(items, list) or not items:
        raise invalid("Receipt has no items", "receipt.items")
    listed = cast("list[object]", items)
    total = sum((_item(item, f"receipt.items[{n}]") for n, item in enumerate(listed)), Decimal(0))
    if total != amount:
        raise invalid("Receipt items do not add up to the amount", "receipt.items")
    return given


def _item(item: object, where: str) -> Decimal:
    """Check one line of a receipt and return its sum."""
    if not isinstance(item, dict):
        raise invalid("Receipt item must be an object", where)
    line = cast("dict[str, Any]", item)
    text = line.get("description")
    if not isinstance(text, str) or not 1 <= len(text) <= 128:
        raise invalid("Description of an item has 1 to 128 characters", f"{where}.description")
    if line.get("vat_code") not in VAT_CODES:
        raise invalid("vat_code is a number from 1 to 12", f"{where}.vat_code")
    quantity = str(line.get("quantity", ""))
    if re.fullmatch(r"\d{1,8}(\.\d{1,6})?", quantity) is None or Decimal(quantity) <= 0:
        raise invalid("Quantity must be a positive number", f"{where}.quantity")
    try:
        price = required_amount(line)
    except Problem as problem:
        raise invalid(problem.description, f"{where}.{problem.parameter}") from None
    return (price * Decimal(quantity)).quantize(Decimal("0.01"))


def _payment_confirmation(body: dict[str, Any]) -> Confirmation | None:
    confirmation = _confirmation(body)
    if confirmation is None and "payment_method_id" not in body:
        raise invalid("Confirmation is required without a saved method", "confirmation")
    return confirmation


def _confirmation(body: dict[str, Any]) -> Confirmation | None:
    given = _object(body, "confirmation")
    if given is None:
        return None
    kind = given.get("type")
    if kind not in CONFIRMATIONS:
        raise invalid("Unknown confirmation type", "confirmation.type")
    address: object = given.get("return_url")
    if kind in ("redirect", "mobile_application") and address is None:
        raise invalid("return_url is required", "confirmation.return_url")
    if address is not None and not (
        isinstance(address, str) and ADDRESS.fullmatch(address.strip()) is not None
    ):
        raise invalid("return_url must be an absolute URL", "confirmation.return_url")
    locale = given.get("locale") or "ru_RU"
    if locale not in ("ru_RU", "en_US"):
        raise invalid("Locale is ru_RU or en_US", "confirmation.locale")
    return Confirmation(str(kind), address.strip() if address else None, str(locale))


def _wanted_method(body: dict[str, Any]) -> MethodType | None:
    data = _object(body, "payment_method_data")
    if data is None:
        return None
    for method in METHODS:
        if data.get("type") == method:
            return method
    raise invalid("Payment method is not available to the store", "payment_method_data.type")


def _object(body: dict[str, Any], name: str, prefix: str = "") -> dict[str, Any] | None:
    given: object = body.get(name)
    if given is None:
        return None
    if not isinstance(given, dict):
        raise invalid(f"{name} must be an object", prefix + name)
    return cast("dict[str, Any]", given)


def _text(body: dict[str, Any], name: str, limit: int) -> str | None:
    given: object = body.get(name)
    if given is None:
        return None
    if not isinstance(given, str):
        raise invalid(f"{name} must be a string", name)
    if len(given) > limit:
        raise invalid(f"{name} is longer than {limit} characters", name)
    return given


def _flag(body: dict[str, Any], name: str) -> bool:
    given: object = body.get(name, False)
    if not isinstance(given, bool):
        raise invalid(f"{name} must be true or false", name)
    return given
