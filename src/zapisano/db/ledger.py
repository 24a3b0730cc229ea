"""The credits' own chain: its two tables stand in `public`, as documented, the rest in `credits`.

It needs nothing of the shared schema, so that credits can run alone on a database of their own.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

from asyncpg import PostgresError

from zapisano.db.chains import CREDITS_HEAD, FOLDER, apply, knows, render
from zapisano.db.connection import CONNECTION_LOST, Connection, OwnerConnection
from zapisano.db.database import Database
from zapisano.db.names import APP_ROLE, quoted
from zapisano.errors import AppError, Refused
from zapisano.telemetry import get_logger

log = get_logger("zapisano.db")

NUMBERED = ("user_balances", "credit_transactions")
CREDITS_LOCK = 7_260_923  # any constant: one migration of credits at a time per database


class MigrationFailed(AppError):
    """The credits could not be migrated; nothing was changed. `reason` is safe to show."""

    code: ClassVar[str] = "migration_failed"
    text: ClassVar[str] = "Migration failed"

    def __init__(self, reason: str) -> None:
        """Keep the reason apart: the text is the source document's."""
        super().__init__()
        self.reason = reason


@asynccontextmanager
async def migrating(database: Database) -> AsyncGenerator[OwnerConnection]:
    """Open the owner's transaction, and bring the credits to the head in it.

    Raises:
        MigrationFailed: whatever went wrong, in words for the operator.
    """
    try:
        async with database.owner() as conn:
            await upgrade(conn)
            yield conn
    except AppError as error:
        raise _failed(error.detail) from error
    except PostgresError as error:
        raise _failed(f"PostgreSQL: {error.args[0]}") from error
    except CONNECTION_LOST as error:
        raise _failed("The connection to the database was lost.") from error


def _failed(reason: str) -> MigrationFailed:
    log.error("credits_not_migrated", reason=reason)
    return MigrationFailed(reason)


async def is_installed(conn: Connection) -> bool:
    """Say whether the ledger is there."""
    return bool(await conn.fetchval("SELECT to_regclass('credits.schema_version') IS NOT NULL"))


async def is_current(conn: Connection) -> bool:
    """Say whether the ledger is there, and as new as this program."""
    if not await is_installed(conn):
        return False
    version: str = await conn.fetchval("SELECT version_num FROM credits.schema_version")
    return version >= CREDITS_HEAD


async def upgrade(conn: OwnerConnection, folder: Path = FOLDER) -> None:
    """Bring the credits to the head, in the caller's transaction. Safe to repeat.

    Raises:
        Refused: they are newer than this program, or a table of theirs is not one plain table.
    """
    await conn.execute("SELECT pg_advisory_xact_lock($1)", CREDITS_LOCK)
    await conn.execute("CREATE SCHEMA IF NOT EXISTS credits")
    current: str | None = (
        await conn.fetchval("SELECT version_num FROM credits.schema_version")
        if await is_installed(conn)
        else None
    )
    if current is not None and not knows("credits", current, folder):
        raise Refused(f"The credits are at version {current}: upgrade Zapisano first.")
    for table in NUMBERED:
        await _check_plain(conn, table)
    await apply(conn, render("credits", current, folder=folder))
    for table in NUMBERED:
        await _number_on(conn, table)
    if await conn.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", APP_ROLE):
        await _grant(conn)


async def _grant(conn: OwnerConnection) -> None:
    """Let the app's role add to the ledger. It cannot change or remove what was written there."""
    app = quoted(APP_ROLE)
    await conn.execute("GRANT USAGE ON SCHEMA credits TO " + app)
    await conn.execute("GRANT SELECT, INSERT, UPDATE ON public.user_balances TO " + app)
    await conn.execute("GRANT SELECT, INSERT ON public.credit_transactions TO " + app)
    await conn.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA credits TO " + app)
    await conn.execute(
        "GRANT UPDATE ON credits.holds, credits.grants, credits.alerts, credits.server_keys TO "
        + app
    )
    await conn.execute(
        "REVOKE INSERT ON credits.schema_version, credits.house_accounts, credits.carried_over"
        " FROM " + app
    )
    await conn.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA credits TO " + app)
    await conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA credits TO " + app)
    for table in NUMBERED:
        schema, _, sequence = (await _sequence(conn, table)).partition(".")
        await conn.execute(
            "GRANT USAGE ON SEQUENCE "
            + quoted(schema.strip('"'))
            + "."
            + quoted(sequence.strip('"'))
            + " TO "
            + app
        )


async def _check_plain(conn: OwnerConnection, table: str) -> None:
    """Refuse tables that are more than one: a row would not be told from another's.

    Raises:
        Refused: the table has children or parts, or is none.
    """
    odd = await conn.fetchval(
        """SELECT c.relkind <> 'r' OR EXISTS (
               SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent))
           FROM pg_class AS c WHERE c.oid = to_regclass('public.' || $1::text)""",
        table,
    )
    if odd:
        raise Refused(f"public.{table}: must be one plain table, without children or partitions.")


async def _number_on(conn: OwnerConnection, table: str) -> None:
    """Let new rows follow the last one: an adopted table may have been filled past its sequence.

    Raises:
        Refused: the table has no sequence.
    """
    sequence = await _sequence(conn, table)
    last: int | None = await conn.fetchval(
        "SELECT max(id) FROM public." + quoted(table)  # noqa: S608 # one of the two above
    )
    await conn.execute(
        """SELECT setval($1::text::regclass, $2)
           WHERE $2 > coalesce(pg_sequence_last_value($1::text::regclass), 0)""",
        sequence,
        last,
    )


async def _sequence(conn: OwnerConnection, table: str) -> str:
    """Return what numbers a documented table: an adopted one may have any sequence.

    Raises:
        Refused: it has none, so no row could be added.
    """
    name: str | None = await conn.fetchval(
        "SELECT pg_get_serial_sequence('public.' || $1::text, 'id')", table
    )
    if name is None:
        raise Refused(
            f"public.{table}: its column id has no sequence of its own; make it one with "
            f"ALTER SEQUENCE … OWNED BY public.{table}.id"
        )
    return name
