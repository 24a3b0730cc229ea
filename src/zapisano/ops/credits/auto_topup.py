"""`zapisano credits auto-topup`: how an account is topped up by itself, and an end to it."""

from datetime import UTC, datetime

from zapisano.clock import utc_now
from zapisano.db import SharedConnection
from zapisano.errors import NotFound
from zapisano.ops import screen
from zapisano.ops.credits import opening
from zapisano.payments import auto_methods
from zapisano.payments.auto_model import AutoMethod
from zapisano.payments.store import takes_credits
from zapisano.settings import Settings


async def show(settings: Settings, email: str) -> None:
    """Show what was agreed to and how it goes, or why it is over.

    Raises:
        NotFound: there was never any.
    """
    email = opening.address(email)
    async with opening.opened(settings) as database, database.shared() as conn:
        method = await _newest(conn, email)
    screen.table(
        ("address", "state", "below (credits)", "roubles", "a day at most", "card", "next (UTC)"),
        [
            (
                email,
                _state(method),
                str(method.terms.below),
                str(method.terms.amount),
                str(method.terms.per_day),
                method.card,
                _at(method.next_at) if method.declines and not method.ended_for else "-",
            )
        ],
    )
    if method.ended_for is None and not settings.yookassa_autopay:
        screen.note("Nothing is charged now: YOOKASSA_AUTOPAY is off.")


async def end(settings: Settings, email: str) -> None:
    """End it at once and forget the card. A charge that is under way goes its way.

    Raises:
        NotFound: there was never any.
    """
    email = opening.address(email)
    async with opening.opened(settings) as database, database.shared() as conn:
        await _newest(conn, email)
        ended = await auto_methods.end(conn, email, "operator", by="operator", now=utc_now())
    screen.say(f"{email}: auto top-up {'is off now' if ended else 'was off before'}.")


async def _newest(conn: SharedConnection, email: str) -> AutoMethod:
    method = await auto_methods.newest(conn, email) if await takes_credits(conn) else None
    if method is None:
        raise NotFound(f"{email} has never switched auto top-up on.")
    return method


def _state(method: AutoMethod) -> str:
    if method.ended_for:
        return f"off: {method.ended_for}"
    if method.declines:
        return f"waits after {method.declines} declined in a row: {method.declined_for}"
    return "on"


def _at(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
