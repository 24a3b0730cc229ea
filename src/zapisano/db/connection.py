"""A connection inside a transaction: what every store function is handed.

`SharedConnection`, `TenantConnection` and `OwnerConnection` are different types, so that taking
one for another is a type error first. Constraint violations come out as the domain's errors.
"""

import errno
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, LiteralString, NoReturn

import asyncpg

from zapisano.db.constraints import DOMAIN_ERRORS
from zapisano.errors import BrokenSetting, Busy, Conflict

Row = asyncpg.Record
if TYPE_CHECKING:
    RawConnection = asyncpg.Connection[asyncpg.Record]
else:  # generic in its stubs only
    RawConnection = asyncpg.Connection
Output = Callable[[bytes], Coroutine[None, None, None]]
# Whatever the database has said that is no constraint of ours: its text may repeat a row.
DatabaseError = asyncpg.PostgresError
# A full disk, no memory, no connection left: nothing was done, and a while later it may be.
NoRoom = asyncpg.InsufficientResourcesError
# What a lost or refused connection looks like: the caller may try again.
CONNECTION_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server hung up while the driver was not looking
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    NoRoom,
    ConnectionError,
    OSError,
)


class Locked(Busy):
    """Somebody else keeps what was asked for; nothing was done."""


NETWORK_DOWN = {
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENETRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
}

# The first that fits counts: a full disk is among what looks like a lost connection.
SAID: tuple[tuple[tuple[type[BaseException], ...], Callable[[], Exception]], ...] = (
    (
        (
            asyncpg.DeadlockDetectedError,
            asyncpg.LockNotAvailableError,
            asyncpg.SerializationError,
        ),
        Locked,
    ),
    (
        (asyncpg.DuplicatePreparedStatementError,),
        partial(
            BrokenSetting,
            "DATABASE_URL: a transaction pooler is in front while statements are cached; name "
            "PostgreSQL's own address, or set DATABASE_STATEMENT_CACHE=0",
        ),
    ),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        partial(Busy, "The database takes no changes now, please try again in a moment."),
    ),
    ((asyncpg.DiskFullError,), partial(Busy, "The database's disk is full, try again later.")),
    (
        CONNECTION_LOST,
        partial(Busy, "The database is not answering, please try again in a moment."),
    ),
)


# What is said of tables that are not there, and by which names credits' own are known.
NOT_THERE = (
    asyncpg.InvalidSchemaNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
)
OF_CREDITS = ("credits.", '"credits"', "user_balances", "credit_transactions", '"held"')


class NotInstalled(Busy):
    """Credits were not installed in this database yet."""

    code: ClassVar[str] = "not_installed"
    text: ClassVar[str] = "Credits are not installed here yet: POST /api/admin/migrate does it."


def connection_is_lost(error: BaseException) -> bool:
    """Say whether a connection was lost, and not a file missed or the driver used wrongly.

    Those are among `CONNECTION_LOST` too: an `OSError`, an `asyncpg.InterfaceError`.
    """
    if isinstance(error, asyncpg.InterfaceError):
        # The driver has no class of its own for "connection is closed".
        return "is closed" in str(error) or "has been released" in str(error)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        return error.errno in NETWORK_DOWN
    return isinstance(error, CONNECTION_LOST)


class Connection:
    """Statements in the open transaction. SQL is a literal; values are arguments."""

    __slots__ = ("_raw",)

    def __init__(self, raw: RawConnection) -> None:
        """Wrap a driver's connection whose transaction is open."""
        self._raw = raw

    async def fetch(self, sql: LiteralString, *args: object) -> list[Row]:
        """Return all rows."""
        try:
            return await self._raw.fetch(sql, *args)
        except asyncpg.PostgresError as error:
            fail(error)

    async def fetchrow(self, sql: LiteralString, *args: object) -> Row | None:
        """Return the first row, if there is one."""
        try:
            return await self._raw.fetchrow(sql, *args)
        except asyncpg.PostgresError as error:
            fail(error)

    async def fetchval(self, sql: LiteralString, *args: object) -> Any:  # what the query says
        """Return the first column of the first row, if there is one."""
        row = await self.fetchrow(sql, *args)
        return row[0] if row else None

    async def execute(self, sql: LiteralString, *args: object) -> int:
        """Run a statement; return how many rows it touched."""
        try:
            status = await self._raw.execute(sql, *args)
        except asyncpg.PostgresError as error:
            fail(error)
        count = status.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def executemany(self, sql: LiteralString, rows: Iterable[Sequence[object]]) -> None:
        """Run a statement once per row, in one trip."""
        try:
            await self._raw.executemany(sql, rows)
        except asyncpg.PostgresError as error:
            fail(error)


class SharedConnection(Connection):
    """A transaction over the shared schema: the registry, money, jobs."""

    __slots__ = ()


class TenantConnection(Connection):
    """A transaction inside one tenant's schema, as that tenant's role."""

    __slots__ = ()


class OwnerConnection(Connection):
    """A transaction of the tables' owner: migrations, schemas and roles."""

    __slots__ = ()

    @property
    def raw(self) -> RawConnection:
        """The driver's connection, for transactions inside a session."""
        return self._raw

    async def copy_out(self, sql: LiteralString, *args: object, output: Output) -> int:
        """Stream a query's rows as CSV with a header; NULL is empty, '' is quoted. Return rows."""
        try:
            status = await self._raw.copy_from_query(
                sql, *args, output=output, format="csv", header=True, force_quote=True
            )
        except asyncpg.PostgresError as error:
            fail(error)
        return int(status.rpartition(" ")[2])

    async def copy_in(
        self, schema: str, table: str, columns: Sequence[str], source: AsyncIterable[bytes]
    ) -> int:
        """Load what `copy_out` wrote; return how many rows there were."""
        try:
            status = await self._raw.copy_to_table(
                table,
                schema_name=schema,
                columns=columns,
                source=source,
                format="csv",
                header=True,
            )
        except asyncpg.PostgresError as error:
            fail(error)
        return int(status.rpartition(" ")[2])


def fail(error: asyncpg.PostgresError) -> NoReturn:
    """Raise what the database refused in the domain's words; without any, as it came."""
    told = _domain_error(error)
    if told is error:
        raise error  # and not from itself: whoever walks the causes would never end
    raise told from error


def _domain_error(error: asyncpg.PostgresError) -> Exception:
    error.detail = None  # it may quote the whole row, and errors reach logs
    for kinds, translated in SAID:
        if isinstance(error, kinds):
            return translated()
    if isinstance(error, NOT_THERE) and any(name in str(error) for name in OF_CREDITS):
        return NotInstalled()
    name: str | None = getattr(error, "constraint_name", None)
    # Citus appends a shard's number to the names of constraints, so prefixes count.
    for known, translated in DOMAIN_ERRORS.items():
        if name and name.startswith(known):
            return translated()
    if isinstance(error, asyncpg.UniqueViolationError):
        return Conflict("This already exists.")
    return error
