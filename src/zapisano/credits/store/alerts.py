"""Alerts that wait to be sent. `next_at` is when; without it nobody will try (again)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from zapisano.db import Connection, Row


@dataclass(frozen=True)
class Told:
    """Something else about an account: of roubles that were not to be had, why, and until when."""

    kind: str
    amount: Decimal
    reason: str
    again_at: datetime | None


@dataclass(frozen=True)
class Alert:
    """A balance, with what is held of it, has fallen under the threshold; or what `told` says.

    `attempts`: with the one under way.
    """

    id: UUID
    email: str
    movement: int
    balance: Decimal
    threshold: Decimal
    created_at: datetime
    attempts: int
    told: Told | None = None


async def claim(conn: Connection, now: datetime, until: datetime, limit: int) -> list[Alert]:
    """Take alerts whose time has come, so that nobody else takes them before `until`."""
    rows = await conn.fetch(
        """WITH mine AS (
               SELECT a.id, credits.fold(u.email) AS email
               FROM credits.alerts AS a JOIN public.user_balances AS u ON u.id = a.account
               WHERE a.next_at <= $1 ORDER BY a.next_at, a.id LIMIT $3
               FOR UPDATE OF a SKIP LOCKED
           )
           UPDATE credits.alerts AS a SET next_at = $2, attempts = a.attempts + 1, tried_at = $1
           FROM mine AS m LEFT JOIN credits.alert_details AS d ON d.alert = m.id
           WHERE a.id = m.id
           RETURNING a.id, m.email, a.movement, a.balance, a.threshold, a.created_at, a.attempts,
               d.kind, d.amount, d.reason, d.again_at""",
        now,
        until,
        limit,
    )
    return [_alert(row) for row in rows]


def _alert(row: Row) -> Alert:
    told = (row["kind"], row["amount"], row["reason"], row["again_at"])
    return Alert(
        id=row["id"],
        email=row["email"],
        movement=row["movement"],
        balance=row["balance"],
        threshold=row["threshold"],
        created_at=row["created_at"],
        attempts=row["attempts"],
        told=Told(*told) if row["kind"] else None,
    )


async def tell(conn: Connection, email: str, threshold: Decimal, told: Told, now: datetime) -> None:
    """Have something told about an account, by its folded address; of a frozen one nothing is."""
    await conn.execute(
        """WITH alert AS (
               INSERT INTO credits.alerts
                   (account, movement, balance, threshold, created_at, next_at)
               SELECT id, movement, balance, $2, $3, $3 FROM public.user_balances
               WHERE credits.fold(email) = $1 AND frozen IS NULL AND head IS NOT NULL
               RETURNING id
           )
           INSERT INTO credits.alert_details (alert, kind, amount, reason, again_at)
           SELECT id, $4, $5, $6, $7 FROM alert""",
        email,
        threshold,
        now,
        told.kind,
        told.amount,
        told.reason,
        told.again_at,
    )


async def delivered(conn: Connection, alert_ids: Sequence[UUID], now: datetime) -> None:
    """Note that alerts have arrived."""
    await conn.execute(
        """UPDATE credits.alerts SET delivered_at = $2, next_at = NULL, failure = NULL
           WHERE id = ANY ($1) AND delivered_at IS NULL""",
        alert_ids,
        now,
    )


async def failed(conn: Connection, alert: Alert, failure: str, next_at: datetime | None) -> None:
    """Note why an attempt failed and when the next one is, unless there was another meanwhile."""
    await conn.execute(
        """UPDATE credits.alerts SET failure = $3, next_at = $4
           WHERE id = $1 AND attempts = $2 AND delivered_at IS NULL""",
        alert.id,
        alert.attempts,
        failure,
        next_at,
    )


async def close_all(conn: Connection, failure: str, before: datetime) -> int:
    """Give up all alerts that wait since before an instant; return how many there were."""
    return await conn.execute(
        """UPDATE credits.alerts SET next_at = NULL, failure = $1
           WHERE next_at IS NOT NULL AND created_at < $2""",
        failure,
        before,
    )


async def given_up(conn: Connection, since: datetime) -> int:
    """Return how many alerts since then were given up: nobody was told."""
    count: int = await conn.fetchval(
        """SELECT count(id) FROM credits.alerts
           WHERE next_at IS NULL AND delivered_at IS NULL AND created_at >= $1""",
        since,
    )
    return count


async def untried(conn: Connection, before: datetime) -> int:
    """Return how many alerts were due before an instant, and nobody has tried to tell any since."""
    count: int = await conn.fetchval(
        """SELECT count(id) FROM credits.alerts WHERE next_at < $1 AND attempts = 0
               AND NOT EXISTS (SELECT FROM credits.alerts WHERE tried_at >= $1)""",
        before,
    )
    return count


async def is_gone(conn: Connection, address: bytes) -> bool:
    """Say whether an address, by its SHA-256, has said that it is gone."""
    return bool(
        await conn.fetchval("SELECT 1 FROM credits.gone_webhooks WHERE address = $1", address)
    )


async def note_gone(conn: Connection, address: bytes, now: datetime) -> None:
    """Note that an address has said that it is gone."""
    await conn.execute(
        """INSERT INTO credits.gone_webhooks (address, gone_at) VALUES ($1, $2)
           ON CONFLICT (address) DO NOTHING""",
        address,
        now,
    )
