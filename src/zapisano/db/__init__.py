"""PostgreSQL: connections, transactions, migrations; the only importer of asyncpg."""

from zapisano.db.connection import (
    CONNECTION_LOST,
    Connection,
    DatabaseError,
    Locked,
    NoRoom,
    Output,
    OwnerConnection,
    RawConnection,
    Row,
    SharedConnection,
    TenantConnection,
    connection_is_lost,
)
from zapisano.db.database import (
    START_PATIENCE_SECONDS,
    Database,
    check_addresses,
    open_alone,
    open_database,
)

__all__ = [
    "CONNECTION_LOST",
    "START_PATIENCE_SECONDS",
    "Connection",
    "Database",
    "DatabaseError",
    "Locked",
    "NoRoom",
    "Output",
    "OwnerConnection",
    "RawConnection",
    "Row",
    "SharedConnection",
    "TenantConnection",
    "check_addresses",
    "connection_is_lost",
    "open_alone",
    "open_database",
]
