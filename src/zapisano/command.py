"""How a command runs: who types it, settings, log, an event loop, and the work."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from zapisano.settings import Settings
from zapisano.stack.beside import settings_here
from zapisano.telemetry import configure_logging

MAX_WHO = 64  # characters


def _somebody(who: str) -> str:
    if not 1 <= len(who.strip()) <= MAX_WHO:
        raise typer.BadParameter(f"must have 1 to {MAX_WHO} characters")
    return who.strip()


Who = Annotated[str, typer.Option(help="Who does it, for the history.", callback=_somebody)]


def do(work: Callable[[Settings], Awaitable[None]], *, alone: bool = False) -> None:
    """Read the settings, then work; `alone`: even where nothing runs and no database is set."""
    import uvloop

    settings = settings_here(alone=alone)
    configure_logging(as_json=settings.log_json, file=settings.log_file)

    async def run() -> None:
        await work(settings)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
