"""The credits' own chain: its two tables stand in `public`, as documented, the rest in `credits`.

It needs nothing of the shared schema, so that credits can run alone on a database of their own.
"""

from pathlib import Path

from zapisano.db.chains import FOLDER, apply, knows, render
from zapisano.db.connection import Connection, OwnerConnection
from zapisano.db.names import APP_ROLE, quoted
from zapisano.errors import Refused

CREDITS_LOCK = 7_260_923  # any constant: one migration of credits at a time per database


async def is_installed(conn: Connection) -> bool:
    """Say whether the ledger is there."""
    return bool(await conn.fetchval("SELECT to_regclass('credits.schema_version') IS NOT NULL"))


async def upgrade(conn: OwnerConnection, folder: Path = FOLDER) -> None:
    """Bring the credits to the head, in the caller's transaction. Safe to repeat.

    Raises:
        Refused: they are newer than this program.
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
    await apply(conn, render("credits", current, folder=folder))
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
        "REVOKE INSERT ON credits.schema_version, credits.house_accounts FROM " + app
    )
    await conn.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA credits TO " + app)
    await conn.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA credits TO " + app)
    for table in ("user_balances", "credit_transactions"):
        # An adopted table may have any sequence, or an identity, which needs no grant.
        name: str = await conn.fetchval(
            "SELECT pg_get_serial_sequence('public.' || $1::text, 'id')", table
        )
        schema, _, sequence = name.partition(".")
        await conn.execute(
            "GRANT USAGE ON SEQUENCE "
            + quoted(schema.strip('"'))
            + "."
            + quoted(sequence.strip('"'))
            + " TO "
            + app
        )
