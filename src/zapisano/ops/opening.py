"""The database, open for the length of one command."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from zapisano.db import Database, open_database
from zapisano.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Database]:
    """Open the database as the service does, and close it again."""
    database = await open_database(settings)
    try:
        yield database
    finally:
        await database.close()
