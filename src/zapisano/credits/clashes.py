"""Accounts of the original system that cannot be one's as they are, and the operator's decision.

Addresses that differ in case are one person's: the operator says which account is kept. The others'
balances are moved into it by postings, and they stay, empty, frozen as `merged`. An account whose
balance is no number is given one; a sum spent that is none begins at 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from zapisano.credits import ledger
from zapisano.credits.model import CENT, LARGEST, Item, Rules, Verb
from zapisano.credits.store import accounts as store
from zapisano.credits.store.accounts import Stored
from zapisano.db import Connection
from zapisano.errors import NotFound, Refused

MERGED = "merged"
NOTHING = Decimal("0.00")


@dataclass(frozen=True)
class Decision:
    """The accounts of one address before and after; `left` is debt that could not be moved."""

    before: list[Stored]
    after: list[Stored]

    @property
    def left(self) -> Decimal:
        """What is left, below zero, on accounts that were merged."""
        gone = (one.funds or NOTHING for one in self.after if one.frozen == MERGED)
        return sum(gone, NOTHING)


async def resolve(
    conn: Connection,
    rules: Rules,
    email: str,
    *,
    keep: int,
    now: datetime,
    balance: Decimal | None = None,
) -> Decision:
    """Keep one account of an address in lower case, and merge the others into it.

    Their open holds are released, and what is left of their grants no longer ends. A debt moves as
    far as the kept account can bear it; the rest stays where it is. `balance` is for a kept account
    that has none.

    Raises:
        NotFound: nothing about this address waits for a decision.
        Refused: `keep` or `balance` cannot be; TooMuch: one account cannot hold so much.
    """
    await store.lock(conn, email)
    before = await store.of_address(conn, email)
    rows = [one for one in before if one.frozen != MERGED]
    if not any(one.frozen for one in rows):
        raise NotFound(f"Nothing about {email} waits for you: see zapisano credits clashes")
    kept = _kept(rows, keep, balance)
    if balance is not None:
        await store.set_balance(conn, keep, balance)
    await store.mend_spent(conn, [one.id for one in rows])
    await store.freeze(conn, [one.id for one in rows], MERGED)
    others = [one for one in rows if one.id != keep and one.funds is not None]
    for one in (*others, kept):
        await _settle(conn, rules, email, one.id, now, is_kept=one.id == keep)
    there = {one.id: one for one in await store.of_address(conn, email)}
    moves = _moves(there[keep], [there[one.id] for one in others], rules.floor)
    for one, amount in moves:
        out = Item(email, Verb.ADJUST, -amount, operation=f"Merged into {kept.email}")
        await _move(conn, rules, out, one.id, now)
    for one, amount in moves:
        into = Item(email, Verb.ADJUST, amount, operation=f"Merged from {one.email}")
        await _move(conn, rules, into, keep, now)
    await store.freeze(conn, [keep], None)
    return Decision(before, await store.of_address(conn, email))


def _kept(rows: Sequence[Stored], keep: int, balance: Decimal | None) -> Stored:
    if any(one.id < 0 for one in rows):
        raise Refused(
            "An account has a number below zero, as the house's have: change its id first"
        )
    kept = next((one for one in rows if one.id == keep), None)
    if kept is None:
        numbers = ", ".join(str(one.id) for one in rows)
        raise Refused(f"--keep: must be one of {numbers}")
    if (kept.funds is None) != (balance is not None):
        raise Refused(
            f"--balance: account {keep} has no number for a balance, say what it is to be"
            if balance is None
            else f"--balance: account {keep} has a balance, change it with: zapisano credits adjust"
        )
    if balance is not None and not (
        balance.is_finite() and 0 <= balance <= LARGEST and balance == balance.quantize(CENT)
    ):
        raise Refused(f"--balance: must be 0 to {LARGEST}, with two places")
    return kept


async def _settle(
    conn: Connection, rules: Rules, email: str, account: int, now: datetime, *, is_kept: bool
) -> None:
    """Adopt an account and end what has ended; give back what one that goes away holds."""
    await store.freeze(conn, [account], None)
    await ledger.account(conn, rules, email, now)
    for hold in () if is_kept else await store.open_holds(conn, account):
        release = Item(email, Verb.RELEASE, operation="Account merged", hold=hold.id)
        await ledger.post(conn, rules, release, now)
    await store.freeze(conn, [account], MERGED)


def _moves(kept: Stored, others: Iterable[Stored], floor: Decimal) -> list[tuple[Stored, Decimal]]:
    """Say what of each balance moves: credits first, so that they bear as much debt as they can."""
    moves: list[tuple[Stored, Decimal]] = []
    bears = (kept.funds or NOTHING) - floor
    for one in sorted(others, key=lambda one: -(one.funds or NOTHING)):
        amount = max(one.funds or NOTHING, -bears)
        if amount:
            moves.append((one, amount))
            bears += amount
    return moves


async def _move(conn: Connection, rules: Rules, item: Item, account: int, now: datetime) -> None:
    """Post to one of several accounts of an address: only one may move at a time."""
    await store.freeze(conn, [account], None)
    await ledger.post(conn, rules, item, now)
    await store.freeze(conn, [account], MERGED)
