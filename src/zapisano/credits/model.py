"""What moves credits, and what may come of it. Pure.

Amounts are credits with two places; a price computed from tokens may be finer, and what is less
than a hundredth is carried in the account's remainder until it makes one.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from zapisano.errors import AppError, Busy, Conflict, NotFound, Refused
from zapisano.settings import Settings

CENT = Decimal("0.01")
FINEST = Decimal("0.000000000001")  # what a cost may have; the remainder's column keeps it whole
# What DECIMAL(10,2), the documented type, can hold.
LARGEST = Decimal("99999999.99")
# The documented CHECK: how far below zero an account may go.
LOWEST_FLOOR = Decimal("-5.00")


class Verb(StrEnum):
    """What is asked for."""

    CHARGE = "charge"
    HOLD = "hold"
    SETTLE = "settle"
    RELEASE = "release"
    TOPUP = "topup"
    GRANT = "grant"
    REFUND = "refund"
    ADJUST = "adjust"


# What may be priced finer than a hundredth. A hold is rounded up by whoever asks for it.
TAKE_A_COST = (Verb.CHARGE, Verb.SETTLE)


class Outcome(StrEnum):
    """What became of it."""

    OK = "ok"
    REPLAY = "replay"
    KEY_REUSED = "key_reused"
    INSUFFICIENT = "insufficient"
    TOO_MUCH = "too_much"
    NOT_REFUNDABLE = "not_refundable"
    NO_HOLD = "no_hold"
    HOLD_SETTLED = "hold_settled"
    HOLD_RELEASED = "hold_released"
    HOLD_EXPIRED = "hold_expired"
    # These are put right and asked again, and reach nobody.
    NO_ACCOUNT = "no_account"
    EXPIRY_DUE = "expiry_due"
    TWIN = "twin"


class Insufficient(AppError):
    """The account cannot bear it."""

    code, status, text = "insufficient", 402, "Insufficient balance"

    def __init__(self, balance: Decimal, required: Decimal) -> None:
        """Keep what there is and what would be needed."""
        super().__init__()
        self.balance, self.required = balance, required


class KeyReused(Refused):
    """An idempotency key was used before, with other parameters."""

    code: ClassVar[str] = "key_reused"
    text: ClassVar[str] = "This Idempotency-Key was used for another request; draw a new one."


class TooMuch(Refused):
    """An account cannot hold so much."""

    code: ClassVar[str] = "too_much"
    text: ClassVar[str] = f"amount: an account holds {LARGEST} at most."


class BadAmount(Refused):
    """No sum of money that an account could hold."""

    code: ClassVar[str] = "bad_amount"
    text: ClassVar[str] = f"amount: a number with two decimal places, above 0, {LARGEST} at most."


class AccountFrozen(Conflict):
    """The operator has to decide about this account first."""

    code, text = "account_frozen", "This account is frozen: please write to support."


class NotRefundable(Conflict):
    """There is no such charge of this account, or not so much of it is left."""

    code: ClassVar[str] = "not_refundable"
    text: ClassVar[str] = "There is no such charge, or not so much of it is left to refund."


class UnknownHold(NotFound):
    """No hold of this account has this id."""

    code, text = "unknown_hold", "There is no such hold."


class HoldClosed(Conflict):
    """A hold ends once."""

    code, text = "hold_closed", "The hold has ended before."


class OutcomeUnknown(Busy):
    """The database was lost while it was working, and the request had no key to ask again by."""

    code: ClassVar[str] = "outcome_unknown"
    text: ClassVar[str] = (
        "The connection to the database was lost: look at the balance before you try again. "
        "A request with an Idempotency-Key can simply be sent again."
    )


@dataclass(frozen=True)
class Rules:
    """What the operator has decided about accounts."""

    floor: Decimal
    threshold: Decimal | None
    opening: Decimal
    test_opening: Decimal
    test_accounts: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> "Rules":
        """Read them from the settings."""
        return cls(
            floor=LOWEST_FLOOR,
            threshold=settings.credits_low_balance,
            opening=settings.credits_opening,
            test_opening=settings.credits_test_opening,
            test_accounts=frozenset(settings.credits_test_accounts),
        )

    def opening_of(self, email: str) -> tuple[Decimal, bool]:
        """Return what an account starts with, and whether it is a test account."""
        is_test = email in self.test_accounts
        return (self.test_opening if is_test else self.opening), is_test


@dataclass(frozen=True, slots=True)
class Item:
    """One thing asked of the ledger.

    `amount` is in credits and above zero (of an adjustment: signed; of a settlement: or zero).
    `cost` instead of it, of a charge or a settlement, is finer and is rounded down, the rest
    carried. `refers` is the movement that a refund returns.

    Raises:
        BadAmount: the amount is no sum of money that an account could hold.
    """

    email: str
    verb: Verb
    amount: Decimal | None = None
    cost: Decimal | None = None
    operation: str = ""
    metadata: str | None = None
    key: str | None = None
    hold: UUID | None = None
    expires_at: datetime | None = None
    refers: int | None = None
    partial: bool = False

    def __post_init__(self) -> None:
        """Let nothing into the ledger that it would have to round, or that is no number."""
        if self.cost is not None:
            is_sum = self.amount is None and self.verb in TAKE_A_COST and _is_cost(self.cost)
        elif self.amount is None:
            is_sum = self.verb is Verb.RELEASE
        elif self.verb is Verb.ADJUST:
            is_sum = _is_credits(self.amount.copy_abs()) and self.amount != 0
        else:
            is_sum = _is_credits(self.amount) and (self.amount != 0 or self.verb is Verb.SETTLE)
        if not is_sum:
            raise BadAmount

    @property
    def params(self) -> bytes | None:
        """A digest of what is asked, to tell a repetition from another request under one key.

        The id of a new hold and its end are drawn anew by every attempt, and so left out.
        """
        if self.key is None:
            return None
        hold = None if self.verb is Verb.HOLD else self.hold
        asked = [
            self.verb, _plain(self.amount), _plain(self.cost), self.operation, self.metadata,
            str(hold), self.refers, self.partial,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(asked).encode()).digest()


def _is_credits(number: Decimal) -> bool:
    return number.is_finite() and 0 <= number <= LARGEST and number == number.quantize(CENT)


def _is_cost(number: Decimal) -> bool:
    return number.is_finite() and 0 <= number <= LARGEST and number == number.quantize(FINEST)


def _plain(number: Decimal | None) -> str:
    return "" if number is None else f"{number.normalize():f}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the ledger says of one item: the movement, what it moved and the balance after it."""

    outcome: Outcome
    movement: int | None = None
    amount: Decimal | None = None
    balance: Decimal | None = None
    hold: UUID | None = None


@dataclass(frozen=True)
class Posted:
    """A movement that is in the ledger; `amount` is signed, as the account sees it."""

    movement: int
    amount: Decimal
    balance_after: Decimal
    hold: UUID | None
    is_replay: bool

    @property
    def balance_before(self) -> Decimal:
        """The balance just before it."""
        return self.balance_after - self.amount


@dataclass(frozen=True)
class Account:
    """An account as it stands."""

    id: int
    email: str
    balance: Decimal
    total_spent: Decimal
    held: Decimal
    promo: Decimal
    remainder: Decimal
    is_test: bool
    expires_at: datetime | None
    created_at: datetime


ENDED = {
    Outcome.HOLD_SETTLED: "The hold was settled before.",
    Outcome.HOLD_RELEASED: "The hold was released before.",
    Outcome.HOLD_EXPIRED: "The hold has expired, and what it held has gone back.",
}


def posted(answer: Answer) -> Posted:
    """Return the movement an answer tells of.

    Raises:
        Insufficient, KeyReused, TooMuch, NotRefundable, UnknownHold, HoldClosed: there is none.
    """
    match answer:
        case Answer(Outcome.OK | Outcome.REPLAY, int(movement), Decimal(), Decimal()):
            assert answer.amount is not None and answer.balance is not None  # noqa: S101, PT018 # matched
            replay = answer.outcome is Outcome.REPLAY
            return Posted(movement, answer.amount, answer.balance, answer.hold, replay)
        case Answer(Outcome.INSUFFICIENT, _, Decimal(), Decimal()):
            assert answer.amount is not None and answer.balance is not None  # noqa: S101, PT018 # matched
            raise Insufficient(answer.balance, -answer.amount)
        case Answer(Outcome.KEY_REUSED):
            raise KeyReused
        case Answer(Outcome.TOO_MUCH):
            raise TooMuch
        case Answer(Outcome.NOT_REFUNDABLE):
            raise NotRefundable
        case Answer(Outcome.NO_HOLD):
            raise UnknownHold
        case Answer(outcome) if outcome in ENDED:
            raise HoldClosed(ENDED[outcome])
        case _:
            raise ValueError(f"no answer to anybody: {answer.outcome}")
