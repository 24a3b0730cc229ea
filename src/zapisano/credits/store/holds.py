"""Holds, by their ids; they open and end through `credits.post`."""

from uuid import UUID

from zapisano.credits.model import Hold, HoldState
from zapisano.db import Connection


async def find(conn: Connection, hold: UUID) -> Hold | None:
    """Return a hold, whoever's account it is of; None when there is no such hold."""
    row = await conn.fetchrow(
        """SELECT h.id, credits.fold(a.email) AS email, h.amount, h.state, h.shortfall,
               h.expires_at, p.operation, p.metadata::text AS metadata
           FROM credits.holds AS h
           JOIN public.user_balances AS a ON a.id = h.account
           JOIN credits.postings AS p ON p.account = h.account AND p.movement = h.opened
           WHERE h.id = $1""",
        hold,
    )
    if row is None:
        return None
    return Hold(
        id=row["id"],
        email=row["email"],
        amount=row["amount"],
        state=HoldState(row["state"]),
        shortfall=row["shortfall"],
        expires_at=row["expires_at"],
        operation=row["operation"],
        metadata=row["metadata"],
    )
