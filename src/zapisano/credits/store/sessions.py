"""Sessions that a web app keeps in the database (Auth.js adapters)."""

from typing import LiteralString, cast

from zapisano.db import Connection


async def email_of(conn: Connection, query: str, token: str) -> str | None:
    """Return whose session a token is, '' when its user has no address; None without a session.

    The query is the operator's own, for adapters name their tables differently; it is asked as
    typed in psql, where tables of `public` need not say so.
    """
    await conn.execute("SET LOCAL search_path TO public")
    try:
        row = await conn.fetchrow(cast("LiteralString", query), token)
    except ValueError:  # the driver's word for a token that the column's type cannot be
        return None
    return (row[0] or "") if row else None
