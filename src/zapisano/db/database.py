"""Transactions: shared, inside a tenant, and as the owner. Opened at the edge, committed here."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import LiteralString
from urllib.parse import urlsplit

from asyncpg import InsufficientPrivilegeError, InvalidParameterValueError, PostgresError

from zapisano.db import roles
from zapisano.db.connection import (
    CONNECTION_LOST,
    OwnerConnection,
    RawConnection,
    SharedConnection,
    TenantConnection,
    fail,
)
from zapisano.db.names import quoted, tenant_role, tenant_schema
from zapisano.db.pool import LOCK_TIMEOUT, Pool, check_address, connect, speak_json
from zapisano.db.registry import check_version
from zapisano.errors import BrokenSetting, Busy
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.db")

# What SET ROLE says of a role that is not there, or that we may not take.
NO_SUCH_ROLE = (InvalidParameterValueError, InsufficientPrivilegeError)
PAUSE_SECONDS = 0.1  # between two looks at a server or a schema that is not ready yet
START_PATIENCE_SECONDS = 600.0  # what a process of ours grants a server that starts beside it


class Database:
    """The way to PostgreSQL. Nothing outside a `with` of this class talks to it."""

    def __init__(self, settings: Settings, *, dsn: str, isolated: bool) -> None:
        """Use `open_database`, which finds out how to log in."""
        self._owner_dsn = settings.database_url.get_secret_value()
        self._cache = settings.database_statement_cache
        self.isolated = isolated
        self.dsn = dsn
        self.name = database_name(dsn)
        self._pool = Pool(
            dsn,
            size=settings.database_pool_size,
            tenants_per_connection=settings.database_tenants_per_connection,
            statement_cache=self._cache,
        )

    @asynccontextmanager
    async def shared(self) -> AsyncGenerator[SharedConnection]:
        """Open a transaction over the shared schema."""
        async with self._pool.acquire() as raw, _transaction(raw, "BEGIN"):
            yield SharedConnection(raw)

    @asynccontextmanager
    async def statements(self) -> AsyncGenerator[SharedConnection]:
        """Lend a connection on which every statement is a transaction of its own: one trip each."""
        async with self._pool.acquire() as raw:
            yield SharedConnection(raw)

    @asynccontextmanager
    async def tenant(self, tenant_id: str) -> AsyncGenerator[TenantConnection]:
        """Open a transaction inside a tenant: one trip sets its search path and its role."""
        begin = self._enter(tenant_id)
        async with self._pool.acquire(tenant_id) as raw, _transaction(raw, begin):
            yield TenantConnection(raw)

    def _enter(self, tenant_id: str) -> LiteralString:
        schema = tenant_schema(tenant_id)
        text: LiteralString = "BEGIN; SET LOCAL search_path TO " + quoted(schema)
        if self.isolated:
            return text + "; SET LOCAL ROLE " + quoted(tenant_role(self.name, schema))
        return text + "; SET LOCAL zapisano.tenant TO " + quoted(schema)

    @asynccontextmanager
    async def owner(self) -> AsyncGenerator[OwnerConnection]:
        """Open a transaction as the owner of the tables, on a connection of its own."""
        if not self._owner_dsn:
            raise BrokenSetting("DATABASE_URL: is required here: this needs the tables' owner")
        raw = await connect(
            self._owner_dsn,
            statement_cache=0,
            application="zapisano-owner",
            lock_timeout=LOCK_TIMEOUT,
        )
        try:
            async with _transaction(await speak_json(raw), "BEGIN"):
                yield OwnerConnection(raw)
        finally:
            await raw.close(timeout=5)

    async def session(self, application: str) -> RawConnection:
        """Open a connection outside the pool, for LISTEN and the job runner; the caller closes."""
        return await connect(self.dsn, statement_cache=self._cache, application=application)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()


@asynccontextmanager
async def _transaction(raw: RawConnection, begin: LiteralString) -> AsyncGenerator[None]:
    """Run `begin`, then the body, then COMMIT; whatever fails on the way is rolled back."""
    try:
        await _execute(raw, begin)
        yield
    except BaseException:  # raised again; a cancellation too
        # A statement cancelled half-way leaves the protocol unsure; then the connection goes.
        if not raw.is_closed():
            await _rollback(raw)
        raise
    await _execute(raw, "COMMIT")


async def _execute(raw: RawConnection, statement: LiteralString) -> None:
    try:
        await raw.execute(statement)
    except NO_SUCH_ROLE as error:
        # Its role is gone with its archive, or not made yet: the next attempt will know.
        raise Busy("This tenant cannot be entered now.") from error
    except PostgresError as error:
        fail(error)


async def _rollback(raw: RawConnection) -> None:
    """Roll back, or hang up, which does the same: the caller's own error is the one to tell."""
    try:
        await raw.execute("ROLLBACK", timeout=5)
    except (*CONNECTION_LOST, PostgresError, TimeoutError):
        raw.terminate()
    except BaseException:  # raised again; a cancellation too
        raw.terminate()
        raise


def database_name(dsn: str) -> str:
    """Return the name of the database an address points to."""
    return urlsplit(dsn).path.lstrip("/")


async def open_database(
    settings: Settings, *, patience_seconds: float = 0.0, quiet: bool = False
) -> Database:
    """Log in as the app's own role where there is one, else as the owner, with a warning.

    A process that starts beside the server or the migration waits `patience_seconds` for them.
    With `quiet` the caller says by itself that isolation is off.

    Raises:
        BrokenSetting: no address is set.
        Busy: the server is not answering, or its schema is older than this program.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            database = await _log_in(settings)
            break
        except Busy:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
    if not database.isolated and not quiet:
        log.warning("isolation_by_role_is_off", remedy=roles.remedy(settings))
    return database


def open_alone(settings: Settings) -> Database:
    """Open a database that may have nothing but credits; nobody is asked until it is used.

    Raises:
        BrokenSetting: no address is set.
    """
    explicit = settings.app_database_url.get_secret_value()
    if not explicit:
        settings.require("database_url")
    dsn = explicit or settings.database_url.get_secret_value()
    return Database(settings, dsn=dsn, isolated=bool(explicit))


def check_addresses(settings: Settings) -> None:
    """Refuse addresses that nobody could read, before a process says that it is ready.

    Raises:
        BrokenSetting: names the setting.
    """
    for name in ("app_database_url", "database_url"):
        if address := getattr(settings, name).get_secret_value():
            check_address(name.upper(), address)


async def _log_in(settings: Settings) -> Database:
    explicit = settings.app_database_url.get_secret_value()
    if not explicit:
        settings.require("database_url")
    address = explicit or settings.database_url.get_secret_value()
    raw = await connect(address, statement_cache=0)
    try:
        conn = OwnerConnection(raw)
        await check_version(conn)
        isolated = bool(explicit) or await roles.isolation_is_on(conn)
    finally:
        await raw.close(timeout=5)
    if isolated and not explicit:
        address = roles.app_dsn(settings)
    return Database(settings, dsn=address, isolated=isolated)
