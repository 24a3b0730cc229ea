"""What every credits command begins with: the ledger, open, and what was typed, read."""

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from zapisano.credits.model import CENT
from zapisano.credits.sessions import NoEmail, email_of
from zapisano.db import Database, ledger, open_alone
from zapisano.errors import Conflict, Refused
from zapisano.settings import MOST_CREDITS, Settings

DAYS = re.compile(r"([1-9][0-9]{0,4})d")


class NotInstalled(Conflict):
    """There is no ledger in this database yet."""

    code = "credits_not_installed"


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Database]:
    """Open a database that has credits, be there anything else in it or not.

    Raises:
        NotInstalled: it has none.
    """
    database = open_alone(settings)
    try:
        async with database.statements() as conn:
            if not await ledger.is_installed(conn):
                raise NotInstalled(_remedy(settings))
        yield database
    finally:
        await database.close()


def _remedy(settings: Settings) -> str:
    address = settings.public_url or f"http://127.0.0.1:{settings.api_port}"
    return (
        "Credits are not installed in this database. With MIGRATION_SECRET set and the API "
        f"running: curl -X POST {address}/api/admin/migrate -H 'Content-Type: application/json' "
        """-d '{"secret": "…"}'"""
    )


def address(text: str) -> str:
    """Read an e-mail address as a session's is read: in lower case.

    Raises:
        Refused: it is none.
    """
    try:
        return email_of({"email": text})
    except NoEmail:
        raise Refused(f"EMAIL: {text!r} is no e-mail address") from None


def amount(text: str, *, signed: bool = False) -> Decimal:
    """Read credits: above zero, or with `signed` below it too.

    Raises:
        Refused: it is no number with two places, or too large.
    """
    try:
        read = Decimal(text)
    except InvalidOperation:
        read = Decimal("NaN")
    if not read.is_finite() or not 0 < abs(read) <= MOST_CREDITS or (read < 0 and not signed):
        least = f"-{MOST_CREDITS}" if signed else "0.01"
        raise Refused(f"AMOUNT: {text!r} is no number from {least} to {MOST_CREDITS}, without zero")
    if read != read.quantize(CENT):
        raise Refused("AMOUNT: has two places at most, as in 12.50")
    return read.quantize(CENT)


def balance(text: str) -> Decimal:
    """Read what a balance is to be; whether it can be is for others to say.

    Raises:
        Refused: it is no number.
    """
    try:
        return Decimal(text)
    except InvalidOperation:
        raise Refused(f"--balance: {text!r} is no number") from None


def end(text: str, now: datetime, zone: str) -> datetime:
    """Read until when something is good: a day, which counts to its end, or so many from now.

    Raises:
        Refused: it is neither, or has passed.
    """
    try:
        if days := DAYS.fullmatch(text):
            return now + timedelta(days=int(days[1]))
        until = datetime.combine(
            date.fromisoformat(text) + timedelta(days=1), time(), ZoneInfo(zone)
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("--until: write a day, as 2026-12-31, or days from now, as 30d") from None
    if until <= now:
        raise Refused(f"--until: {text} has passed")
    return until
