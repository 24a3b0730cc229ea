"""How the operator's commands speak: tables and bars for people, plain lines for everybody else."""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from zapisano.errors import BrokenSetting

LINE_EVERY_SECONDS = 5.0

OnProgress = Callable[[int, int], None]


def say(line: str) -> None:
    """Write a line to where results go."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Write a line for a person beside the results, which another program may read."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def agreed(question: str, *, otherwise: str) -> bool:
    """Ask a person; anything but a yes is a no.

    Raises:
        BrokenSetting: nobody is there to be asked; `otherwise` says what to type instead.
    """
    if not sys.stdin.isatty():
        raise BrokenSetting(otherwise)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Show rows: a table on a terminal, else lines with tabs, which other programs can read.

    Both begin with the columns' names.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            say("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    shown = Table(*columns, title=title or None, title_justify="left", header_style="bold")
    for row in rows:
        shown.add_row(*(escape(cell) for cell in row))
    Console().print(shown)


@contextmanager
def progress(what: str) -> Generator[OnProgress]:
    """Show how far a long work has come: a bar on a terminal, else a line now and then."""
    if not sys.stderr.isatty():
        yield _Lines(what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def on_progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=total > 0)

        yield on_progress


class _Lines:
    def __init__(self, what: str) -> None:
        self._what = what
        self._next = time.monotonic() + LINE_EVERY_SECONDS

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_EVERY_SECONDS
            sys.stderr.write(f"{self._what}: {done} of {total}\n")
            sys.stderr.flush()
