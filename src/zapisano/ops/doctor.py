"""`zapisano doctor`: look at everything at once, and say what to do."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from zapisano.errors import AppError
from zapisano.ops import screen
from zapisano.ops.credits.health import check_secrets
from zapisano.ops.database import check_credits, check_database, has_credits_alone
from zapisano.ops.machine import check_machine
from zapisano.ops.model import Check, Outcome, failed
from zapisano.ops.services import check_redis, check_telegram, check_yookassa
from zapisano.settings import Settings

Room = Callable[[Settings], Awaitable[list[Check]]]


async def _redis_if_set(settings: Settings) -> list[Check]:
    return await check_redis(settings) if settings.redis else []


ROOMS: dict[str, Room] = {
    "PostgreSQL": check_database,
    "Redis": check_redis,
    "Telegram": check_telegram,
    "YooKassa": check_yookassa,
    "This machine": check_machine,
}
OF_CREDITS: dict[str, Room] = {
    "PostgreSQL": check_credits,
    "Redis": _redis_if_set,
    "Secrets": check_secrets,
}
MARKS = {
    Outcome.OK: "[green]✓[/]",
    Outcome.WARNING: "[yellow]![/]",
    Outcome.FAILED: "[bold red]✗[/]",
}


class Unwell(AppError):
    """At least one check failed."""

    code, text = "unwell", "Something has to be done."


async def examine(settings: Settings) -> list[Check]:
    """Make every check, of credits alone where nothing else is; the slow ones side by side."""
    rooms = OF_CREDITS if await has_credits_alone(settings) else ROOMS
    found = await asyncio.gather(*(_look(name, room, settings) for name, room in rooms.items()))
    return [check for checks in found for check in checks]


async def _look(name: str, room: Room, settings: Settings) -> list[Check]:
    """Make one room's checks; what answers in no way that we know fails that room alone."""
    try:
        return await room(settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"answers in no way that we know ({type(error).__name__})"
        return [failed(name, what, "see that the address in the settings is the right one")]


async def report(settings: Settings, *, as_json: bool) -> None:
    """Show what every check found: JSON, or a table for people.

    Raises:
        Unwell: a check failed.
    """
    checks = await examine(settings)
    count = Counter(check.outcome for check in checks)
    if as_json:
        well = not count[Outcome.FAILED]
        body = {"ok": well, "checks": [asdict(check) for check in checks]}
        screen.say(json.dumps(body, ensure_ascii=False, indent=2))
    elif sys.stdout.isatty():
        _table(checks)
    else:
        _lines(checks)
    if count[Outcome.FAILED]:
        raise Unwell(f"Failed: {count[Outcome.FAILED]}, warnings: {count[Outcome.WARNING]}.")


def _table(checks: Sequence[Check]) -> None:
    table = Table("", "what", "found", "what to do", header_style="bold", show_lines=True)
    for check in checks:
        words = (escape(text) for text in (check.name, check.found, check.remedy))
        table.add_row(MARKS[check.outcome], *words)
    Console().print(table)


def _lines(checks: Sequence[Check]) -> None:
    for check in checks:
        screen.say(f"{check.outcome:7}  {check.name}: {check.found}")
        if check.remedy:
            screen.say(f"         → {check.remedy}")
