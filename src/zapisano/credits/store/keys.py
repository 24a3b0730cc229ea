"""Server keys as they are stored: without their secrets."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from zapisano.db import Connection, Row


@dataclass(frozen=True)
class StoredKey:
    """A row of `credits.server_keys`; `digest` is the SHA-256 of the whole key."""

    id: str
    digest: bytes = field(repr=False)
    name: str
    scopes: Sequence[str]
    most: Decimal | None
    per_minute: int | None
    created_at: datetime
    revoked_at: datetime | None


async def insert(conn: Connection, key: StoredKey) -> None:
    """Write a new key."""
    await conn.execute(
        """INSERT INTO credits.server_keys
               (id, digest, name, scopes, most, per_minute, created_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        key.id,
        key.digest,
        key.name,
        key.scopes,
        key.most,
        key.per_minute,
        key.created_at,
    )


async def find(conn: Connection, key_id: str) -> StoredKey | None:
    """Return a key by its id, if there is one."""
    row = await conn.fetchrow(
        """SELECT id, digest, name, scopes, most, per_minute, created_at, revoked_at
           FROM credits.server_keys WHERE id = $1""",
        key_id,
    )
    return _stored(row) if row else None


async def find_all(conn: Connection) -> list[StoredKey]:
    """Return all keys, the oldest first."""
    rows = await conn.fetch(
        """SELECT id, digest, name, scopes, most, per_minute, created_at, revoked_at
           FROM credits.server_keys ORDER BY created_at, id"""
    )
    return [_stored(row) for row in rows]


async def revoke(conn: Connection, key_id: str, now: datetime) -> bool:
    """Note that a key is revoked, or leave the note that is there; return False without a key."""
    return bool(
        await conn.execute(
            """UPDATE credits.server_keys SET revoked_at = coalesce(revoked_at, $2)
               WHERE id = $1""",
            key_id,
            now,
        )
    )


def _stored(row: Row) -> StoredKey:
    return StoredKey(
        id=row["id"],
        digest=row["digest"],
        name=row["name"],
        scopes=row["scopes"],
        most=row["most"],
        per_minute=row["per_minute"],
        created_at=row["created_at"],
        revoked_at=row["revoked_at"],
    )
