"""What the operator's commands ask PostgreSQL beside the slices' own questions."""

from dataclasses import dataclass

from zapisano.db import Connection, OwnerConnection, SharedConnection


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server and who we are there."""

    version: str
    number: int
    login: str
    database: str
    owns_shared: bool | None
    gist: bool
    gist_available: bool


async def server(conn: OwnerConnection) -> Server:
    """Ask the server what it is. `owns_shared` is None while there is no shared schema."""
    row = await conn.fetchrow(
        """SELECT current_setting('server_version') AS version,
               current_setting('server_version_num')::int AS number,
               current_user::text AS login, current_database()::text AS database,
               (SELECT pg_has_role(current_user, nspowner, 'USAGE')
                FROM pg_catalog.pg_namespace WHERE nspname = 'shared') AS owns_shared,
               EXISTS (SELECT 1 FROM pg_catalog.pg_extension
                       WHERE extname = 'btree_gist') AS gist,
               EXISTS (SELECT 1 FROM pg_catalog.pg_available_extensions
                       WHERE name = 'btree_gist') AS gist_available"""
    )
    assert row is not None  # noqa: S101 # a SELECT without FROM has one row
    return Server(**row)


async def shared_version(conn: OwnerConnection) -> str | None:
    """Return the version of the shared schema, None when there is none."""
    if not await conn.fetchval("SELECT to_regclass('shared.schema_version') IS NOT NULL"):
        return None
    version: str | None = await conn.fetchval("SELECT version_num FROM shared.schema_version")
    return version


async def count_tenants(conn: OwnerConnection) -> int:
    """Return how many tenants have a schema."""
    return int(await conn.fetchval("SELECT count(schema_name) FROM shared.tenant_versions"))


async def unheard_bots(conn: OwnerConnection, webhook_url: str) -> int:
    """Return how many tenants' bots get no updates at `webhook_url`, though they should."""
    return int(
        await conn.fetchval(
            """SELECT count(b.bot_id)
               FROM shared.bots AS b JOIN shared.tenants AS t ON t.id = b.tenant_id
               WHERE b.unauthorized_times < 2 AND t.state <> 'archived'
                   AND b.webhook_url IS DISTINCT FROM $1 || '/telegram/' || b.path""",
            webhook_url,
        )
    )


async def logins_as_owner(conn: OwnerConnection) -> int:
    """Return how many connections of running processes log in as the owner and not as the app."""
    return int(
        await conn.fetchval(
            """SELECT count(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = current_user
                   AND application_name = 'zapisano' AND pid <> pg_backend_pid()"""
        )
    )


async def a_sealed_token(conn: OwnerConnection) -> bytes | None:
    """Return one bot's token as it is stored, None when there is no bot."""
    token: bytes | None = await conn.fetchval("SELECT token FROM shared.bots LIMIT 1")
    return token


async def login(conn: Connection) -> str:
    """Return whom the server takes us for."""
    return str(await conn.fetchval("SELECT current_user::text"))


async def sales_bot(conn: SharedConnection) -> str:
    """Return the sales bot's username; "" while the worker has not connected it yet."""
    found = await conn.fetchval(
        """SELECT username FROM shared.bots
           WHERE tenant_id IS NULL ORDER BY created_at DESC LIMIT 1"""
    )
    return str(found or "")
