"""Whether somebody waits in the database: how tests meet two transactions in the act."""

import asyncpg


async def somebody_waits(witness: "asyncpg.Connection[asyncpg.Record]") -> bool:
    """Whether a transaction of this database waits for another; other tests share the server."""
    # Inside a transaction PostgreSQL keeps showing what it has shown first.
    await witness.execute("SELECT pg_stat_clear_snapshot()")
    return bool(
        await witness.fetchval(
            """SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
               WHERE datname = current_database() AND NOT granted"""
        )
    )
