"""Migrations: Alembic chains, rendered offline, applied statement by statement by asyncpg.

`shared` is the registry, money and jobs; `tenant` is the inside of every tenant's schema; `credits`
is installed by `POST /api/admin/migrate` and kept up to date here (`db/ledger.py`). Alembic
keeps its own books: the shared chain in `shared.schema_version`, the tenant chain through the view
`shared.tenant_version`, which shows each schema its own row of `shared.tenant_versions`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

from asyncpg import PostgresError

from zapisano.db import ledger, roles, walls
from zapisano.db.chains import FOLDER, apply, head, knows, render
from zapisano.db.connection import OwnerConnection
from zapisano.db.database import database_name
from zapisano.db.names import SchemaName, quoted, tenant_role
from zapisano.db.pool import connect
from zapisano.errors import AppError, Busy, Refused
from zapisano.settings import Settings
from zapisano.vault import Vault

BATCH_SIZE = 50
CANARIES = 2
LOCKED_ENOUGH = 10  # tenants in a row that somebody uses, each waited for: it is not their hour
LOCK_TIMEOUT: LiteralString = "5s"
PAUSES_SECONDS = (1.0, 2.0, 4.0, 8.0)
MIGRATION_LOCK = 7_260_921  # any constant: one migration at a time per database
SCHEMA_LOCK = 7_260_922  # any constant: with a schema's name, one change of it at a time


@dataclass
class Report:
    """What a migration did."""

    isolated: bool = False
    roles_made: int = 0
    behind: int = 0
    migrated: list[str] = field(default_factory=list[str])
    failed: dict[str, str] = field(default_factory=dict[str, str])
    locked: int = 0  # of the failed ones, those that somebody was using just then
    proven: bool = False  # an earlier run seems to have brought tenants to the head

    @property
    def untried(self) -> int:
        """How many tenants are still behind because the first ones have failed, or were in use."""
        return self.behind - len(self.migrated) - len(self.failed)

    @property
    def looks_wrong(self) -> bool:
        """Whether the canaries have failed, and so the change itself is to be suspected.

        Not one that other tenants have had, now or in an earlier run.
        """
        proven = self.proven or self.migrated
        return not proven and len(self.failed) - self.locked >= CANARIES


class Migration:
    """One run over the shared schema and every tenant, alone in its database."""

    def __init__(
        self, settings: Settings, *, folder: Path = FOLDER, batch_size: int = BATCH_SIZE
    ) -> None:
        """Read the owner's address from the settings; `folder` holds the two chains."""
        settings.require("database_url")
        self._settings = settings
        self._folder = folder
        self._batch_size = batch_size
        self._dsn = settings.database_url.get_secret_value()
        self._database = database_name(self._dsn)
        self.report = Report()

    async def run(self, on_progress: Callable[[int, int], None] | None = None) -> Report:
        """Bring everything to the head. Safe to repeat and to run twice at once.

        `on_progress` is told how many tenants are done, of how many. A tenant that fails is
        reported and stays as it was; the others go on.
        """
        raw = await connect(self._dsn, statement_cache=0, application="zapisano-migrate")
        try:
            await raw.execute("SELECT pg_advisory_lock($1)", MIGRATION_LOCK)
            conn = OwnerConnection(raw)
            await self._shared_patiently(conn)
            if self.report.isolated:
                await self._roles(conn)
            await self._tenants(conn, on_progress or (lambda _done, _total: None))
        finally:
            await raw.close(timeout=5)
        return self.report

    async def _shared_patiently(self, conn: OwnerConnection) -> None:
        """Wait briefly for a lock, and often: whoever wants the table next waits behind us."""
        for pause_seconds in PAUSES_SECONDS:
            try:
                return await self._shared_and_roles(conn)
            except Busy:
                if conn.raw.is_closed():
                    raise
            await asyncio.sleep(pause_seconds)
        return await self._shared_and_roles(conn)

    async def _shared_and_roles(self, conn: OwnerConnection) -> None:
        """Together: who waits for the schema must not find it without the role to log in as."""
        async with conn.raw.transaction():
            await conn.execute("SET LOCAL lock_timeout TO '" + LOCK_TIMEOUT + "'")
            await self._shared(conn)
            await self._check_key(conn)
            self.report.isolated = await roles.ensure_roles(conn, self._settings)
            if await ledger.is_installed(conn):
                await ledger.upgrade(conn, self._folder)
            await walls.ensure(conn, self._database)

    async def _shared(self, conn: OwnerConnection) -> None:
        await conn.execute("CREATE SCHEMA IF NOT EXISTS shared")
        exists = await conn.fetchval("SELECT to_regclass('shared.schema_version') IS NOT NULL")
        current = (
            await conn.fetchval("SELECT version_num FROM shared.schema_version") if exists else None
        )
        if current is not None and not knows("shared", current, self._folder):
            raise Refused(f"The database is at version {current}: upgrade Zapisano first.")
        await apply(conn, render("shared", current, folder=self._folder))

    async def _check_key(self, conn: OwnerConnection) -> None:
        """Refuse another installation's key: the app's password is made of it, and set here."""
        token = await conn.fetchval("SELECT token FROM shared.bots LIMIT 1")
        if token and self._settings.secret_key.get_secret_value():
            Vault(self._settings).unlock(token)

    async def _roles(self, conn: OwnerConnection) -> None:
        """Give a role to each tenant without one, as they are when isolation was turned on late."""
        missing = await roles.schemas_without_role(conn, self._database)
        self.report.roles_made = len(missing)
        for start in range(0, len(missing), self._batch_size):
            async with conn.raw.transaction():
                for schema in missing[start : start + self._batch_size]:
                    await guard_schema(conn, schema)
                    if await version_of(conn, schema) is not None:
                        await roles.create_tenant_role(conn, self._database, schema)

    async def _tenants(
        self, conn: OwnerConnection, on_progress: Callable[[int, int], None]
    ) -> None:
        """Canaries first: if one tenant fails it is odd, if two do the change is wrong.

        Then nobody else gets it.
        """
        behind = await tenants_behind(conn, self._folder)
        self.report.behind = len(behind)
        self.report.proven = await _is_proven(conn, head("tenant", self._folder))
        on_progress(0, len(behind))
        done = 0
        while done < len(behind) and not self.report.migrated:
            on_progress(done, len(behind))
            await self._batch(conn, behind[done : done + 1])
            if self.report.looks_wrong or self.report.locked >= LOCKED_ENOUGH:
                return
            done += 1
        while done < len(behind):
            on_progress(done, len(behind))
            batch = behind[done : done + self._batch_size]
            if not await self._batch(conn, batch):
                for tenant in batch:
                    await self._batch(conn, [tenant])
            done += len(batch)
        on_progress(done, len(behind))

    async def _batch(self, conn: OwnerConnection, batch: Sequence[SchemaName]) -> bool:
        """Migrate these, all or none; who needs it no more, archived or restored, is left out."""
        try:
            async with conn.raw.transaction():
                await conn.execute("SET LOCAL lock_timeout TO '" + LOCK_TIMEOUT + "'")
                migrated = [schema for schema in batch if await self._migrate(conn, schema)]
        except (AppError, PostgresError) as error:
            if len(batch) == 1:
                self.report.failed[batch[0]] = str(error)
                self.report.locked += isinstance(error, Busy)
            return False
        self.report.migrated.extend(migrated)
        self.report.behind -= len(batch) - len(migrated)
        return True

    async def _migrate(self, conn: OwnerConnection, schema: SchemaName) -> bool:
        await guard_schema(conn, schema)
        version = await version_of(conn, schema)
        if version is None or version == head("tenant", self._folder):
            return False
        if not knows("tenant", version, self._folder):
            raise Refused(f"It is at version {version}: upgrade Zapisano first.")
        await migrate_tenant(conn, schema, version, folder=self._folder)
        if self.report.isolated:
            role = tenant_role(self._database, schema)
            await roles.grant_tenant(conn, schema, role)
        return True


async def tenants_behind(conn: OwnerConnection, folder: Path = FOLDER) -> list[SchemaName]:
    """Return the tenants that are not at the head; one SELECT."""
    rows = await conn.fetch(
        """SELECT schema_name FROM shared.tenant_versions
           WHERE version_num <> $1 ORDER BY schema_name""",
        head("tenant", folder),
    )
    return [SchemaName(row["schema_name"]) for row in rows]


async def _is_proven(conn: OwnerConnection, version: str) -> bool:
    """Guess whether tenants were brought to this version before, and not only born at it.

    Those have lower numbers than some that are behind; or they are the most.
    """
    found = """SELECT 2 * count(*) FILTER (WHERE version_num = $1) > count(*)
            OR coalesce(min(number) FILTER (WHERE version_num = $1)
                < max(number) FILTER (WHERE version_num <> $1), false)
        FROM (SELECT version_num, row_number() OVER (ORDER BY length(schema_name), schema_name)
                  AS number FROM shared.tenant_versions) AS numbered"""
    return bool(await conn.fetchval(found, version))


async def guard_schema(conn: OwnerConnection, schema: SchemaName) -> None:
    """Be the only one who makes, archives or restores this schema, until the transaction ends."""
    await conn.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", SCHEMA_LOCK, schema)


async def version_of(conn: OwnerConnection, schema: SchemaName) -> str | None:
    """Return the version at which a tenant's schema stands, None when it has no schema."""
    version: str | None = await conn.fetchval(
        "SELECT version_num FROM shared.tenant_versions WHERE schema_name = $1", schema
    )
    return version


async def create_tenant_schema(conn: OwnerConnection, schema: SchemaName) -> bool:
    """Create a tenant's schema at the head; return False when it is there already."""
    await guard_schema(conn, schema)
    if await version_of(conn, schema) is not None:
        return False
    await conn.execute("CREATE SCHEMA IF NOT EXISTS " + quoted(schema))
    await migrate_tenant(conn, schema, None)
    return True


async def migrate_tenant(
    conn: OwnerConnection,
    schema: SchemaName,
    version: str | None,
    *,
    end: str = "head",
    folder: Path = FOLDER,
) -> None:
    """Bring one tenant's schema from `version` to `end`, inside the caller's transaction."""
    await conn.execute("SET LOCAL search_path TO " + quoted(schema))
    await apply(conn, render("tenant", version, end=end, folder=folder))
    await conn.execute("SET LOCAL search_path TO pg_catalog")
