"""Roles: the app's login, the tenants' group, and one role per tenant.

`booking_user` owns and migrates; `booking_app` runs, and may enter a tenant only by taking that
tenant's role (granted INHERIT FALSE, SET TRUE). On a database whose owner may not create roles
everything works without this, and `remedy` is the one statement that turns it on.
"""

import base64
from typing import LiteralString
from urllib.parse import quote, urlsplit, urlunsplit

from asyncpg import InternalServerError
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from zapisano.db.connection import OwnerConnection
from zapisano.db.names import (
    APP_ROLE,
    TENANT_GROUP,
    RoleName,
    SchemaName,
    quoted,
    quoted_literal,
    tenant_role,
)
from zapisano.errors import Busy, Refused
from zapisano.settings import Settings

# Membership options (INHERIT, SET) came with PostgreSQL 16.
MEMBERSHIP_OPTIONS_SINCE = 160000
TENANT_TABLES = ("bookings", "services", "users", "staff", "working_hours", "days_off", "settings")
# What happened stays written: who runs the app may add to these and change nothing.
APPEND_ONLY = ("journal", "day_grants")
TENANT_DOORS = (
    "enqueue_job(text, jsonb)",
    "schedule_job(timestamptz, text, text, jsonb)",
    "unschedule_job(text, text)",
    "record_event(text, text, jsonb)",
)


def remedy(settings: Settings) -> str:
    """Return the statement, to be run by a superuser, that allows isolation by role."""
    statement = f"ALTER ROLE {_owner(settings)} CREATEROLE;"
    return f"{statement}  -- then: zapisano migrate, and start Zapisano again"


def _owner(settings: Settings) -> str:
    return urlsplit(settings.database_url.get_secret_value()).username or "booking_user"


def app_password(settings: Settings) -> str:
    """Derive the app role's password from the secret key, so that there is no second secret."""
    settings.require("secret_key")
    key = settings.secret_key.get_secret_value().encode()
    derived = HKDF(SHA256(), 24, salt=None, info=b"zapisano booking_app password").derive(key)
    return base64.urlsafe_b64encode(derived).decode()


def app_dsn(settings: Settings) -> str:
    """Return the owner's address with the app's login in it."""
    parts = urlsplit(settings.database_url.get_secret_value())
    login = f"{APP_ROLE}:{quote(app_password(settings), safe='')}"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{login}@{host}"))


async def isolation_is_on(conn: OwnerConnection) -> bool:
    """Say whether the app's role exists and may use this database."""
    return bool(
        await conn.fetchval(
            """SELECT has_schema_privilege(r.oid, n.oid, 'USAGE')
               FROM pg_roles r, pg_namespace n WHERE r.rolname = $1 AND n.nspname = 'shared'""",
            APP_ROLE,
        )
    )


async def may_create_roles(conn: OwnerConnection) -> bool:
    """Say whether this owner can have isolation by role."""
    return bool(
        await conn.fetchval(
            "SELECT rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
        )
    )


async def ensure_roles(conn: OwnerConnection, settings: Settings) -> bool:
    """Create or repair the two roles that all share; return whether isolation by role is on.

    Raises:
        Refused: the roles are there and belong to somebody else.
        Busy: another database's migration changes them at this instant.
    """
    if not await may_create_roles(conn):
        return False
    await _create(conn, TENANT_GROUP, "NOLOGIN")
    await _create(conn, APP_ROLE, "LOGIN NOINHERIT")
    await _check_own(conn, settings)
    password = quoted_literal(app_password(settings))
    try:
        await conn.execute(
            "ALTER ROLE " + quoted(APP_ROLE) + " LOGIN NOINHERIT PASSWORD " + password
        )
    except InternalServerError as error:
        if "concurrently updated" not in str(error):
            raise
        # Another database of this server is being migrated.
        raise Busy from error
    await _grant_shared(conn)
    return True


async def _create(conn: OwnerConnection, role: RoleName, options: LiteralString) -> None:
    """Create a role once; roles are the cluster's, so another database may win the race."""
    await conn.execute(
        "DO $$ BEGIN CREATE ROLE " + quoted(role) + " " + options + "; "
        "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    )


async def _check_own(conn: OwnerConnection, settings: Settings) -> None:
    """From PostgreSQL 16 on, who did not create a role needs ADMIN OPTION to change it."""
    own = await conn.fetchval(
        """SELECT bool_and(pg_has_role(current_user, oid, 'USAGE WITH ADMIN OPTION'))
               OR current_setting('server_version_num')::int < $2
           FROM pg_roles WHERE rolname = ANY($1::text[])""",
        [APP_ROLE, TENANT_GROUP],
        MEMBERSHIP_OPTIONS_SINCE,
    )
    if not own:
        raise Refused(
            f"The roles {APP_ROLE} and {TENANT_GROUP} on this server are another owner's. If that "
            "is another Zapisano, give this one a server of its own; else let a superuser run: "
            f"GRANT {APP_ROLE}, {TENANT_GROUP} TO {_owner(settings)} WITH ADMIN OPTION;"
        )


async def _grant_shared(conn: OwnerConnection) -> None:
    app, group = quoted(APP_ROLE), quoted(TENANT_GROUP)
    await conn.execute("GRANT USAGE ON SCHEMA shared TO " + app + ", " + group)
    await conn.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA shared TO " + app
    )
    await conn.execute("REVOKE UPDATE, DELETE ON " + _append_only() + " FROM " + app)
    await conn.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA shared TO " + app)
    await conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shared TO " + app)
    await conn.execute("GRANT EXECUTE ON FUNCTION " + _doors() + " TO " + group)


def _append_only() -> LiteralString:
    tables: list[LiteralString] = ["shared." + table for table in APPEND_ONLY]
    return ", ".join(tables)


def _doors() -> LiteralString:
    doors: list[LiteralString] = ["shared." + door for door in TENANT_DOORS]
    return ", ".join(doors)


async def schemas_without_role(conn: OwnerConnection, database: str) -> list[SchemaName]:
    """Return the tenants that have a schema and no role."""
    schemas = await conn.fetch("SELECT schema_name FROM shared.tenant_versions")
    roles = {row[0] for row in await conn.fetch("SELECT rolname FROM pg_roles")}
    return [s[0] for s in schemas if tenant_role(database, SchemaName(s[0])) not in roles]


async def create_tenant_role(conn: OwnerConnection, database: str, schema: SchemaName) -> None:
    """Create a tenant's role, or find it there, and let it into its own schema only.

    Nothing while isolation by role is off; asked of the database, since it may have been turned on
    after this process has started. The caller guards the schema: two who grant the same at once
    would fail.
    """
    if not await isolation_is_on(conn):
        return
    role = tenant_role(database, schema)
    await _create(conn, role, "NOLOGIN")
    await conn.execute("GRANT " + quoted(TENANT_GROUP) + " TO " + quoted(role))
    options = (
        " WITH INHERIT FALSE, SET TRUE"
        if await conn.fetchval("SELECT current_setting('server_version_num')::int")
        >= MEMBERSHIP_OPTIONS_SINCE
        else ""
    )
    await conn.execute("GRANT " + quoted(role) + " TO " + quoted(APP_ROLE) + options)
    await grant_tenant(conn, schema, role)


async def grant_tenant(conn: OwnerConnection, schema: SchemaName, role: RoleName) -> None:
    """Grant a tenant's role its own tables, by name: ALL TABLES slows down with every tenant."""
    tables = ", ".join(quoted(schema) + "." + quoted(table) for table in TENANT_TABLES)
    await conn.execute("GRANT USAGE ON SCHEMA " + quoted(schema) + " TO " + quoted(role))
    await conn.execute(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE " + tables + " TO " + quoted(role)
    )


async def drop_tenant_role(conn: OwnerConnection, database: str, schema: SchemaName) -> None:
    """Drop a tenant's role, after its schema is gone."""
    role = tenant_role(database, schema)
    if await conn.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
        await conn.execute("DROP ROLE " + quoted(role))
