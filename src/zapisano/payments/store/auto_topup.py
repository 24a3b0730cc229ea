"""Saved methods of accounts of credits, and the orders that charge them."""

from datetime import datetime

from zapisano.db import Row, SharedConnection
from zapisano.payments.auto_model import AutoMethod
from zapisano.payments.model import AutoTerms, OrderId


async def claim(
    conn: SharedConnection, now: datetime, *, day: datetime, until: datetime, limit: int
) -> list[int]:
    """Return the methods to charge now, and let nobody else have them before `until`.

    Their accounts have less than was agreed, nothing is on its way to them, and of the day that
    began at `day` something is left.
    """
    rows = await conn.fetch(
        """WITH mine AS (
               SELECT m.id FROM shared.saved_methods AS m
               JOIN public.user_balances AS a ON credits.fold(a.email) = m.email
               WHERE m.email IS NOT NULL AND m.ended_at IS NULL AND m.next_at <= $1
                 AND (m.claimed_until IS NULL OR m.claimed_until <= $1)
                 AND a.frozen IS NULL AND a.head IS NOT NULL AND a.balance < m.agreed_below
                 AND NOT EXISTS (SELECT FROM shared.orders AS o WHERE o.email = m.email
                     AND (o.status IN ('created', 'pending') AND o.requested_at IS NOT NULL
                         OR o.status = 'review' AND EXISTS (SELECT FROM shared.reviews AS r
                             WHERE r.order_id = o.id AND r.closed_at IS NULL)))
                 AND m.agreed_per_day > (SELECT count(o.id) FROM shared.orders AS o
                     WHERE o.email = m.email AND o.charge_key IS NOT NULL AND o.created_at >= $2
                         AND o.status <> 'canceled' AND o.requested_at IS NOT NULL)
               ORDER BY m.next_at LIMIT $4 FOR UPDATE OF m SKIP LOCKED
           )
           UPDATE shared.saved_methods AS m SET claimed_until = $3
           FROM mine WHERE m.id = mine.id RETURNING m.id""",
        now,
        day,
        until,
        limit,
    )
    return [row["id"] for row in rows]


async def is_in_the_way(conn: SharedConnection, email: str) -> bool:
    """Say whether other money may be on its way to an account, or a person looks at some."""
    return bool(
        await conn.fetchval(
            """SELECT EXISTS (SELECT FROM shared.orders AS o WHERE o.email = $1
               AND (o.status IN ('created', 'pending') AND o.requested_at IS NOT NULL
                   OR o.status = 'review' AND EXISTS (SELECT FROM shared.reviews AS r
                       WHERE r.order_id = o.id AND r.closed_at IS NULL)))""",
            email,
        )
    )


async def charges_since(conn: SharedConnection, email: str, day: datetime) -> int:
    """Return how many charges of an account since then have brought money, or may have."""
    return int(
        await conn.fetchval(
            """SELECT count(id) FROM shared.orders
               WHERE email = $1 AND charge_key IS NOT NULL AND created_at >= $2
                 AND status <> 'canceled' AND requested_at IS NOT NULL""",
            email,
            day,
        )
    )


async def open_charge(conn: SharedConnection, email: str) -> OrderId | None:
    """Return the account's charge that is not over; there is one at most."""
    found = await conn.fetchval(
        """SELECT id FROM shared.orders
           WHERE email = $1 AND charge_key IS NOT NULL AND status IN ('created', 'pending')""",
        email,
    )
    return OrderId(str(found)) if found else None


async def newest(conn: SharedConnection, email: str) -> AutoMethod | None:
    """Return the account's last method, be it ended or not, or None."""
    return _method(
        await conn.fetchrow(
            """SELECT id, email, method_id, title, last4, order_id, agreed_below, agreed_amount,
                   agreed_per_day, receipt_contact, next_at, declines, declined_for, ended_for
               FROM shared.saved_methods WHERE email = $1 ORDER BY id DESC LIMIT 1""",
            email,
        )
    )


async def lock(conn: SharedConnection, method: int) -> AutoMethod | None:
    """Return a method that has not ended; nobody else changes it until this transaction ends."""
    return _method(
        await conn.fetchrow(
            """SELECT id, email, method_id, title, last4, order_id, agreed_below, agreed_amount,
                   agreed_per_day, receipt_contact, next_at, declines, declined_for, ended_for
               FROM shared.saved_methods
               WHERE id = $1 AND email IS NOT NULL AND ended_at IS NULL FOR UPDATE""",
            method,
        )
    )


async def active_of_order(conn: SharedConnection, order_id: OrderId) -> int | None:
    """Return the method that an order has left, or is charged by, unless it has ended."""
    method: int | None = await conn.fetchval(
        """SELECT m.id FROM shared.orders AS o JOIN shared.saved_methods AS m ON m.email = o.email
           WHERE o.id = $1 AND m.ended_at IS NULL
             AND (m.order_id = o.id OR starts_with(o.charge_key, 'topup:' || m.id || ':'))""",
        order_id,
    )
    return method


async def hold(conn: SharedConnection, method: int) -> bool:
    """Keep a method from being ended until this transaction ends; False if it has been."""
    return bool(
        await conn.fetchval(
            """SELECT true FROM shared.saved_methods
               WHERE id = $1 AND ended_at IS NULL FOR SHARE""",
            method,
        )
    )


async def insert(conn: SharedConnection, method: AutoMethod, now: datetime) -> bool:
    """Keep a method; return False if its order has kept one before."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.saved_methods (
                   email, method_id, title, last4, order_id, agreed_below, agreed_amount,
                   agreed_per_day, receipt_contact, next_at, saved_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
               ON CONFLICT (order_id) DO NOTHING""",
            method.email,
            method.method_id,
            method.title,
            method.last4,
            method.order_id,
            method.terms.below,
            method.terms.amount,
            method.terms.per_day,
            method.receipt_contact,
            method.next_at,
            now,
        )
    )


async def end(conn: SharedConnection, email: str, why: str, now: datetime) -> OrderId | None:
    """Forget how to charge an account; return the order that had left it, None if nothing had."""
    found = await conn.fetchval(
        """UPDATE shared.saved_methods
           SET ended_at = $2, ended_for = $3, method_id = NULL, receipt_contact = NULL
           WHERE email = $1 AND ended_at IS NULL RETURNING order_id""",
        email,
        now,
        why,
    )
    return OrderId(str(found)) if found else None


async def count_charge(conn: SharedConnection, method: int) -> int:
    """Count an order that charges a method; return which it is, from 1."""
    return int(
        await conn.fetchval(
            """UPDATE shared.saved_methods SET charges = charges + 1
               WHERE id = $1 RETURNING charges""",
            method,
        )
    )


async def note_decline(conn: SharedConnection, method: int, reason: str, next_at: datetime) -> None:
    """Count a decline in a row, and wait."""
    await conn.execute(
        """UPDATE shared.saved_methods
           SET declines = declines + 1, declined_for = $2, next_at = $3 WHERE id = $1""",
        method,
        reason,
        next_at,
    )


async def note_success(conn: SharedConnection, method: int, now: datetime) -> None:
    """Forget the declines in a row, and wait for nothing."""
    await conn.execute(
        """UPDATE shared.saved_methods
           SET declines = 0, declined_for = NULL, next_at = $2, claimed_until = NULL
           WHERE id = $1""",
        method,
        now,
    )


def _method(row: Row | None) -> AutoMethod | None:
    if row is None:
        return None
    return AutoMethod(
        id=row["id"],
        email=row["email"],
        method_id=row["method_id"],
        title=row["title"],
        last4=row["last4"],
        order_id=OrderId(str(row["order_id"])),
        terms=AutoTerms(row["agreed_below"], row["agreed_amount"], row["agreed_per_day"]),
        receipt_contact=row["receipt_contact"],
        next_at=row["next_at"],
        declines=row["declines"],
        declined_for=row["declined_for"],
        ended_for=row["ended_for"],
    )
