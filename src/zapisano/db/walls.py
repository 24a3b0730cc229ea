"""Walls in PostgreSQL's own catalog: what `walls.sql` takes from PUBLIC, and whether it was done.

The catalog is the superuser's. Our migration raises the walls where it is one, the embedded server
has them from the start, and elsewhere the doctor names the line that a superuser runs.
"""

from pathlib import Path
from typing import LiteralString, cast
from urllib.parse import urlsplit

from zapisano.db.connection import OwnerConnection
from zapisano.db.names import quoted
from zapisano.settings import Settings

FILE = Path(__file__).with_name("walls.sql")


def statements() -> LiteralString:
    """Return the script, part of this program."""
    return cast("LiteralString", FILE.read_text(encoding="utf-8"))


def remedy(settings: Settings) -> str:
    """Return the line that a superuser types to raise the walls."""
    database = urlsplit(settings.database_url.get_secret_value()).path.lstrip("/")
    return (
        "as a superuser (add -W where the server is your own and asks for a password): "
        f"zapisano psql -U postgres -d {database} -f {FILE}"
    )


async def ensure(conn: OwnerConnection, database: str) -> None:
    """Raise the walls as far as this owner may."""
    row = await conn.fetchrow(
        """SELECT r.rolsuper AS all, r.rolsuper OR d.datdba = r.oid AS temporary
           FROM pg_roles r, pg_database d
           WHERE r.rolname = current_user AND d.datname = current_database()"""
    )
    if row and row["all"]:
        await conn.raw.execute(statements())
    elif row and row["temporary"]:
        await conn.execute("REVOKE TEMPORARY ON DATABASE " + quoted(database) + " FROM PUBLIC")


async def gaps(conn: OwnerConnection) -> list[str]:
    """Return what PUBLIC, and so every tenant's role, may still do that it has no need of."""
    row = await conn.fetchrow(
        """SELECT has_table_privilege('public', 'pg_stat_activity', 'SELECT')
                OR has_function_privilege('public', 'pg_stat_get_activity(integer)', 'EXECUTE')
                    AS "see everybody's activity",
               has_function_privilege('public', 'pg_stat_get_live_tuples(oid)', 'EXECUTE')
                OR has_function_privilege('public', 'pg_relation_size(regclass, text)', 'EXECUTE')
                OR has_column_privilege('public', 'pg_class', 'reltuples', 'SELECT')
                    AS "see how large others are",
               has_table_privilege('public', 'pg_roles', 'SELECT') AS "list roles",
               has_function_privilege('public', 'lo_create(oid)', 'EXECUTE')
                    AS "store large objects",
               has_function_privilege('public', 'pg_advisory_lock(bigint)', 'EXECUTE')
                    AS "hold locks after its transaction",
               has_database_privilege('public', current_database(), 'TEMPORARY')
                    AS "make temporary tables" """
    )
    return [name for name, is_open in row.items() if is_open] if row else []
