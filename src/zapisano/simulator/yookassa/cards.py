"""YooKassa's test cards and what each of them does (its documentation, "Testing payments")."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Party = Literal["yoo_money", "payment_network", "merchant"]


@dataclass(frozen=True)
class Card:
    """A bank card as the payer typed it. Only test cards exist here, so the number is no secret."""

    number: str
    month: str
    year: str

    @property
    def brand(self) -> str:
        """The payment system, told by the first digit."""
        return {"2": "MIR", "4": "Visa", "5": "MasterCard"}.get(self.number[:1], "Unknown")


@dataclass(frozen=True)
class Outcome:
    """What a test card does: nothing wrong, or a decline for `reason` by `party`."""

    number: str
    reason: str | None
    party: Party = "payment_network"


OUTCOMES = {
    outcome.number: outcome
    for outcome in (
        Outcome("5555555555554477", None),
        Outcome("5555555555554444", None),
        Outcome("2200000000000004", None),
        Outcome("4111111111111111", None),
        Outcome("5555555555554600", "insufficient_funds"),
        Outcome("5555555555554592", "3d_secure_failed"),
        Outcome("5555555555554543", "card_expired"),
        Outcome("5555555555554527", "general_decline"),
        Outcome("5555555555554535", "call_issuer"),
        Outcome("5555555555554568", "fraud_suspected", "yoo_money"),
        Outcome("5555555555554618", "invalid_card_number"),
        Outcome("5555555555554626", "invalid_csc"),
        Outcome("5555555555554501", "issuer_unavailable"),
        Outcome("5555555555554576", "payment_method_limit_exceeded"),
        Outcome("5555555555554550", "payment_method_restricted"),
        Outcome("5555555555554584", "country_forbidden", "yoo_money"),
    )
}
SUCCESS_NUMBER = "5555555555554477"


def any_card(number: str = SUCCESS_NUMBER) -> Card:
    """A test card with a date in the future."""
    return Card(number, "12", "2030")


def read_card(
    number: str, expiry: str, code: str, now: datetime
) -> tuple[Card | None, dict[str, str]]:
    """Check what was typed into the page: the card, or the faulty fields with a text's key."""
    digits = "".join(c for c in number if c.isdigit())
    date = "".join(c for c in expiry if c.isdigit())
    faults: dict[str, str] = {}
    if digits not in OUTCOMES:
        faults["number"] = "number_unknown"
    if len(date) != 4 or not 1 <= int(date[:2]) <= 12:
        faults["expiry"] = "expiry_malformed"
    elif (2000 + int(date[2:]), int(date[:2])) < (now.year, now.month):
        faults["expiry"] = "expiry_past"
    if not (code.isdigit() and len(code) == 3):
        faults["cvc"] = "cvc_malformed"
    return (None, faults) if faults else (Card(digits, date[:2], "20" + date[2:]), {})
