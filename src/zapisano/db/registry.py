"""What the shared schema says of its own version."""

from zapisano.db.chains import SHARED_HEAD
from zapisano.db.connection import OwnerConnection
from zapisano.errors import Busy


async def check_version(conn: OwnerConnection) -> None:
    """Refuse a schema that is older than this program; one that is newer is additive.

    Raises:
        Busy: the database is not migrated yet.
    """
    there = await conn.fetchval("SELECT to_regclass('shared.schema_version') IS NOT NULL")
    version = await conn.fetchval("SELECT version_num FROM shared.schema_version") if there else ""
    if version < SHARED_HEAD:
        raise Busy("The database is not migrated yet; run: zapisano migrate")
