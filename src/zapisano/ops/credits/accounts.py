"""`zapisano credits show|grant|adjust|top`: an account, what changes it, and who is ahead."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from zapisano.clock import utc_now
from zapisano.credits import history, ledger
from zapisano.credits.entry import Entry
from zapisano.credits.model import Insufficient, Item, Posted, Rules, Verb, own_key
from zapisano.credits.store import accounts as store
from zapisano.credits.store.accounts import Ranked, Stored
from zapisano.db import Connection
from zapisano.errors import BrokenSetting, NotFound, Refused
from zapisano.ops import screen
from zapisano.ops.credits import opening
from zapisano.settings import Settings

LAST = 10
LONGEST_REASON = 200
LONGEST_KEY = 200


class By(StrEnum):
    """What accounts are ranked by."""

    SPENT = "spent"
    BALANCE = "balance"
    CHARGES = "charges"


async def show(settings: Settings, email: str) -> None:
    """Show an account: what it has, what is held, grants that end, and its last movements.

    Raises:
        NotFound: there is none.
    """
    email, now = opening.address(email), utc_now()
    rules = Rules.of(settings)
    async with opening.opened(settings) as database, database.shared() as conn:
        rows = await _there(conn, email)
        if any(one.frozen is None for one in rows):
            account = await ledger.account(conn, rules, email, now)  # ends what has ended
            rows = await store.of_address(conn, email)
            page = await history.page(conn, account, limit=LAST)
            await _lots(conn, account.id)
            screen.table(
                ("movement", "at (UTC)", "kind", "amount", "balance", "operation"),
                [_line(one) for one in page.entries],
                title="Last movements",
            )
            screen.say("")
    screen.table(
        ("account", "address", "balance", "spent", "held", "promo", "test", "made (UTC)", "state"),
        [_row(one) for one in rows],
    )


async def _there(conn: Connection, email: str) -> list[Stored]:
    rows = await store.of_address(conn, email)
    if not rows:
        raise NotFound(f"There is no account of {email}: one is made by the first visit.")
    return rows


async def _lots(conn: Connection, account: int) -> None:
    if holds := await store.open_holds(conn, account):
        screen.table(
            ("hold", "amount", "ends (UTC)"),
            [(str(one.id), str(one.amount), _at(one.expires_at)) for one in holds],
            title="Open holds",
        )
        screen.say("")
    if grants := await store.grants_left(conn, account):
        screen.table(
            ("grant", "amount", "left", "ends (UTC)"),
            [
                (str(one.id), str(one.amount), str(one.remaining), _at(one.expires_at))
                for one in grants
            ],
            title="Grants that end",
        )
        screen.say("")


def _row(one: Stored) -> tuple[str, ...]:
    return (
        str(one.id),
        one.email,
        number(one.balance),
        number(one.total_spent),
        str(one.held),
        str(one.promo),
        "yes" if one.is_test else "no",
        _at(one.created_at),
        state(one),
    )


def number(figure: Decimal | None) -> str:
    """Return a sum that may be missing."""
    return "-" if figure is None else str(figure)


def state(one: Stored) -> str:
    """Return whether an account can be used, and if not why."""
    if one.frozen:
        return f"frozen: {one.frozen}"
    return "in use" if one.is_adopted else "not adopted yet"


def _line(one: Entry) -> tuple[str, ...]:
    return (
        "-" if one.movement is None else str(one.movement),
        _at(one.created_at),
        one.kind.value,
        str(one.amount),
        str(one.balance_after),
        one.operation,
    )


def _at(instant: datetime | None) -> str:
    return "-" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"


async def grant(
    settings: Settings, email: str, amount: str, *, until: str, reason: str, key: str
) -> None:
    """Give credits; with `until` what is left of them ends then. A new address gets an account.

    Raises:
        Refused: something typed cannot be.
    """
    now = utc_now()
    item = Item(
        opening.address(email),
        Verb.GRANT,
        opening.amount(amount),
        operation=_reason(reason),
        key=_key(key),
        expires_at=opening.end(until, now, settings.time_zone) if until else None,
    )
    async with opening.opened(settings) as database, database.shared() as conn:
        is_new = not await store.of_address(conn, item.email)
        posted = await ledger.post(conn, Rules.of(settings), item, now)
    if is_new:
        screen.note(f"{item.email} had no account: it was opened.")
    ends = f" until {_at(item.expires_at)} UTC" if item.expires_at else ""
    screen.say(f"{item.email}: {posted.amount} granted{ends}. {_after(posted)}")


async def adjust(settings: Settings, email: str, amount: str, *, reason: str, key: str) -> None:
    """Put an account right, up or down; down to the floor at most.

    Raises:
        NotFound: there is no such account.
        Refused: something typed cannot be, or the account cannot bear it.
    """
    item = Item(
        opening.address(email),
        Verb.ADJUST,
        opening.amount(amount, signed=True),
        operation=_reason(reason),
        key=_key(key),
    )
    rules = Rules.of(settings)
    async with opening.opened(settings) as database, database.shared() as conn:
        await _there(conn, item.email)
        try:
            posted = await ledger.post(conn, rules, item, utc_now())
        except Insufficient as short:
            raise Refused(
                f"AMOUNT: {item.email} has {short.balance}, and may go down to {rules.floor}"
            ) from short
    screen.say(f"{item.email}: adjusted by {posted.amount}. {_after(posted)}")


def _reason(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_REASON or not text.isprintable():
        raise Refused(f"--reason: the customer reads it; 1 to {LONGEST_REASON} characters")
    return text


def _key(text: str) -> str | None:
    if not text:
        return None
    if len(text) > LONGEST_KEY or not text.isprintable():
        raise Refused(f"--key: has at most {LONGEST_KEY} characters")
    return own_key("operator", text)


def _after(posted: Posted) -> str:
    balance = f"The balance was {posted.balance_after} then" if posted.is_replay else ""
    if balance:
        return f"This was done before, with this key, and not again. {balance}."
    return f"The balance is {posted.balance_after}."


async def top(settings: Settings, by: By, days: int | None, count: int) -> None:
    """List who has spent or has most, or was charged most often, in so many days or ever."""
    if days is not None and by is By.BALANCE:
        raise BrokenSetting("--days: goes with --by spent and --by charges")
    since = None if days is None else utc_now() - timedelta(days=days)
    async with opening.opened(settings) as database, database.shared() as conn:
        found = await _ranked(conn, by, since, count)
    if not found:
        screen.note("Nobody yet.")
        return
    screen.table(
        ("address", by.value, "balance now"),
        [(one.email, str(one.figure), number(one.balance)) for one in found],
    )


async def _ranked(conn: Connection, by: By, since: datetime | None, count: int) -> Sequence[Ranked]:
    if by is By.CHARGES:
        return await store.top_by_charges(conn, since, count)
    if by is By.BALANCE:
        return await store.top_by_balance(conn, count)
    if since is None:
        return await store.top_by_spent(conn, count)
    return await store.top_by_spent_since(conn, since, count)
