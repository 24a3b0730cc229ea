"""Promo codes, and the orders that use them."""

from datetime import datetime
from decimal import Decimal

from zapisano.db import Row, SharedConnection
from zapisano.payments.model import OrderId
from zapisano.payments.promo_model import Promo


def _promo(row: Row) -> Promo:
    return Promo(
        code=row["code"],
        percent=row["percent"],
        fixed=row["fixed"],
        uses=row["uses"],
        until=row["until"],
        plans=tuple(row["plans"]) if row["plans"] is not None else None,
        once_per_person=row["once_per_person"],
        created_at=row["created_at"],
        ended_at=row["ended_at"],
    )


async def insert_promo(conn: SharedConnection, promo: Promo) -> bool:
    """Keep a new code; return False if there is such a one."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.promo_codes
                   (code, percent, fixed, uses, until, plans, once_per_person, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (code) DO NOTHING""",
            promo.code,
            promo.percent,
            promo.fixed,
            promo.uses,
            promo.until,
            list(promo.plans) if promo.plans is not None else None,
            promo.once_per_person,
            promo.created_at,
        )
    )


async def find_promo(conn: SharedConnection, code: str, *, lock: bool = False) -> Promo | None:
    """Return a code, or None; with `lock` nobody else takes a use until this transaction ends."""
    if lock:
        await conn.execute("SELECT 1 FROM shared.promo_codes WHERE code = $1 FOR UPDATE", code)
    row = await conn.fetchrow(
        """SELECT code, percent, fixed, uses, until, plans, once_per_person, created_at, ended_at
           FROM shared.promo_codes WHERE code = $1""",
        code,
    )
    return _promo(row) if row else None


async def all_promos(conn: SharedConnection) -> list[Promo]:
    """Return every code, the newest first."""
    rows = await conn.fetch(
        """SELECT code, percent, fixed, uses, until, plans, once_per_person, created_at, ended_at
           FROM shared.promo_codes ORDER BY created_at DESC, code"""
    )
    return [_promo(row) for row in rows]


async def end_promo(conn: SharedConnection, code: str, now: datetime) -> bool:
    """Let nobody use a code any more; return False if it has ended before."""
    return bool(
        await conn.execute(
            "UPDATE shared.promo_codes SET ended_at = $2 WHERE code = $1 AND ended_at IS NULL",
            code,
            now,
        )
    )


async def count_uses(
    conn: SharedConnection,
    code: str,
    *,
    unasked_since: datetime,
    besides: OrderId | None = None,
    buyer_id: int | None = None,
) -> int:
    """Count the orders that hold a code, `besides` one, of one buyer or of all.

    Those that are canceled hold none, nor those that nobody has begun to pay `unasked_since`.
    """
    return int(
        await conn.fetchval(
            """SELECT count(*) FROM shared.orders
               WHERE promo_code = $1 AND status <> 'canceled'
                   AND (status <> 'created' OR requested_at IS NOT NULL OR created_at > $2)
                   AND ($3::uuid IS NULL OR id <> $3) AND ($4::bigint IS NULL OR buyer_id = $4)""",
            code,
            unasked_since,
            besides,
            buyer_id,
        )
    )


async def unasked_with(conn: SharedConnection, code: str, buyer_id: int) -> list[OrderId]:
    """Return a buyer's orders with a code that nobody has begun to pay."""
    rows = await conn.fetch(
        """SELECT id FROM shared.orders WHERE promo_code = $1 AND buyer_id = $2
               AND status = 'created' AND requested_at IS NULL ORDER BY id FOR UPDATE""",
        code,
        buyer_id,
    )
    return [OrderId(str(row["id"])) for row in rows]


async def reprice(
    conn: SharedConnection,
    order_id: OrderId,
    *,
    code: str | None,
    amount: Decimal,
    body: str,
    now: datetime,
) -> bool:
    """Write an order's new price; return False if its payment was asked for already.

    With a code it is an offer of this moment, however old the order: it holds the use from now on.
    """
    return bool(
        await conn.execute(
            """UPDATE shared.orders SET promo_code = $2, amount = $3, request_body = $4,
                   created_at = CASE WHEN $2::text IS NULL THEN created_at ELSE $5 END
               WHERE id = $1 AND status = 'created' AND requested_at IS NULL""",
            order_id,
            code,
            amount,
            body,
            now,
        )
    )


async def note_code(conn: SharedConnection, person_id: int, code: str, now: datetime) -> None:
    """Remember which code a person has come with; the last one counts."""
    await conn.execute(
        """INSERT INTO shared.noted_codes (person_id, code, noted_at) VALUES ($1, $2, $3)
           ON CONFLICT (person_id) DO UPDATE
           SET code = excluded.code, noted_at = excluded.noted_at""",
        person_id,
        code,
        now,
    )


async def noted_code(conn: SharedConnection, person_id: int, since: datetime) -> str | None:
    """Return the code that a person has come with `since` then."""
    found: str | None = await conn.fetchval(
        "SELECT code FROM shared.noted_codes WHERE person_id = $1 AND noted_at > $2",
        person_id,
        since,
    )
    return found


async def forget_code(conn: SharedConnection, person_id: int, code: str) -> None:
    """Forget that a person has come with a code: it is used."""
    await conn.execute(
        "DELETE FROM shared.noted_codes WHERE person_id = $1 AND code = $2", person_id, code
    )


async def has_paid_besides(conn: SharedConnection, buyer_id: int, order_id: OrderId) -> bool:
    """Say whether a person has paid another order than this one."""
    return bool(
        await conn.fetchval(
            """SELECT EXISTS (SELECT FROM shared.orders
               WHERE buyer_id = $1 AND id <> $2 AND status = 'paid')""",
            buyer_id,
            order_id,
        )
    )
