"""Write and read the journal."""

from collections.abc import Sequence

from zapisano.db import Connection, SharedConnection
from zapisano.journal.model import Event

CHANNEL = "zapisano_journal"


async def record(
    conn: Connection, kind: str, subject: str, *, tenant: str | None = None, **data: object
) -> None:
    """Add a line that commits with the caller's transaction and wakes those who follow.

    Inside a tenant's transaction only kinds that begin with `booking.` are accepted, and the
    tenant is stamped by the database.
    """
    values = {**data, "tenant_id": tenant} if tenant else data
    await conn.execute("SELECT shared.record_event($1, $2, $3)", kind, subject, values)


async def read(
    conn: SharedConnection, *, after: int, limit: int, tenant: str | None = None
) -> list[Event]:
    """Return up to `limit` lines with ids above `after`, oldest first."""
    rows = await conn.fetch(
        """SELECT id, at, kind, tenant, subject, data FROM shared.journal
           WHERE id > $1 AND ($2::text IS NULL OR tenant = $2) ORDER BY id LIMIT $3""",
        after,
        tenant,
        limit,
    )
    return [Event(**row) for row in rows]


async def read_unseen(
    conn: SharedConnection, *, after: int, seen: Sequence[int], limit: int
) -> list[Event]:
    """Return up to `limit` lines with ids above `after`, but not those in `seen`, oldest first."""
    rows = await conn.fetch(
        """SELECT id, at, kind, tenant, subject, data FROM shared.journal
           WHERE id > $1 AND id <> ALL ($2::bigint[]) ORDER BY id LIMIT $3""",
        after,
        list(seen),
        limit,
    )
    return [Event(**row) for row in rows]


async def identity(conn: SharedConnection) -> str:
    """Return which journal this is: the same while it lasts, another in a database begun anew.

    Ids begin at 1 in every database. Two clusters give their tables the same oid, so the cluster's
    own number goes in front: https://www.postgresql.org/docs/18/functions-info.html
    """
    return str(
        await conn.fetchval(
            """SELECT format('%s-%s-%s', system_identifier, d.oid, 'shared.journal'::regclass::oid)
               FROM pg_control_system(), pg_database AS d WHERE d.datname = current_database()"""
        )
    )


async def newest(conn: SharedConnection) -> int:
    """Return the id of the last line, 0 when there is none."""
    return int(await conn.fetchval("SELECT coalesce(max(id), 0) FROM shared.journal"))
