"""Movements and accounts. The functions are in the migrations `c0002` and `c0003`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from zapisano.credits.model import CENT, LARGEST, Account, Answer, Item, Outcome, Rules, fold
from zapisano.db import Connection, Row


async def post(
    conn: Connection, rules: Rules, items: Sequence[Item], now: datetime, *, waits: bool = True
) -> list[Answer]:
    """Ask for movements, in this order; one answer for each. All are written, or none.

    Unless it `waits`, items of accounts that somebody keeps are answered LOCKED at once.

    Raises:
        Locked: somebody has kept an account for too long; nothing was done.
    """
    rows = await conn.fetch(
        """SELECT n, outcome, movement, amount, balance, hold FROM credits.post(
               $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
               $17::text[]::jsonb[])""",
        now,
        rules.floor,
        LARGEST,
        rules.threshold,
        waits,
        [item.email for item in items],
        [item.verb for item in items],
        [item.amount for item in items],
        [item.cost for item in items],
        [item.partial for item in items],
        [item.hold for item in items],
        [item.expires_at for item in items],
        [item.refers for item in items],
        [item.key for item in items],
        [item.params for item in items],
        [item.operation for item in items],
        [item.metadata for item in items],
    )
    answers = [_answer(row) for row in sorted(rows, key=_number)]
    assert len(answers) == len(items)  # noqa: S101 # the function returns a row for each
    return answers


def _number(row: Row) -> int:
    return cast("int", row["n"])


def _answer(row: Row) -> Answer:
    return Answer(
        Outcome(row["outcome"]), row["movement"] or 0, row["amount"], row["balance"], row["hold"]
    )


async def charge(conn: Connection, rules: Rules, item: Item, now: datetime) -> Answer | None:
    """Charge one account in one statement; None where something about it is unusual."""
    assert item.amount is not None  # noqa: S101 # the caller has looked
    row = await conn.fetchrow(
        """SELECT movement, balance FROM credits.charge(
               $1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb)""",
        now,
        int(rules.floor * 100),  # the driver takes 5 us to send a numeric
        rules.threshold,
        item.email,
        item.amount,
        item.key,
        item.params,
        item.operation,
        item.metadata,
    )
    if row is None or row["movement"] is None:
        return None
    return Answer(Outcome.OK, row["movement"], -item.amount.quantize(CENT), row["balance"])


async def claim_batch(conn: Connection, key: str, params: bytes) -> bool:
    """Take the key of a batch; return False where another batch has it."""
    await conn.execute(
        """INSERT INTO credits.batches (key, params) VALUES ($1, $2)
           ON CONFLICT (key) DO NOTHING""",
        key,
        params,
    )
    is_ours: bool = await conn.fetchval(
        "SELECT params = $2 FROM credits.batches WHERE key = $1", key, params
    )
    return is_ours


async def open_account(conn: Connection, rules: Rules, email: str) -> bool:
    """Make the account of an address, once; return False when it is frozen."""
    opening, is_test = rules.opening_of(email)
    became: Literal["made", "there", "frozen"] = await conn.fetchval(
        "SELECT credits.open($1, $2, $3)", email, opening, is_test
    )
    return became != "frozen"


async def expire(conn: Connection, rules: Rules, email: str, now: datetime) -> int:
    """End the holds and grants of an account whose time has come; return how many."""
    ended: int = await conn.fetchval(
        "SELECT credits.expire($1, $2, $3, $4, $5)",
        email, now, rules.floor, LARGEST, rules.threshold,
    )  # fmt: skip
    return ended


async def renew(
    conn: Connection, email: str, hold: UUID, now: datetime, expires_at: datetime
) -> Outcome:
    """Keep a hold open until `expires_at`; return what became of that."""
    became: str = await conn.fetchval(
        "SELECT credits.renew($1, $2, $3, $4)", email, hold, now, expires_at
    )
    return Outcome(became)


async def find_account(conn: Connection, email: str) -> Account | None:
    """Return the account of an address, unless there is none or it is frozen."""
    row = await conn.fetchrow(
        """SELECT id, email, balance, total_spent, held, promo, remainder, is_test_account,
               expires_at
           FROM public.user_balances
           WHERE credits.fold(email) = $1 AND frozen IS NULL AND head IS NOT NULL""",
        fold(email),
    )
    if row is None:
        return None
    return Account(
        id=row["id"],
        email=row["email"],
        balance=row["balance"],
        total_spent=row["total_spent"],
        held=row["held"],
        promo=row["promo"],
        remainder=row["remainder"],
        is_test=row["is_test_account"],
        expires_at=row["expires_at"],
    )


async def due_accounts(conn: Connection, now: datetime, limit: int) -> list[tuple[int, str]]:
    """Return ids and addresses of accounts whose holds or grants have ended, the oldest first."""
    rows = await conn.fetch(
        """SELECT id, credits.fold(email) AS email FROM public.user_balances
           WHERE expires_at <= $1 AND frozen IS NULL ORDER BY expires_at, id LIMIT $2""",
        now,
        limit,
    )
    return [(row["id"], row["email"]) for row in rows]
