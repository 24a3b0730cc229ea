"""Histories: what the ledger holds, and what the system before us has left."""

from datetime import UTC, datetime

from zapisano.credits.entry import Entry, Filter, Kind, Place
from zapisano.credits.model import Account, fold
from zapisano.db import Connection, Row

END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


async def postings(
    conn: Connection, account: Account, where: Filter, *, before: int, limit: int, window: int
) -> list[Entry]:
    """Return an account's movements, newest first; no more than `window` of them are looked at."""
    rows = await conn.fetch(
        """SELECT $8::text AS email, p.movement, p.kind, p.amount, p.balance_after,
               coalesce(t.operation, p.operation, '') AS operation,
               CASE WHEN t.id IS NULL THEN p.metadata ELSE t.metadata END::text AS metadata,
               p.created_at, p.hold, p.refers, p.transaction
           FROM (
               SELECT q.movement, q.kind, q.amount, q.balance_after, q.operation, q.metadata,
                   q.created_at, q.hold, q.refers, q.transaction
               FROM credits.postings AS q
               WHERE q.account = $1 AND q.movement < $2 ORDER BY q.movement DESC LIMIT $9
           ) AS p
           LEFT JOIN public.credit_transactions AS t ON t.id = p.transaction
           WHERE ($3::text[] IS NULL OR p.kind = ANY ($3))
               AND ($4::timestamptz IS NULL OR p.created_at >= $4)
               AND ($5::timestamptz IS NULL OR p.created_at < $5)
               AND ($6 = '' OR position(lower($6) IN lower(coalesce(t.operation, p.operation))) > 0)
           ORDER BY p.movement DESC LIMIT $7""",
        account.id,
        before,
        sorted(where.kinds) or None,
        where.since,
        where.until,
        where.contains,
        limit,
        account.email,
        window,
    )
    return [_entry(row) for row in rows]


async def edge(conn: Connection, account: Account, *, before: int, window: int) -> int | None:
    """Return the last movement that a window from `before` shows; None when it shows them all."""
    found: int | None = await conn.fetchval(
        """SELECT movement FROM credits.postings WHERE account = $1 AND movement < $2
           ORDER BY movement DESC OFFSET $3 - 1 LIMIT 1""",
        account.id,
        before,
        window,
    )
    return found


async def carried(
    conn: Connection, account: Account, where: Filter, *, after: Place | None, limit: int
) -> list[Entry]:
    """Return what the original system charged to an account, newest first.

    Those are the charges up to the one that an account's adoption names, under any spelling of its
    address; all of them, where a spelling was never adopted. Ours have a movement. A date that no
    calendar of ours has counts as none.
    """
    rows = await conn.fetch(
        """SELECT c.email, NULL::bigint AS movement, 'charge' AS kind, -c.amount AS amount,
               c.balance_after, c.operation, c.metadata::text AS metadata, c.created_at,
               NULL::uuid AS hold, NULL::bigint AS refers, c.id AS transaction
           FROM public.user_balances AS a CROSS JOIN LATERAL (
               SELECT coalesce((
                   SELECT greatest((p.metadata ->> 'transactions')::bigint, o.transactions)
                   FROM credits.postings AS p WHERE p.account = a.id ORDER BY p.movement LIMIT 1
               ), 9223372036854775807) AS upto FROM credits.carried_over AS o
           ) AS k CROSS JOIN LATERAL (
               (SELECT t.id, t.email, t.amount, t.operation, t.metadata, t.balance_after,
                    t.created_at
                FROM public.credit_transactions AS t
                WHERE k.upto > 0 AND t.email = a.email AND t.movement IS NULL
                    AND (t.created_at, t.id) < ($2::timestamptz, $3::bigint)
                    AND t.created_at >= '0001-01-03Z' AND t.id <= k.upto
                    AND ($4::timestamptz IS NULL OR t.created_at >= $4)
                    AND ($5::timestamptz IS NULL OR t.created_at < $5)
                    AND ($6 = '' OR position(lower($6) IN lower(t.operation)) > 0)
                ORDER BY t.created_at DESC, t.id DESC LIMIT $7)
               UNION ALL
               (SELECT t.id, t.email, t.amount, t.operation, t.metadata, t.balance_after, NULL
                FROM public.credit_transactions AS t
                WHERE k.upto > 0 AND t.email = a.email AND t.movement IS NULL
                    AND t.id <= k.upto AND (t.created_at IS NULL
                        OR t.created_at < '0001-01-03Z' OR t.created_at >= '9999-01-01Z')
                    AND ($2 IS NOT NULL OR t.id < $3)
                    AND $4::timestamptz IS NULL AND $5::timestamptz IS NULL
                    AND ($6 = '' OR position(lower($6) IN lower(t.operation)) > 0)
                ORDER BY t.id DESC LIMIT $7)
           ) AS c
           WHERE credits.fold(a.email) = $1
           ORDER BY c.created_at DESC NULLS LAST, c.id DESC LIMIT $7""",
        fold(account.email),
        END_OF_TIME if after is None else after.created_at,
        0 if after is None else after.transaction,
        where.since,
        where.until,
        where.contains,
        limit,
    )
    return [_entry(row) for row in rows]


async def all_postings(
    conn: Connection, *, after: tuple[int, int], limit: int
) -> tuple[list[Entry], tuple[int, int] | None]:
    """Return everybody's movements after an account's movement, and after which to go on."""
    rows = await conn.fetch(
        """SELECT p.account, coalesce(a.email, '') AS email, p.movement, p.kind, p.amount,
               p.balance_after, coalesce(t.operation, p.operation, '') AS operation,
               CASE WHEN t.id IS NULL THEN p.metadata ELSE t.metadata END::text AS metadata,
               p.created_at, p.hold, p.refers, p.transaction
           FROM credits.postings AS p
           LEFT JOIN public.user_balances AS a ON a.id = p.account
           LEFT JOIN public.credit_transactions AS t ON t.id = p.transaction
           WHERE p.account >= 0 AND (p.account, p.movement) > ($1, $2)
           ORDER BY p.account, p.movement LIMIT $3""",
        *after,
        limit,
    )
    last = (rows[-1]["account"], rows[-1]["movement"]) if len(rows) == limit else None
    return [_entry(row) for row in rows], last


async def all_carried(
    conn: Connection, *, after: int, limit: int
) -> tuple[list[Entry], int | None]:
    """Return what the original system charged among the next `limit` charges, oldest first.

    And after which charge to go on. All of them are looked at: what tells the original's from ours
    is the account's adoption.
    """
    last: int | None = await conn.fetchval(
        """SELECT id FROM public.credit_transactions WHERE id > $1::bigint
           ORDER BY id OFFSET $2 - 1 LIMIT 1""",
        after,
        limit,
    )
    rows = await conn.fetch(
        """SELECT t.email, NULL::bigint AS movement, 'charge' AS kind, -t.amount AS amount,
               t.balance_after, t.operation, t.metadata::text AS metadata,
               CASE WHEN t.created_at >= '0001-01-03Z' AND t.created_at < '9999-01-01Z'
                   THEN t.created_at END AS created_at,
               NULL::uuid AS hold, NULL::bigint AS refers, t.id AS transaction
           FROM public.credit_transactions AS t
           LEFT JOIN public.user_balances AS a ON a.email = t.email
           LEFT JOIN LATERAL (
               SELECT greatest((p.metadata ->> 'transactions')::bigint, o.transactions) AS upto
               FROM credits.postings AS p CROSS JOIN credits.carried_over AS o
               WHERE p.account = a.id ORDER BY p.movement LIMIT 1
           ) AS known ON true
           WHERE t.movement IS NULL AND t.id > $1::bigint AND ($2::bigint IS NULL OR t.id <= $2)
               AND (t.id <= known.upto) IS NOT FALSE
           ORDER BY t.id""",
        after,
        last,
    )
    return [_entry(row) for row in rows], last


def _entry(row: Row) -> Entry:
    return Entry(
        email=row["email"],
        movement=row["movement"],
        kind=Kind(row["kind"]),
        amount=row["amount"],
        balance_after=row["balance_after"],
        operation=row["operation"],
        metadata=row["metadata"],
        created_at=row["created_at"],
        hold=row["hold"],
        refers=row["refers"],
        transaction=row["transaction"],
    )
