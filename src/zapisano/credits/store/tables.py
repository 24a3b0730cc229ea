"""What stands in the database of the credits, and what is frozen there."""

from dataclasses import dataclass

from zapisano.db import Connection

DOCUMENTED = ("user_balances", "credit_transactions")


@dataclass(frozen=True)
class Frozen:
    """An account that the operator has to decide about."""

    id: int
    email: str
    reason: str


async def existing(conn: Connection) -> list[str]:
    """Return which of the documented tables there are, in the alphabet's order."""
    rows = await conn.fetch(
        """SELECT name FROM unnest($1::text[]) AS name
           WHERE to_regclass('public.' || name) IS NOT NULL ORDER BY name""",
        list(DOCUMENTED),
    )
    return [row["name"] for row in rows]


async def count(conn: Connection) -> dict[str, int]:
    """Return how many rows the documented tables have, in the document's order."""
    row = await conn.fetchrow(
        """SELECT (SELECT count(*) FROM public.user_balances) AS user_balances,
               (SELECT count(*) FROM public.credit_transactions) AS credit_transactions"""
    )
    assert row is not None  # noqa: S101 # an aggregate always has a row
    return {name: row[name] for name in DOCUMENTED}


async def adopt(conn: Connection) -> int:
    """Take over accounts that the ledger does not know yet; return how many."""
    adopted: int = await conn.fetchval("SELECT credits.adopt()")
    return adopted


async def there(conn: Connection, emails: list[str]) -> list[str]:
    """Return which of these addresses have an account, in the alphabet's order."""
    rows = await conn.fetch(
        """SELECT DISTINCT credits.fold(email) AS email FROM public.user_balances
           WHERE credits.fold(email) = ANY($1::text[]) ORDER BY email""",
        emails,
    )
    return [row["email"] for row in rows]


async def frozen(conn: Connection, limit: int) -> list[Frozen]:
    """Return the frozen accounts, those of one address side by side."""
    rows = await conn.fetch(
        """SELECT id, email, frozen FROM public.user_balances
           WHERE frozen IS NOT NULL AND frozen <> 'merged'
           ORDER BY credits.fold(email), id LIMIT $1""",
        limit,
    )
    return [Frozen(row["id"], row["email"], row["frozen"]) for row in rows]
