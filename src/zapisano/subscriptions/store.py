"""Subscriptions and the periods that make them up, in the shared schema."""

from datetime import datetime

from zapisano.db import Row, SharedConnection
from zapisano.subscriptions.model import Grant, NoSubscription, Period, Subscription
from zapisano.tenancy import TenantId


def _subscription(row: Row) -> Subscription:
    return Subscription(
        tenant_id=TenantId(row["tenant_id"]),
        plan=row["plan"],
        paid_until=row["paid_until"],
        changed_at=row["changed_at"],
    )


async def find(conn: SharedConnection, tenant: TenantId) -> Subscription | None:
    """Return a tenant's subscription, or None."""
    row = await conn.fetchrow(
        """SELECT tenant_id, plan, paid_until, changed_at FROM shared.subscriptions
           WHERE tenant_id = $1""",
        tenant,
    )
    return _subscription(row) if row else None


async def get(conn: SharedConnection, tenant: TenantId) -> Subscription:
    """Return a tenant's subscription.

    Raises:
        NoSubscription: nothing was ever paid for it.
    """
    found = await find(conn, tenant)
    if found is None:
        raise NoSubscription(f"Nothing was ever paid for {tenant}.")
    return found


async def insert_grant(
    conn: SharedConnection, tenant: TenantId, grant: Grant, period: Period
) -> bool:
    """Keep a grant; return False if its source has given already."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.day_grants (source, tenant_id, days, reason, starts_at, ends_at)
               VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (source) DO NOTHING""",
            grant.source,
            tenant,
            grant.days,
            grant.reason,
            period.starts_at,
            period.ends_at,
        )
    )


async def days_given(conn: SharedConnection, tenant: TenantId) -> list[tuple[str, int]]:
    """Return what has given or taken a tenant's days, and how many, in the order it was done."""
    rows = await conn.fetch(
        """SELECT source, days FROM shared.day_grants WHERE tenant_id = $1
           ORDER BY created_at, starts_at, source""",
        tenant,
    )
    return [(row["source"], row["days"]) for row in rows]


async def set_paid_until(
    conn: SharedConnection, tenant: TenantId, *, plan: str, paid_until: datetime, now: datetime
) -> None:
    """Write until when the tenant is paid, and by which plan."""
    await conn.execute(
        """INSERT INTO shared.subscriptions (tenant_id, plan, paid_until, changed_at)
           VALUES ($1, $2, $3, $4)
           ON CONFLICT (tenant_id) DO UPDATE
           SET plan = excluded.plan, paid_until = excluded.paid_until,
               changed_at = excluded.changed_at""",
        tenant,
        plan,
        paid_until,
        now,
    )
