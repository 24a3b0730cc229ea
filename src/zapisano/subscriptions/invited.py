"""Who has come by whose invitation, in the shared schema."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.tenancy import TenantId


async def insert(
    conn: SharedConnection, guest_id: int, host: TenantId, invited_at: datetime
) -> bool:
    """Keep who has invited a person; the first invitation counts. Return False if it was not."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.invitations (guest_id, host, invited_at) VALUES ($1, $2, $3)
               ON CONFLICT (guest_id) DO NOTHING""",
            guest_id,
            host,
            invited_at,
        )
    )


async def find_open(conn: SharedConnection, guest_id: int) -> TenantId | None:
    """Return who has invited a person who has not paid yet."""
    found = await conn.fetchval(
        "SELECT host FROM shared.invitations WHERE guest_id = $1 AND rewarded_at IS NULL", guest_id
    )
    return TenantId(found) if found else None


async def close(conn: SharedConnection, guest_id: int, now: datetime) -> bool:
    """Write that an invitation has brought its days; return False if it has before."""
    return bool(
        await conn.execute(
            """UPDATE shared.invitations SET rewarded_at = $2
               WHERE guest_id = $1 AND rewarded_at IS NULL""",
            guest_id,
            now,
        )
    )
