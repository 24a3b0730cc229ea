"""What time brings to credits: holds and grants end, and low balances are told.

A read or a charge ends what is due on its own account, so nobody waits for this; it is for the
accounts that nobody asks for. The worker does it every few seconds; where none runs, whoever calls
`sweep` does the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from zapisano.credits.alerts import deliver
from zapisano.credits.model import Rules
from zapisano.credits.store import movements as store
from zapisano.db import Database, connection_is_lost, ledger
from zapisano.jobs import Job, schedule
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.credits")

EVERY = timedelta(seconds=5)
# Credits may be installed while the worker runs, over HTTP. Until then it only looks.
LOOK_AGAIN = timedelta(minutes=1)
# What is above it waits for the next time, which is soon. So many accounts whose expiry fails
# would hold up the others.
MOST_ACCOUNTS = 5_000


@dataclass(frozen=True)
class Tend(Job):
    """Do what is due, and ask for the same again later."""

    kind: ClassVar[str] = "credits.tend"


@dataclass(frozen=True)
class Tending:
    """The handler. One per process."""

    settings: Settings
    database: Database
    now: Callable[[], datetime]

    async def tend(self, job: Tend) -> None:
        """Sweep, where there is a ledger, and come again."""
        async with self.database.shared() as conn:
            there = await ledger.is_installed(conn)
        if there:
            await sweep(self.database, self.settings, self.now)
        async with self.database.shared() as conn:
            pause = EVERY if there else LOOK_AGAIN
            await schedule(conn, job, at=self.now() + pause, subject="")


async def sweep(database: Database, settings: Settings, now: Callable[[], datetime]) -> int:
    """End what is due, then tell of low balances; return how many holds and grants have ended.

    Safe to repeat and to run twice at once. The ledger must be installed.

    Raises:
        Busy: the database is gone.
    """
    ended = await _expire(database, Rules.of(settings), now())
    await deliver(database, settings, now)
    return ended


async def _expire(database: Database, rules: Rules, now: datetime) -> int:
    """End what is due, each account in a commit of its own."""
    ended = 0
    async with database.statements() as conn:
        for account, email in await store.due_accounts(conn, now, MOST_ACCOUNTS):
            try:
                ended += await store.expire(conn, rules, email, now)
            except Exception as error:  # a runner's: one account must not stop the others
                if connection_is_lost(error.__cause__ or error):
                    raise
                log.exception("expiry_failed", account=account)
    return ended
