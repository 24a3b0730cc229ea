"""A measured figure beside the baseline of the same run, and how they are shown."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """What was measured, what it is compared with, and the ratio of the two."""

    what: str
    value: str
    baseline: str
    ratio: float

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The figure as texts."""
        return self.what, self.value, self.baseline, f"{self.ratio:.2f}"


HEAD = ("figure", "value", "baseline of this run", "ratio")


def show(title: str, figures: Iterable[Figure]) -> None:
    """Print a table on a terminal, else a line per figure with tabs."""
    if not sys.stdout.isatty():
        for figure in figures:
            print("\t".join((title, *figure.cells)), flush=True)
        return
    table = Table(*HEAD, title=title, title_justify="left", header_style="bold")
    for figure in figures:
        table.add_row(*figure.cells)
    Console().print(table)
