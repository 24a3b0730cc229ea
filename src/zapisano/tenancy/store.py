"""The registry of tenants in the shared schema."""

from zapisano.db import Connection, OwnerConnection, Row, SharedConnection
from zapisano.db.names import SchemaName, quoted
from zapisano.tenancy.model import (
    Overview,
    State,
    Suspension,
    Tenant,
    TenantId,
    UnknownTenant,
    tenant_id,
)

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
) -> list[Overview]:
    """Return up to `limit` tenants whose ids come after `after`, in the order of creation."""
    rows = await conn.fetch(
        """SELECT t.id, t.name, t.owner_id, t.owner_language, t.state, t.suspended_for,
               t.created_at, t.changed_at, b.username, b.managed, s.paid_until, s.plan,
               m.id IS NOT NULL AS has_autopay, v.version_num
           FROM shared.tenants t
           LEFT JOIN shared.bots b ON b.tenant_id = t.id
           LEFT JOIN shared.subscriptions s ON s.tenant_id = t.id
           LEFT JOIN shared.saved_methods m ON m.tenant_id = t.id AND m.ended_at IS NULL
           LEFT JOIN shared.tenant_versions v ON v.schema_name = t.id
           WHERE (length(t.id), t.id) > (length($1), $1) AND ($2::text IS NULL OR t.state = $2)
           ORDER BY length(t.id), t.id LIMIT $3""",
        after,
        state,
        limit,
    )
    return [_overview(row) for row in rows]


async def overview(conn: SharedConnection, tenant: str) -> Overview:
    """Return one tenant with its bot, its subscription and its version.

    Raises:
        UnknownTenant: there is none with this id.
    """
    row = await conn.fetchrow(
        """SELECT t.id, t.name, t.owner_id, t.owner_language, t.state, t.suspended_for,
               t.created_at, t.changed_at, b.username, b.managed, s.paid_until, s.plan,
               m.id IS NOT NULL AS has_autopay, v.version_num
           FROM shared.tenants t
           LEFT JOIN shared.bots b ON b.tenant_id = t.id
           LEFT JOIN shared.subscriptions s ON s.tenant_id = t.id
           LEFT JOIN shared.saved_methods m ON m.tenant_id = t.id AND m.ended_at IS NULL
           LEFT JOIN shared.tenant_versions v ON v.schema_name = t.id
           WHERE t.id = $1""",
        tenant,
    )
    if row is None:
        raise UnknownTenant(f"There is no tenant {tenant}.")
    return _overview(row)


def _overview(row: Row) -> Overview:
    return Overview(
        tenant=_tenant(row),
        bot_username=row["username"],
        bot_managed=row["managed"],
        paid_until=row["paid_until"],
        plan=row["plan"],
        has_autopay=row["has_autopay"],
        schema_version=row["version_num"],
    )


async def of_owner(
    conn: SharedConnection, owner_id: int, *, archived: bool = False
) -> list[Tenant]:
    """Return a person's tenants, oldest first; archived ones only when asked for."""
    rows = await conn.fetch(
        """SELECT id, name, owner_id, owner_language, state, suspended_for, created_at, changed_at
           FROM shared.tenants WHERE owner_id = $1 AND (state <> 'archived' OR $2)
           ORDER BY length(id), id""",
        owner_id,
        archived,
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


async def set_owner(conn: SharedConnection, tenant: TenantId, owner_id: int) -> None:
    """Write whose a tenant is."""
    await conn.execute(
        "UPDATE shared.tenants SET owner_id = $2, changed_at = now() WHERE id = $1",
        tenant,
        owner_id,
    )


async def has_bot(conn: Connection, tenant: TenantId) -> bool:
    """Say whether a bot is attached to the tenant."""
    return bool(
        await conn.fetchval(
            "SELECT 1 FROM shared.bots WHERE tenant_id = $1 AND attached_at IS NOT NULL", tenant
        )
    )


async def sales_bot_username(conn: SharedConnection) -> str | None:
    """Return the username of the bot that belongs to no tenant: the one that sells."""
    username: str | None = await conn.fetchval(
        "SELECT username FROM shared.bots WHERE tenant_id IS NULL ORDER BY created_at DESC LIMIT 1"
    )
    return username


async def request_once(conn: SharedConnection, key: str) -> tuple[bytes, TenantId] | None:
    """Keep others with the same key waiting; return what was asked under it, and the answer."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 7260923))", key)
    row = await conn.fetchrow(
        "SELECT request_hash, tenant_id FROM shared.tenant_requests WHERE key = $1", key
    )
    return (row["request_hash"], TenantId(row["tenant_id"])) if row else None


async def remember_request(
    conn: SharedConnection, key: str, request_hash: bytes, tenant: TenantId
) -> None:
    """Keep what was asked under a key, and which tenant it made."""
    await conn.execute(
        "INSERT INTO shared.tenant_requests (key, request_hash, tenant_id) VALUES ($1, $2, $3)",
        key,
        request_hash,
        tenant,
    )


async def note_prompt(conn: SharedConnection, tenant: TenantId) -> None:
    """Remember that its owner is shown the button that creates this tenant's bot."""
    await conn.execute(
        "UPDATE shared.tenants SET prompted_at = clock_timestamp() WHERE id = $1", tenant
    )


async def set_also_unpaid(conn: SharedConnection, tenant: TenantId, *, unpaid: bool) -> None:
    """Say whether a tenant that the operator has paused is not paid for either."""
    await conn.execute("UPDATE shared.tenants SET also_unpaid = $2 WHERE id = $1", tenant, unpaid)


async def is_also_unpaid(conn: SharedConnection, tenant: TenantId) -> bool:
    """Say what `set_also_unpaid` has been told last."""
    return bool(await conn.fetchval("SELECT also_unpaid FROM shared.tenants WHERE id = $1", tenant))


async def furnish(
    conn: OwnerConnection, schema: SchemaName, language: str, time_zone: str | None
) -> None:
    """Fit what the first migration has put into a new schema to its owner."""
    await conn.execute("SET LOCAL search_path TO " + quoted(schema))
    if time_zone:
        await conn.execute("UPDATE settings SET time_zone = $1", time_zone)
    if language == "en":
        await conn.execute("UPDATE services SET name = 'Haircut' WHERE name = 'Стрижка'")
        await conn.execute("UPDATE staff SET name = 'Specialist' WHERE name = 'Мастер'")
    await conn.execute("SET LOCAL search_path TO pg_catalog")
