"""`zapisano credits clashes|resolve`: accounts that wait for the operator's decision."""

from collections.abc import Sequence

from zapisano.clock import utc_now
from zapisano.credits import clashes
from zapisano.credits.clashes import Decision
from zapisano.credits.model import Rules
from zapisano.credits.store import accounts as store
from zapisano.credits.store.accounts import Stored
from zapisano.db import Database
from zapisano.ops import screen
from zapisano.ops.credits import opening
from zapisano.ops.credits.accounts import number, state
from zapisano.settings import Settings

COLUMNS = ("account", "address", "balance", "spent", "made (UTC)", "state")


async def show_all(settings: Settings) -> None:
    """List the accounts that nobody may move until the operator has decided."""
    async with opening.opened(settings) as database, database.shared() as conn:
        found = await store.frozen(conn)
    if not found:
        screen.note("No account waits for you.")
        return
    screen.table(COLUMNS, _rows(found))
    screen.note("Decide with: zapisano credits resolve EMAIL --keep ACCOUNT")


def _rows(accounts: Sequence[Stored]) -> list[tuple[str, ...]]:
    return [
        (
            str(one.id),
            one.email,
            number(one.balance),
            number(one.total_spent),
            f"{one.created_at:%Y-%m-%d}" if one.created_at else "-",
            state(one),
        )
        for one in accounts
    ]


async def resolve(
    settings: Settings, email: str, keep: int, balance: str, *, ask: bool = True
) -> None:
    """Keep one account of an address, once a person has seen what becomes of them and agreed."""
    email = opening.address(email)
    async with opening.opened(settings) as database:
        if ask:
            tried = await _tried(database, settings, email, keep, balance)
            screen.table(COLUMNS, _rows(tried.before), title="Now")
            screen.say("")
            screen.table(COLUMNS, _rows(tried.after), title="Then")
            if not screen.agreed(
                f"{_left(tried)}Keep account {keep} of {email}?",
                otherwise="credits resolve: asks before it moves balances; where nobody can be "
                "asked, add --yes",
            ):
                screen.note("Nothing was changed.")
                return
        decided = await _decided(database, settings, email, keep, balance)
    if not ask:
        screen.table(COLUMNS, _rows(decided.after))
    screen.note(f"{_left(decided)}{email} has account {keep} now.")


class _Tried(Exception):
    """Carries what would be out of a transaction that must not be committed."""

    def __init__(self, decision: Decision) -> None:
        super().__init__()
        self.decision = decision


async def _decided(
    database: Database,
    settings: Settings,
    email: str,
    keep: int,
    balance: str,
    *,
    in_earnest: bool = True,
) -> Decision:
    async with database.shared() as conn:
        decision = await clashes.resolve(
            conn,
            Rules.of(settings),
            email,
            keep=keep,
            now=utc_now(),
            balance=opening.balance(balance) if balance else None,
        )
        if not in_earnest:
            raise _Tried(decision)
    return decision


async def _tried(
    database: Database, settings: Settings, email: str, keep: int, balance: str
) -> Decision:
    """Do it, and take it back: nothing is locked while a person thinks."""
    try:
        return await _decided(database, settings, email, keep, balance, in_earnest=False)
    except _Tried as tried:
        return tried.decision


def _left(decision: Decision) -> str:
    if not decision.left:
        return ""
    return f"A debt of {-decision.left} is more than the account can bear and stays where it is.\n"
