"""Sessions that a web app keeps in the database (Auth.js adapters)."""

from typing import LiteralString, cast

from zapisano.db import Connection


async def email_of(conn: Connection, query: str, token: str) -> str | None:
    """Return whose session a token is, by the operator's own query; None when it is nobody's.

    The query is the operator's setting, since adapters name their tables differently.
    """
    email: str | None = await conn.fetchval(cast("LiteralString", query), token)
    return email
