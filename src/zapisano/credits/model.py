"""What moves credits, and what may come of it. Pure.

Amounts are credits with two places; a price computed from tokens may be finer, and what is less
than a hundredth is carried in the account's remainder until it makes one.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import ClassVar, NoReturn
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
NEED_NO_AMOUNT = (Verb.RELEASE, Verb.REFUND)


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
    LOCKED = "locked"


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
    """The database was lost while it was working, and could not be asked by a key what it did."""

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
    carried. `refers` is the movement that a refund returns; one without an amount returns all that
    is left of it. `asked` is the request as it was written, where what is moved was computed from
    it: prices may change between two attempts.

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
    asked: str | None = None

    def __post_init__(self) -> None:
        """Let nothing into the ledger that it would have to round, or that is no number."""
        if self.cost is not None:
            is_sum = self.amount is None and self.verb in TAKE_A_COST and _is_cost(self.cost)
        elif self.amount is None:
            is_sum = self.verb in NEED_NO_AMOUNT
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
        sums = [self.asked] if self.asked else [_plain(self.amount), _plain(self.cost)]
        rest = [self.verb, self.operation, self.metadata, str(hold), self.refers, self.partial]
        return hashlib.sha256(json.dumps([*sums, *rest]).encode()).digest()


def fold(email: str) -> str:
    """Write an address as it is compared: in lower case and without spaces around it.

    `credits.fold` does the same in PostgreSQL. A Greek sigma at the end of a word is as any other,
    or the lower case of an address would not be its own; and an I with a dot keeps the dot, as
    Python has it: it is nobody's plain i.
    """
    return (
        email.strip(" ")
        .lower()
        .replace("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")
    )


def own_key(*words: object) -> str:
    """Make an idempotency key that no caller can have taken: theirs have no spaces in them."""
    return " ".join(str(word) for word in words)


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
    movement: int = 0
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


class HoldState(StrEnum):
    """Where a hold is; it ends once."""

    OPEN = "open"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Hold:
    """Credits put aside for a cost that is not known yet.

    `shortfall`: what a settlement with `partial` could not charge, since the account ended.
    """

    id: UUID
    email: str
    amount: Decimal
    state: HoldState
    shortfall: Decimal
    expires_at: datetime
    operation: str
    metadata: str | None


ENDED = {
    Outcome.HOLD_SETTLED: "The hold was settled before.",
    Outcome.HOLD_RELEASED: "The hold was released before.",
    Outcome.HOLD_EXPIRED: "The hold has expired, and what it held has gone back.",
}


REFUSALS: Mapping[Outcome, type[AppError]] = {
    Outcome.KEY_REUSED: KeyReused,
    Outcome.TOO_MUCH: TooMuch,
    Outcome.NOT_REFUNDABLE: NotRefundable,
    Outcome.NO_HOLD: UnknownHold,
}


def refuse(outcome: Outcome) -> NoReturn:
    """Say that nothing was done, and why.

    Raises:
        KeyReused, TooMuch, NotRefundable, UnknownHold, HoldClosed: as the outcome says.
    """
    if outcome in ENDED:
        raise HoldClosed(ENDED[outcome])
    raise REFUSALS[outcome]


def posted(answer: Answer) -> Posted:
    """Return the movement an answer tells of.

    Raises:
        Insufficient, and as `refuse`: there is none.
    """
    if answer.outcome is Outcome.INSUFFICIENT:
        raise Insufficient(_told(answer.balance), -_told(answer.amount))
    if answer.outcome is not Outcome.OK and answer.outcome is not Outcome.REPLAY:
        refuse(answer.outcome)
    return Posted(
        movement=answer.movement,
        amount=_told(answer.amount),
        balance_after=_told(answer.balance),
        hold=answer.hold,
        is_replay=answer.outcome is Outcome.REPLAY,
    )


def _told(number: Decimal | None) -> Decimal:
    """What the ledger always tells with such an outcome."""
    assert number is not None  # noqa: S101 # see `credits.post`
    return number
