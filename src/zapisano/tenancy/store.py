"""The registry of tenants in the shared schema."""

from zapisano.db import OwnerConnection, Row, SharedConnection
from zapisano.tenancy.model import State, Suspension, Tenant, TenantId, UnknownTenant, tenant_id

# The registry is the app's and the owner's.
Registry = SharedConnection | OwnerConnection


def _tenant(row: Row) -> Tenant:
    reason = row["suspended_for"]
    return Tenant(
        id=TenantId(row["id"]),
        name=row["name"],
        owner_id=row["owner_id"],
        owner_language=row["owner_language"],
        state=State(row["state"]),
        suspended_for=Suspension(reason) if reason else None,
        created_at=row["created_at"],
        changed_at=row["changed_at"],
    )


async def new_id(conn: SharedConnection) -> TenantId:
    """Draw the next id that no tenant has."""
    while True:
        drawn = tenant_id(await conn.fetchval("SELECT nextval('shared.tenant_number')"))
        if not await conn.fetchval("SELECT 1 FROM shared.tenants WHERE id = $1", drawn):
            return drawn


async def insert(
    conn: SharedConnection, tenant: TenantId, *, name: str, owner_id: int, owner_language: str
) -> Tenant:
    """Register a tenant that is being provisioned."""
    row = await conn.fetchrow(
        """INSERT INTO shared.tenants (id, name, owner_id, owner_language, state)
           VALUES ($1, $2, $3, $4, 'provisioning')
           RETURNING id, name, owner_id, owner_language, state, suspended_for,
               created_at, changed_at""",
        tenant,
        name,
        owner_id,
        owner_language,
    )
    assert row is not None  # noqa: S101 # RETURNING after a plain INSERT
    return _tenant(row)


async def find(conn: Registry, tenant: str) -> Tenant | None:
    """Return a tenant, or None."""
    row = await conn.fetchrow(
        """SELECT id, name, owner_id, owner_language, state, suspended_for, created_at, changed_at
           FROM shared.tenants WHERE id = $1""",
        tenant,
    )
    return _tenant(row) if row else None


async def get(conn: Registry, tenant: str, *, lock: bool = False) -> Tenant:
    """Return a tenant; with `lock` nobody else changes it until this transaction ends.

    Raises:
        UnknownTenant: there is none with this id.
    """
    if lock:
        await conn.execute("SELECT 1 FROM shared.tenants WHERE id = $1 FOR UPDATE", tenant)
    found = await find(conn, tenant)
    if found is None:
        raise UnknownTenant(f"There is no tenant {tenant}.")
    return found


async def page(
    conn: SharedConnection, *, after: str, limit: int, state: State | None = None
) -> list[Tenant]:
    """Return up to `limit` tenants whose ids come after `after`, in the order of creation."""
    rows = await conn.fetch(
        """SELECT id, name, owner_id, owner_language, state, suspended_for, created_at, changed_at
           FROM shared.tenants
           WHERE (length(id), id) > (length($1), $1) AND ($2::text IS NULL OR state = $2)
           ORDER BY length(id), id LIMIT $3""",
        after,
        state,
        limit,
    )
    return [_tenant(row) for row in rows]


async def of_owner(conn: SharedConnection, owner_id: int) -> list[Tenant]:
    """Return a person's tenants, oldest first, archived ones left out."""
    rows = await conn.fetch(
        """SELECT id, name, owner_id, owner_language, state, suspended_for, created_at, changed_at
           FROM shared.tenants WHERE owner_id = $1 AND state <> 'archived'
           ORDER BY length(id), id""",
        owner_id,
    )
    return [_tenant(row) for row in rows]


async def set_state(
    conn: Registry, tenant: TenantId, state: State, suspended_for: Suspension | None = None
) -> None:
    """Write a tenant's state; whether it may change is the use case's affair."""
    await conn.execute(
        """UPDATE shared.tenants SET state = $2, suspended_for = $3, changed_at = now()
           WHERE id = $1""",
        tenant,
        state,
        suspended_for,
    )


async def has_bot(conn: SharedConnection, tenant: TenantId) -> bool:
    """Say whether a bot is attached to the tenant."""
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM shared.bots WHERE tenant_id = $1 AND attached_at IS NOT NULL", tenant
        )
    )


async def schema_exists(conn: SharedConnection, tenant: TenantId) -> bool:
    """Say whether the tenant's schema is in the registry of versions."""
    return bool(
        await conn.fetchval("SELECT 1 FROM shared.tenant_versions WHERE schema_name = $1", tenant)
    )
