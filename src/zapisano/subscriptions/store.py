"""Subscriptions and the periods that make them up, in the shared schema."""

from datetime import datetime

from zapisano.db import Row, SharedConnection
from zapisano.subscriptions.jobs import Live
from zapisano.subscriptions.life import SoFar
from zapisano.subscriptions.model import Grant, NoSubscription, Period, Subscription
from zapisano.tenancy import TenantId


def _subscription(row: Row) -> Subscription:
    return Subscription(
        tenant_id=TenantId(row["tenant_id"]),
        plan=row["plan"],
        paid_until=row["paid_until"],
        changed_at=row["changed_at"],
        next_plan=row["next_plan"],
    )


async def find(conn: SharedConnection, tenant: TenantId) -> Subscription | None:
    """Return a tenant's subscription, or None."""
    row = await conn.fetchrow(
        """SELECT tenant_id, plan, paid_until, changed_at, next_plan FROM shared.subscriptions
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
    """Write until when the tenant is paid, and by which plan; one that was planned has come."""
    await conn.execute(
        """INSERT INTO shared.subscriptions (tenant_id, plan, paid_until, changed_at)
           VALUES ($1, $2, $3, $4)
           ON CONFLICT (tenant_id) DO UPDATE
           SET plan = excluded.plan, paid_until = excluded.paid_until,
               changed_at = excluded.changed_at,
               next_plan = nullif(subscriptions.next_plan, excluded.plan)""",
        tenant,
        plan,
        paid_until,
        now,
    )


async def so_far(conn: SharedConnection, tenant: TenantId) -> SoFar:
    """Return what was done for the end of a tenant's paid time."""
    row = await conn.fetchrow(
        """SELECT told, warned_at, announced_at, charges, charged_at, paused_at, last_call_at
           FROM shared.subscriptions WHERE tenant_id = $1""",
        tenant,
    )
    return SoFar(**row) if row else SoFar()


async def keep_so_far(conn: SharedConnection, tenant: TenantId, done: SoFar) -> None:
    """Write what was done for the end of a tenant's paid time."""
    await conn.execute(
        """UPDATE shared.subscriptions
           SET told = $2, warned_at = $3, announced_at = $4, charges = $5, charged_at = $6,
               paused_at = $7, last_call_at = $8
           WHERE tenant_id = $1""",
        tenant,
        done.told,
        done.warned_at,
        done.announced_at,
        done.charges,
        done.charged_at,
        done.paused_at,
        done.last_call_at,
    )


async def set_next_plan(conn: SharedConnection, tenant: TenantId, plan: str | None) -> bool:
    """Write which plan comes with the next renewal, None for the same; False if it was so."""
    return bool(
        await conn.execute(
            """UPDATE shared.subscriptions SET next_plan = $2
               WHERE tenant_id = $1 AND next_plan IS DISTINCT FROM $2""",
            tenant,
            plan,
        )
    )


async def wake_all(conn: SharedConnection, now: datetime) -> int:
    """Look at every subscription that nothing is scheduled for; return how many there are."""
    return int(
        await conn.fetchval(
            """SELECT count(shared.schedule_job(
                   $1, $2, s.tenant_id, jsonb_build_object('tenant_id', s.tenant_id)))
               FROM shared.subscriptions AS s JOIN shared.tenants AS t ON t.id = s.tenant_id
               WHERE t.state <> 'archived' AND NOT EXISTS (
                   SELECT 1 FROM shared.due AS d
                   WHERE d.tenant = '' AND d.kind = $2 AND d.subject = s.tenant_id)""",
            now,
            Live.kind,
        )
    )


async def find_source(conn: SharedConnection, source: str) -> TenantId | None:
    """Return to whom this source has given days already, or None."""
    found = await conn.fetchval("SELECT tenant_id FROM shared.day_grants WHERE source = $1", source)
    return TenantId(found) if found else None


async def lock_person(conn: SharedConnection, person_id: int) -> None:
    """Keep others from giving this person a trial until this transaction ends."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('subscriptions.person', $1))", person_id
    )
