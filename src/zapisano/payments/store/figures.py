"""Counts and ages for the metrics."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.payments.model import DIFFERENCES, Figures


async def figures(conn: SharedConnection) -> Figures:
    """Count for the metrics."""
    orders = await conn.fetch(
        "SELECT status, count(id) AS orders FROM shared.orders GROUP BY status"
    )
    settled = await conn.fetch(
        """SELECT status, settled_via, count(id) AS orders FROM shared.orders
           WHERE settled_via IS NOT NULL GROUP BY status, settled_via"""
    )
    reviews = await conn.fetch(
        """SELECT reason,
               count(DISTINCT (payment_id, order_id)) AS reviews,
               count(id) FILTER (WHERE closed_at IS NULL) AS still_open
           FROM shared.reviews GROUP BY reason"""
    )
    errors = await conn.fetch("SELECT code, errors FROM shared.provider_errors")
    ages = await conn.fetchrow(
        """SELECT
            (SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8
             FROM shared.notifications WHERE handled_at IS NULL) AS unhandled,
            (SELECT coalesce(extract(epoch FROM now() - min(o.paid_at)), 0)::float8
             FROM shared.orders AS o JOIN shared.tenants AS t ON t.id = o.tenant_id
             WHERE t.state = 'provisioning' AND o.status = 'paid') AS unprovisioned,
            (SELECT coalesce(extract(epoch FROM max(at)), 0)::float8
             FROM shared.journal WHERE kind = 'payments.reconciled') AS reconciled_at"""
    )
    assert ages is not None  # noqa: S101 # a SELECT without FROM has one row
    return Figures(
        orders={row["status"]: row["orders"] for row in orders},
        settled={(row["status"], row["settled_via"]): row["orders"] for row in settled},
        open_reviews={row["reason"]: row["still_open"] for row in reviews if row["still_open"]},
        reviews={row["reason"]: row["reviews"] for row in reviews},
        provider_errors={row["code"]: row["errors"] for row in errors},
        differences=sum(row["still_open"] for row in reviews if row["reason"] in DIFFERENCES),
        oldest_unhandled_seconds=ages["unhandled"],
        oldest_unprovisioned_seconds=ages["unprovisioned"],
        reconciled_at=ages["reconciled_at"],
    )


async def count_error(conn: SharedConnection, code: str, now: datetime) -> None:
    """Count an error of the provider's, for all processes."""
    await conn.execute(
        """INSERT INTO shared.provider_errors (code, errors, last_at) VALUES ($1, 1, $2)
           ON CONFLICT (code) DO UPDATE SET errors = provider_errors.errors + 1, last_at = $2""",
        code,
        now,
    )
