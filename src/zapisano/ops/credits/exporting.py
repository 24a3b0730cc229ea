"""`zapisano credits export`: histories as files for spreadsheets and other programs."""

import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TextIO

from zapisano.clock import utc_now
from zapisano.credits import export, history, ledger
from zapisano.credits.entry import Entry
from zapisano.credits.export import Form
from zapisano.credits.model import Account, Rules
from zapisano.credits.store import accounts as store
from zapisano.db import Database
from zapisano.errors import BrokenSetting, NotFound
from zapisano.ops import screen
from zapisano.ops.credits import opening
from zapisano.settings import Settings


async def write(settings: Settings, email: str, form: Form, output: Path | None) -> None:
    """Write an account's history, or with no address everybody's: to a file whole, or to stdout.

    Raises:
        NotFound: there is no such account.
        BrokenSetting: the file cannot be written.
    """
    async with opening.opened(settings) as database:
        account = await _account(database, settings, email) if email else None
        async with database.shared() as conn:
            total = await store.count_movements(conn, account.id if account else None)
        batches = history.stream(database, account) if account else history.stream_all(database)
        with screen.progress("Movements") as on_progress, _target(output) as file:
            count = await _copy(batches, form, file, total, on_progress)
    if output is not None:
        screen.say(f"{count} lines are in {output}")


async def _account(database: Database, settings: Settings, email: str) -> Account:
    email = opening.address(email)
    async with database.shared() as conn:
        if not await store.of_address(conn, email):
            raise NotFound(f"There is no account of {email}.")
        return await ledger.account(conn, Rules.of(settings), email, utc_now())


async def _copy(
    batches: AsyncGenerator[list[Entry]],
    form: Form,
    file: TextIO,
    total: int,
    on_progress: screen.OnProgress,
) -> int:
    count = 0

    async def counted() -> AsyncGenerator[list[Entry]]:
        nonlocal count
        async with aclosing(batches):
            async for batch in batches:
                yield batch
                count += len(batch)
                on_progress(min(count, total), total)

    async with aclosing(export.text(counted(), form)) as texts:
        async for text in texts:
            file.write(text)
    return count


@contextmanager
def _target(output: Path | None) -> Generator[TextIO]:
    """Yield where to write. A file is there when it is complete, and until then as it was."""
    if output is None:
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError:
            # Whoever reads has had enough, as `head` has; nothing is left to flush at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise BrokenSetting(f"--output: {output} cannot be written: {error.strerror}") from error
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(output)
    except OSError as error:
        raise BrokenSetting(f"--output: {output} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)
