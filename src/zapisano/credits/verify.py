"""Prove the whole ledger: that what it says now is what was written, and that it adds up.

Of the ten invariants these are 1 to 4 and 8 to 10, and what else the tables promise. 5 (callers
were told what is there), 6 (a batch is as one after another) and 7 (a crash loses nothing that was
acknowledged) are not to be seen in the tables: the tests prove them. All is read at one moment,
beside whoever writes, and nothing is changed.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from zapisano.credits.store import audit
from zapisano.db import Connection, Database, Row

RANGE_SIZE = 5000
LARGEST_ACCOUNT = 2**31 - 1
MOST_FINDINGS = 1000

OnProgress = Callable[[int, int], None]


class Invariant(StrEnum):
    """What must hold; the value is the word for it in answers of `credits/store/audit.py`."""

    BALANCE = "balance"
    FLOOR = "floor"
    ORDER = "order"
    KEY = "key"
    HOLDS = "holds"
    ENDS = "ends"
    NUMBERS = "numbers"
    REMAINDER = "remainder"
    DOUBLE = "double"
    HOUSE = "house"
    WAY = "way"
    LINK = "link"
    BEGINNING = "beginning"
    CHARGE = "charge"
    SPENT = "spent"
    GRANTS = "grants"
    REFUNDS = "refunds"
    CLASH = "clash"
    STRAY = "stray"

    @property
    def says(self) -> str:
        """The invariant in words, with its number where it has one."""
        return SAYINGS[self]


SAYINGS = {
    Invariant.BALANCE: "1: the balance is the sum of the postings",
    Invariant.FLOOR: "2: no debit leaves less than the floor",
    Invariant.ORDER: "3: each balance is the one before and the amount; the last is the account's",
    Invariant.KEY: "4: a key has one posting",
    Invariant.HOLDS: "8: what is held is under open holds; each ends once",
    Invariant.ENDS: "8: the account knows when the next hold or grant ends",
    Invariant.NUMBERS: "9: sums are numbers",
    Invariant.REMAINDER: "9: no remainder is lost",
    Invariant.DOUBLE: "10: each movement has two sides, which sum to zero",
    Invariant.HOUSE: "10: each kind of movement has its own account of the house",
    Invariant.WAY: "what is spent goes out, what is given comes in",
    Invariant.LINK: "the chain is whole: nothing was changed, taken out or put in",
    Invariant.BEGINNING: "an account begins once",
    Invariant.CHARGE: "each charge is in credit_transactions, once, and says the same",
    Invariant.SPENT: "total_spent is what was adopted and charged, less refunds",
    Invariant.GRANTS: "what is left of grants is what was not drawn from them",
    Invariant.REFUNDS: "no charge is refunded by more than it was",
    Invariant.CLASH: "an address has one account in use",
    Invariant.STRAY: "what is there belongs to an account",
}


@dataclass(frozen=True)
class Finding:
    """Something that does not hold; an account below zero is the house's."""

    invariant: Invariant
    account: int | None
    movement: int | None
    expected: str
    found: str


@dataclass(frozen=True)
class Head:
    """The last link of an account's chain, which seals all that is before it."""

    account: int
    email: str
    head: bytes


@dataclass(frozen=True)
class Report:
    """What was read, and what is wrong with it: the first thousand, where there are more.

    `digest` is one hash over all heads: the SHA-256 of each account's number (four bytes, the
    largest first) and head, by number. While it is the same, nothing was written.
    """

    accounts: int
    movements: int
    frozen: int
    waiting: int
    findings: tuple[Finding, ...]
    heads: tuple[Head, ...]

    @property
    def digest(self) -> str:
        """The hash over all heads, in hexadecimal."""
        seal = hashlib.sha256()
        for one in self.heads:
            seal.update(one.account.to_bytes(4, "big") + one.head)
        return seal.hexdigest()

    @property
    def is_cut(self) -> bool:
        """Whether there may be more findings than are told."""
        return len(self.findings) >= MOST_FINDINGS


async def verify(
    database: Database, *, floor: Decimal, on_progress: OnProgress | None = None
) -> Report:
    """Read everything; `on_progress` is told how many accounts are done, of how many."""
    async with database.shared() as conn:
        await audit.hold_still(conn)
        return await read(conn, floor=floor, on_progress=on_progress)


async def read(
    conn: Connection, *, floor: Decimal, on_progress: OnProgress | None = None
) -> Report:
    """Read everything as this transaction sees it; it must see one moment."""
    counts = await audit.counts(conn)
    audited = _Audit(conn, floor)
    above = -1
    last = (LARGEST_ACCOUNT, counts["accounts"])
    for upto, done in [*await audit.borders(conn, RANGE_SIZE), last]:
        await audited.read(above, upto)
        if on_progress is not None:
            on_progress(done, counts["accounts"])
        above = upto
    await audited.finish()
    return Report(
        **counts, findings=tuple(audited.findings[:MOST_FINDINGS]), heads=tuple(audited.heads)
    )


class _Audit:
    def __init__(self, conn: Connection, floor: Decimal) -> None:
        self._conn, self._floor = conn, floor
        self.findings: list[Finding] = []
        self.heads: list[Head] = []

    @property
    def _room(self) -> int:
        return max(MOST_FINDINGS - len(self.findings), 0)

    async def read(self, above: int, upto: int) -> None:
        """Look at the accounts above one number, up to another."""
        rows = await audit.heads(self._conn, above, upto)
        self.heads += [Head(row["id"], row["email"], row["head"]) for row in rows]
        self._note(await audit.chain(self._conn, above, upto, self._room, floor=self._floor))
        for question in audit.QUESTIONS:
            self._note(await audit.ask(self._conn, question, above, upto, self._room))

    async def finish(self) -> None:
        """Look at what belongs to no account; the house's rows are named where they differ."""
        differ = any(one.invariant is Invariant.DOUBLE for one in self.findings)
        if differ or await audit.sides_differ(self._conn):
            self._note(await audit.strays(self._conn, self._room))
        self._note(await audit.nobodys_charges(self._conn, self._room))

    def _note(self, rows: list[Row]) -> None:
        self.findings += [
            Finding(
                invariant=Invariant(row["invariant"]),
                account=row["account"],
                movement=row["movement"],
                expected=row["expected"] or "",
                found=row["found"] or "",
            )
            for row in rows
        ]
