"""Accounts as the operator sees them: frozen ones too, and what lies under and beside a balance."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from zapisano.credits.model import fold
from zapisano.db import Connection, Row

MOST_LISTED = 1000


@dataclass(frozen=True)
class Stored:
    """A row of `public.user_balances`; one of the original system may lack what ours have.

    `frozen` is why nobody may move it; `is_adopted`: the ledger knows it.
    """

    id: int
    email: str
    balance: Decimal | None
    total_spent: Decimal | None
    held: Decimal
    promo: Decimal
    remainder: Decimal
    is_test: bool | None
    frozen: str | None
    is_adopted: bool
    created_at: datetime | None

    @property
    def funds(self) -> Decimal | None:
        """The balance, where it is a number."""
        return self.balance if self.balance is not None and self.balance.is_finite() else None


@dataclass(frozen=True)
class OpenHold:
    """A hold that has not ended."""

    id: UUID
    amount: Decimal
    expires_at: datetime


@dataclass(frozen=True)
class GrantLeft:
    """What is left of a grant that ends; `id` is the movement that brought it."""

    id: int
    amount: Decimal
    remaining: Decimal
    expires_at: datetime


@dataclass(frozen=True)
class Ranked:
    """An account and the figure it is ranked by; without a balance when it is frozen or gone."""

    email: str
    figure: Decimal
    balance: Decimal | None


async def of_address(conn: Connection, email: str) -> list[Stored]:
    """Return the rows of an address, however it is spelled in them, by number."""
    rows = await conn.fetch(
        """SELECT id, email, balance, total_spent, held, promo, remainder, is_test_account, frozen,
               head IS NOT NULL AS is_adopted,
               CASE WHEN created_at >= '0001-01-03Z' AND created_at < '9999-01-01Z'
                   THEN created_at END AS created_at
           FROM public.user_balances WHERE credits.fold(email) = $1 ORDER BY id""",
        fold(email),
    )
    return [_stored(row) for row in rows]


async def lock(conn: Connection, email: str) -> None:
    """Keep others off the rows of an address, in the order in which opening and batches lock."""
    await conn.fetchval("SELECT credits.guard($1)", email)
    await conn.fetch(
        """SELECT id FROM public.user_balances WHERE credits.fold(email) = $1
           ORDER BY id FOR NO KEY UPDATE""",
        fold(email),
    )


async def frozen(conn: Connection) -> list[Stored]:
    """Return accounts about which the operator has to decide, those of one address together."""
    rows = await conn.fetch(
        """SELECT id, email, balance, total_spent, held, promo, remainder, is_test_account, frozen,
               head IS NOT NULL AS is_adopted,
               CASE WHEN created_at >= '0001-01-03Z' AND created_at < '9999-01-01Z'
                   THEN created_at END AS created_at
           FROM public.user_balances WHERE frozen IS NOT NULL AND frozen <> 'merged'
           ORDER BY credits.fold(email), id LIMIT $1""",
        MOST_LISTED,
    )
    return [_stored(row) for row in rows]


async def freeze(conn: Connection, accounts: Sequence[int], reason: str | None) -> None:
    """Freeze accounts, or with no reason let them move again."""
    await conn.execute(
        "UPDATE public.user_balances SET frozen = $2 WHERE id = ANY ($1)", accounts, reason
    )


async def set_balance(conn: Connection, account: int, balance: Decimal) -> None:
    """Give a frozen account that is not adopted a balance that is a number."""
    await conn.execute(
        "UPDATE public.user_balances SET balance = $2 WHERE id = $1 AND head IS NULL",
        account,
        balance,
    )


async def mend_spent(conn: Connection, accounts: list[int]) -> None:
    """Begin to count what is spent at 0 where it is no number and the ledger does not know it."""
    await conn.execute(
        """UPDATE public.user_balances SET total_spent = 0
           WHERE id = ANY($1::int[]) AND head IS NULL
               AND (total_spent IS NULL OR total_spent = 'NaN')""",
        accounts,
    )


async def open_holds(conn: Connection, account: int) -> list[OpenHold]:
    """Return an account's open holds, those that end first before."""
    rows = await conn.fetch(
        """SELECT id, amount, expires_at FROM credits.holds
           WHERE account = $1 AND state = 'open' ORDER BY expires_at, id""",
        account,
    )
    return [OpenHold(**row) for row in rows]


async def grants_left(conn: Connection, account: int) -> list[GrantLeft]:
    """Return an account's grants of which something is left, those that end first before."""
    rows = await conn.fetch(
        """SELECT id, amount, remaining, expires_at FROM credits.grants
           WHERE account = $1 AND remaining > 0 ORDER BY expires_at, id""",
        account,
    )
    return [GrantLeft(**row) for row in rows]


async def count_movements(conn: Connection, account: int | None) -> int:
    """Return how many movements an account has, or with None everybody."""
    if account is None:
        return int(
            await conn.fetchval("SELECT count(movement) FROM credits.postings WHERE account >= 0")
        )
    return int(
        await conn.fetchval(
            "SELECT count(movement) FROM credits.postings WHERE account = $1", account
        )
    )


async def top_by_balance(conn: Connection, limit: int) -> list[Ranked]:
    """Return who has most."""
    rows = await conn.fetch(
        """SELECT email, balance AS figure, balance FROM public.user_balances
           WHERE frozen IS NULL ORDER BY balance DESC, id LIMIT $1""",
        limit,
    )
    return [Ranked(**row) for row in rows]


async def top_by_spent(conn: Connection, limit: int) -> list[Ranked]:
    """Return who has spent most since the beginning."""
    rows = await conn.fetch(
        """SELECT email, total_spent AS figure, balance FROM public.user_balances
           WHERE frozen IS NULL ORDER BY total_spent DESC, id LIMIT $1""",
        limit,
    )
    return [Ranked(**row) for row in rows]


async def top_by_spent_since(conn: Connection, since: datetime, limit: int) -> list[Ranked]:
    """Return who has spent most since then; what was refunded since then is taken off."""
    rows = await conn.fetch(
        """SELECT m.email, sum(m.amount) AS figure, max(a.balance) AS balance
           FROM (
               SELECT credits.fold(t.email) AS email, t.amount
               FROM public.credit_transactions AS t WHERE t.created_at >= $1
               UNION ALL
               SELECT credits.fold(r.email), -p.amount
               FROM credits.postings AS p JOIN public.user_balances AS r ON r.id = p.account
               WHERE p.kind = 'refund' AND p.created_at >= $1
           ) AS m
           LEFT JOIN public.user_balances AS a
               ON credits.fold(a.email) = m.email AND a.frozen IS NULL
           GROUP BY m.email ORDER BY figure DESC, m.email LIMIT $2""",
        since,
        limit,
    )
    return [Ranked(**row) for row in rows]


async def top_by_charges(conn: Connection, since: datetime | None, limit: int) -> list[Ranked]:
    """Return who was charged most often, since then or since the beginning."""
    rows = await conn.fetch(
        """SELECT m.email, m.charges::numeric AS figure, a.balance
           FROM (
               SELECT credits.fold(t.email) AS email, count(t.id) AS charges
               FROM public.credit_transactions AS t
               WHERE $1::timestamptz IS NULL OR t.created_at >= $1
               GROUP BY credits.fold(t.email) ORDER BY charges DESC, email LIMIT $2
           ) AS m
           LEFT JOIN public.user_balances AS a
               ON credits.fold(a.email) = m.email AND a.frozen IS NULL
           ORDER BY m.charges DESC, m.email""",
        since,
        limit,
    )
    return [Ranked(**row) for row in rows]


def _stored(row: Row) -> Stored:
    return Stored(
        id=row["id"],
        email=row["email"],
        balance=row["balance"],
        total_spent=row["total_spent"],
        held=row["held"],
        promo=row["promo"],
        remainder=row["remainder"],
        is_test=row["is_test_account"],
        frozen=row["frozen"],
        is_adopted=row["is_adopted"],
        created_at=row["created_at"],
    )
