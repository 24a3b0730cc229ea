"""Installing credits: what `/api/admin/migrate` shows and does."""

from dataclasses import dataclass
from enum import StrEnum

from zapisano.credits.model import Rules
from zapisano.credits.store import movements, tables
from zapisano.credits.store.tables import Frozen
from zapisano.db import Connection, Database, ledger

MOST_FROZEN_SHOWN = 100


class State(StrEnum):
    """How far the installation is."""

    PENDING = "pending"
    PARTIAL = "partial"
    MIGRATED = "migrated"


@dataclass(frozen=True)
class Status:
    """What is there and what is missing; `missing` in the document's order."""

    state: State
    existing: list[str]
    missing: list[str]
    message: str


@dataclass(frozen=True)
class Installed:
    """What an installation has come to."""

    tables: list[str]
    stats: dict[str, int]
    test_users: list[str]
    frozen: list[Frozen]


async def status(conn: Connection) -> Status:
    """Look, and change nothing."""
    existing = await tables.existing(conn)
    missing = [name for name in tables.DOCUMENTED if name not in existing]
    if missing:
        state = State.PARTIAL if existing else State.PENDING
        return Status(state, existing, missing, f"Missing tables: {', '.join(missing)}")
    if not await ledger.is_installed(conn):
        return Status(State.PARTIAL, existing, [], "The tables are there and not taken over yet.")
    if not await ledger.is_current(conn):
        return Status(State.PARTIAL, existing, [], "An update of the tables is waiting.")
    return Status(State.MIGRATED, existing, [], "All tables exist")


async def install(database: Database, rules: Rules) -> Installed:
    """Bring everything to the head, take over what was there, open the test accounts.

    Safe to repeat and to run twice at once: all in one transaction, one after the other.

    Raises:
        MigrationFailed: nothing was changed.
    """
    async with ledger.migrating(database) as conn:
        await tables.adopt(conn)
        for email in sorted(rules.test_accounts):
            await movements.open_account(conn, rules, email)
        return Installed(
            tables=await tables.existing(conn),
            stats=await tables.count(conn),
            test_users=await tables.there(conn, sorted(rules.test_accounts)),
            frozen=await tables.frozen(conn, MOST_FROZEN_SHOWN),
        )
