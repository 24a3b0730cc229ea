"""What the operator's desk asks about notifications, orders and reviews."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import LiteralString

from zapisano.db import SharedConnection
from zapisano.payments.model import OrderId

# A notification is dead when nobody will handle it any more: its job was held after its last
# attempt, or is gone. A bug's own words may repeat a row, so only its class is told.
NOTICES: LiteralString = """
    WITH asked AS MATERIALIZED (
        SELECT coalesce(p.said ->> 'refund_id', p.said ->> 'payment_id') AS object_id,
               count(p.id) FILTER (WHERE p.status <> 'failed') AS live,
               array_agg(p.id) AS jobs, max(p.attempts) AS attempts
        FROM (SELECT q.id, q.status::text, q.attempts,
                     convert_from(q.payload, 'UTF8')::jsonb AS said
              FROM shared.pgqueuer AS q WHERE q.entrypoint = ANY ($1::text[])) AS p
        GROUP BY 1
    ), notices AS (
        SELECT n.id, n.event, n.object_id, n.deliveries, n.received_at, n.handled_at, n.outcome,
               coalesce(a.attempts, 0) AS attempts, coalesce(a.jobs, '{}') AS jobs,
               CASE WHEN n.handled_at IS NOT NULL THEN 'handled'
                    WHEN coalesce(a.live, 0) > 0 THEN 'waiting' ELSE 'dead' END AS state
        FROM shared.notifications AS n LEFT JOIN asked AS a
            ON a.object_id = n.object_id AND n.handled_at IS NULL
    ) """
COLUMNS: LiteralString = """
    SELECT id, event, object_id, deliveries, received_at, handled_at, outcome, attempts, jobs,
           state, coalesce((
               SELECT CASE l.traceback ->> 'exception_type' WHEN 'RetryRequested'
                   THEN l.traceback ->> 'exception_message'
                   ELSE l.traceback ->> 'exception_type' END
               FROM shared.pgqueuer_log AS l
               WHERE l.job_id = ANY (jobs) AND l.traceback IS NOT NULL
               ORDER BY l.created DESC, l.id DESC LIMIT 1), '') AS error
    FROM notices """

COUNTS: LiteralString = "SELECT state, count(id) AS notices FROM notices GROUP BY state"
DEAD: LiteralString = """
    SELECT count(id) FROM notices WHERE handled_at IS NULL AND state = 'dead'"""


@dataclass(frozen=True)
class Notice:
    """A notification as the operator sees it. `state`: handled, waiting or dead.

    `jobs` are those that would handle it, `error` is what went wrong with them last.
    """

    id: int
    event: str
    object_id: str
    deliveries: int
    received_at: datetime
    handled_at: datetime | None
    outcome: str | None
    attempts: int
    jobs: Sequence[int]
    state: str
    error: str


@dataclass(frozen=True)
class Review:
    """What is before a person: why, since when, and what was said when it was closed."""

    id: int
    reason: str
    payment_id: str | None
    order_id: str | None
    amount: Decimal | None
    created_at: datetime
    closed_at: datetime | None
    note: str | None


@dataclass(frozen=True)
class Found:
    """An order as a search shows it."""

    order_id: str
    payment_id: str | None
    status: str
    amount: Decimal
    what: str
    holder: str
    last4: str | None
    created_at: datetime
    paid_at: datetime | None


@dataclass(frozen=True)
class Line:
    """A line of the journal that speaks of an order or its payment."""

    at: datetime
    kind: str
    tenant: str | None
    data: Mapping[str, object]


async def notices(
    conn: SharedConnection, kinds: Sequence[str], *, state: str | None, limit: int
) -> list[Notice]:
    """Return the newest notifications, of one state or all; jobs of `kinds` handle them."""
    rows = await conn.fetch(
        NOTICES + COLUMNS + "WHERE $2::text IS NULL OR state = $2 ORDER BY id DESC LIMIT $3",
        list(kinds),
        state,
        limit,
    )
    return [Notice(**row) for row in rows]


async def notices_of(
    conn: SharedConnection, kinds: Sequence[str], *, ids: Sequence[int], objects: Sequence[str]
) -> list[Notice]:
    """Return the notifications with these ids, or about these objects, oldest first."""
    rows = await conn.fetch(
        NOTICES + COLUMNS + "WHERE id = ANY ($2) OR object_id = ANY ($3::text[]) ORDER BY id",
        list(kinds),
        list(ids),
        list(objects),
    )
    return [Notice(**row) for row in rows]


async def count_notices(conn: SharedConnection, kinds: Sequence[str]) -> dict[str, int]:
    """Return how many notifications there are, by state."""
    rows = await conn.fetch(NOTICES + COUNTS, list(kinds))
    return {row["state"]: row["notices"] for row in rows}


async def count_dead(conn: SharedConnection, kinds: Sequence[str]) -> int:
    """Return how many notifications nobody will handle; cheap where few are unhandled."""
    return int(await conn.fetchval(NOTICES + DEAD, list(kinds)))


async def list_reviews(
    conn: SharedConnection, *, subjects: Sequence[str] | None, limit: int
) -> list[Review]:
    """Return open reviews, or all about these payments and orders, oldest first."""
    rows = await conn.fetch(
        """SELECT r.id, r.reason, r.payment_id, r.order_id::text AS order_id, o.amount,
                  r.created_at, r.closed_at, r.note
           FROM shared.reviews AS r LEFT JOIN shared.orders AS o ON o.id = r.order_id
           WHERE CASE WHEN $1::text[] IS NULL THEN r.closed_at IS NULL
               ELSE r.payment_id = ANY ($1) OR r.order_id::text = ANY ($1) END
           ORDER BY r.id LIMIT $2""",
        list(subjects) if subjects is not None else None,
        limit,
    )
    return [Review(**row) for row in rows]


async def order_of_review(conn: SharedConnection, review_id: int) -> OrderId | None:
    """Return the order that a review is about, if it is about one."""
    found = await conn.fetchval("SELECT order_id FROM shared.reviews WHERE id = $1", review_id)
    return OrderId(str(found)) if found else None


async def close_review(
    conn: SharedConnection, review_id: int, note: str, now: datetime
) -> Review | None:
    """Close a review with a note; None where none with this id is open."""
    row = await conn.fetchrow(
        """UPDATE shared.reviews AS r SET closed_at = $3, note = $2
           WHERE r.id = $1 AND r.closed_at IS NULL
           RETURNING r.id, r.reason, r.payment_id, r.order_id::text AS order_id,
               NULL::numeric AS amount, r.created_at, r.closed_at, r.note""",
        review_id,
        note,
        now,
    )
    return Review(**row) if row else None


async def search(
    conn: SharedConnection, wanted: str, *, digits: str, telegram_id: int | None, limit: int
) -> list[Found]:
    """Return the newest orders that a word of a buyer's leads to.

    `digits` are those of a telephone number ('' where the word is none), without the leading 7
    or 8 that Russians write in turn.
    """
    rows = await conn.fetch(
        """SELECT o.id::text AS order_id, o.payment_id, o.status, o.amount,
                  coalesce(o.plan, o.credits::text || ' credits') AS what,
                  coalesce(o.tenant_id, o.email, o.company_name) AS holder,
                  o.card_last4 AS last4, o.created_at, o.paid_at
           FROM shared.orders AS o
           WHERE o.id::text = lower($1) OR o.payment_id = $1 OR o.tenant_id = $1
               OR o.card_last4 = $1 OR o.buyer_id = $2 OR lower(o.email) = lower($1)
               OR lower(o.receipt_contact) = lower($1)
               OR ($3 <> '' AND o.receipt_contact !~ '@'
                   AND regexp_replace(o.receipt_contact, '[^0-9]', '', 'g') IN
                       ($3, '7' || $3, '8' || $3))
           ORDER BY o.created_at DESC, o.id LIMIT $4""",
        wanted,
        telegram_id,
        digits,
        limit,
    )
    return [Found(**row) for row in rows]


async def lines(conn: SharedConnection, subjects: Sequence[str], *, limit: int) -> list[Line]:
    """Return the journal's lines about these payments and orders, oldest first."""
    rows = await conn.fetch(
        """SELECT at, kind, tenant, data FROM shared.journal
           WHERE subject = ANY ($1::text[]) OR data ->> 'order_id' = ANY ($1)
               OR data ->> 'payment_id' = ANY ($1)
           ORDER BY id LIMIT $2""",
        list(subjects),
        limit,
    )
    return [Line(**row) for row in rows]
