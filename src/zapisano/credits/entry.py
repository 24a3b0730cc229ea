"""A movement as its account sees it, a place in a list of them, and what narrows such a list. Pure.

A customer's history begins before ours where the original system had rows: those are charges, with
no movement, and come after all that are in the ledger, whatever their dates say.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from zapisano.errors import Refused

LAST_MOVEMENT = 2**63 - 1
LONGEST_SEARCH = 200
CURSOR = re.compile(
    r"m(?P<movement>[0-9]{1,19})|t(?P<at>-?[0-9]{1,18})?\.(?P<transaction>-?[0-9]{1,18})"
)
LONGEST_CURSOR = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FIRST, LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)


class Kind(StrEnum):
    """What a movement is."""

    OPENING = "opening"
    ADOPTION = "adoption"
    CHARGE = "charge"
    REFUND = "refund"
    HOLD = "hold"
    RELEASE = "release"
    EXPIRE = "expire"
    TOPUP = "topup"
    GRANT = "grant"
    LAPSE = "lapse"
    ADJUST = "adjust"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of an account's history.

    `movement` is None and `kind` a charge in rows of the original system, which alone may lack
    `created_at` and have sums that are no number. `metadata` is JSON text, exactly as it is kept;
    `transaction` is the id in `public.credit_transactions`, which only charges have.
    """

    email: str
    movement: int | None
    kind: Kind
    amount: Decimal
    balance_after: Decimal
    operation: str
    metadata: str | None
    created_at: datetime | None
    hold: UUID | None
    refers: int | None
    transaction: int | None

    @property
    def place(self) -> "Place":
        """Where it stands in its account's history."""
        if self.movement is not None:
            return Place(movement=self.movement)
        return Place(transaction=self.transaction, created_at=self.created_at)


@dataclass(frozen=True, slots=True)
class Place:
    """Just after one line of a history, newest first: what a page begins with.

    In the ledger it is a movement; among the rows before it, an instant (None: those without one,
    which come last) and the row's id.
    """

    movement: int | None = None
    transaction: int | None = None
    created_at: datetime | None = None

    @property
    def cursor(self) -> str:
        """The place as text, for others to keep and give back as it is."""
        if self.movement is not None:
            text = f"m{self.movement}"
        else:
            at = "" if self.created_at is None else (self.created_at - EPOCH) // MICROSECOND
            text = f"t{at}.{self.transaction}"
        return urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> "Place":
        """Read a cursor.

        Raises:
            Refused: it is none of ours.
        """
        place = _read(cursor) if len(cursor) <= LONGEST_CURSOR else None
        if place is None or place.cursor != cursor:
            raise Refused("cursor: give back the nextCursor of the page before, as it is")
        return place


def _read(cursor: str) -> Place | None:
    try:
        text = urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode()).decode("ascii")
        found = CURSOR.fullmatch(text)
        at = EPOCH + int(found["at"]) * MICROSECOND if found and found["at"] else None
    except (ValueError, OverflowError):
        return None
    if found is None:
        return None
    place = Place(
        movement=int(found["movement"]) if found["movement"] else None,
        transaction=int(found["transaction"]) if found["transaction"] else None,
        created_at=at,
    )
    return place if max(place.movement or 0, place.transaction or 0) <= LAST_MOVEMENT else None


@dataclass(frozen=True, slots=True)
class Filter:
    """What of a history is asked for; everything, unless it is narrowed.

    `since` is the first instant, `until` the first that is too late; `contains` is a part of the
    operation's text, in any case.
    """

    kinds: frozenset[Kind] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    contains: str = ""

    @classmethod
    def of(
        cls,
        kinds: Iterable[str] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        contains: str = "",
    ) -> "Filter":
        """Read what somebody has typed.

        Raises:
            Refused: a kind is unknown, an instant has no zone, or the text is too long.
        """
        known = {kind.value: kind for kind in Kind}
        asked = set(kinds)
        if unknown := sorted(asked - known.keys()):
            raise Refused(f"kind: {unknown[0]!r} is none of {', '.join(known)}")
        for name, instant in (("since", since), ("until", until)):
            if instant is not None and instant.tzinfo is None:
                raise Refused(f"{name}: needs a time zone, as in 2026-11-23T00:00:00Z")
            if instant is not None and not FIRST <= instant <= LAST:
                raise Refused(f"{name}: is out of all time")
        if len(contains) > LONGEST_SEARCH or "\0" in contains:
            raise Refused(f"operation: search for at most {LONGEST_SEARCH} characters of text")
        return cls(frozenset(known[kind] for kind in asked), since, until, contains)

    @property
    def is_open(self) -> bool:
        """Whether everything is asked for."""
        return self == Filter()

    @property
    def takes_charges(self) -> bool:
        """Whether charges are asked for."""
        return not self.kinds or Kind.CHARGE in self.kinds
