"""What has happened to an account: a page of it, or all of it, newest first.

A page begins after the line at which the one before has ended, so that lines which come meanwhile
neither repeat nor hide any. Whatever is asked for, a page looks at so many movements and no more:
one that is narrowed may be short, or empty, and have another after it all the same.
"""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from zapisano.credits.entry import LAST_MOVEMENT, Entry, Filter, Place
from zapisano.credits.model import Account
from zapisano.credits.store import history as store
from zapisano.db import Connection, Database
from zapisano.errors import Refused

DEFAULT_LIMIT = 20
LARGEST_LIMIT = 100
BATCH_SIZE = 500  # rows at once; each may hold 16 KiB of metadata
WINDOW = 20_000

EVERYTHING = Filter()


@dataclass(frozen=True)
class Page:
    """Some lines, and where the next page begins; None when there is none."""

    entries: list[Entry]
    following: Place | None

    @property
    def next_cursor(self) -> str | None:
        """The place where the next page begins, as text."""
        return self.following.cursor if self.following else None


async def page(
    conn: Connection,
    account: Account,
    *,
    where: Filter = EVERYTHING,
    after: Place | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Page:
    """Return the lines of an account's history after `after`, newest first.

    Raises:
        Refused: `limit` is not from 1 to 100.
    """
    if not 1 <= limit <= LARGEST_LIMIT:
        raise Refused(f"limit: is a number from 1 to {LARGEST_LIMIT}")
    return await _page(conn, account, where, after, limit, WINDOW)


async def _page(
    conn: Connection, account: Account, where: Filter, after: Place | None, limit: int, window: int
) -> Page:
    entries: list[Entry] = []
    if after is None or after.movement is not None:
        before = LAST_MOVEMENT if after is None or after.movement is None else after.movement
        entries = await store.postings(
            conn, account, where, before=before, limit=limit + 1, window=window
        )
        if len(entries) <= limit and not where.is_open:
            edge = await store.edge(conn, account, before=before, window=window)
            if edge is not None:
                return Page(entries, Place(movement=edge))
        after = None
    if len(entries) <= limit and where.takes_charges:
        wanted = limit + 1 - len(entries)
        entries += await store.carried(conn, account, where, after=after, limit=wanted)
    shown = entries[:limit]
    return Page(shown, shown[-1].place if len(entries) > limit else None)


async def stream(
    database: Database, account: Account, where: Filter = EVERYTHING
) -> AsyncGenerator[list[Entry]]:
    """Yield an account's whole history, newest first, in batches.

    No connection is kept while the batch is being used: who reads it may be slow.
    """
    after: Place | None = None
    while True:
        async with database.statements() as conn:
            one = await _page(conn, account, where, after, BATCH_SIZE, WINDOW)
        if one.entries:
            yield one.entries
        if (after := one.following) is None:
            return


async def stream_all(database: Database) -> AsyncGenerator[list[Entry]]:
    """Yield everybody's history, in batches: what was before the ledger, then account by account.

    Oldest first.
    """
    row: int | None = -LAST_MOVEMENT  # an adopted table may begin anywhere
    while row is not None:
        async with database.statements() as conn:
            entries, row = await store.all_carried(conn, after=row, limit=BATCH_SIZE)
        if entries:
            yield entries
    last: tuple[int, int] | None = (-1, LAST_MOVEMENT)
    while last is not None:
        async with database.statements() as conn:
            entries, last = await store.all_postings(conn, after=last, limit=BATCH_SIZE)
        if entries:
            yield entries
