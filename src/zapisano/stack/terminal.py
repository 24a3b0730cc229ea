"""What a person sees in the terminal: progress while starting, then where to click."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.status import Status
from rich.table import Table
from rich.text import Text

from zapisano.stack.folder import Running

NAMES = {
    "postgres": "PostgreSQL",
    "valkey": "Valkey",
    "simulator": "Telegram and YooKassa (simulated)",
    "migrate": "the schemas",
    "serve": "the service",
    "worker": "the worker",
}


class Unbroken(Console):
    """A console whose reader may go away: rich would end the program."""

    def on_broken_pipe(self) -> None:
        """Be silent from now on."""
        self.quiet = True


class Terminal:
    """The supervisor's `Screen` on a terminal, or line by line into a pipe.

    `on_ready` is told at each time that everything is up, `on_greeted` once, after the panel.
    """

    def __init__(self, mode: str, folder: Path, running: Running) -> None:
        self._console = Unbroken(highlight=False)
        self._mode = mode
        self._folder = folder
        self._running = running
        self._waiting: list[str] = []
        self._status: Status | None = None
        self._is_ready = False
        self.on_ready: list[Callable[[Mapping[str, int]], None]] = []
        self.on_greeted: list[Callable[[], None]] = []
        self.on_stopping: list[Callable[[], None]] = []

    def starting(self, name: str) -> None:
        """Show it beside the spinner."""
        self._waiting.append(name)
        self._refresh()

    def ready(self, name: str) -> None:
        """Take it from the spinner and tick it off."""
        self._waiting.remove(name)
        self._print(Text.assemble(("  ✓ ", "green"), NAMES.get(name, name)))
        self._refresh()

    def note(self, text: str) -> None:
        """A line with the time of day."""
        self._print(Text.assemble((f"{time.strftime('%H:%M:%S')} ", "dim"), text))

    def all_ready(self, pids: Mapping[str, int]) -> None:
        """Record what runs, and the first time say where to click."""
        for tell in self.on_ready:
            try:
                tell(pids)
            except OSError as error:  # a full disk: what runs goes on
                self.note(f"what runs could not be noted in {self._folder}: {error.strerror}")
        if not self._is_ready:
            self._is_ready = True
            self._end_status()
            seconds = seconds_since_start()
            self._print(panel(self._mode, self._folder, self._running, seconds))
            for go_on in self.on_greeted:
                go_on()

    def stopping(self) -> None:
        """The operator asked for the end."""
        self._end_status()
        for end in self.on_stopping:
            end()
        self._print(Text("\nStopping; Ctrl-C again hurries.", "dim"))

    def stopped(self) -> None:
        """All is down."""
        self._end_status()
        self._print(Text(f"Stopped. Everything is kept in {self._folder}", "dim"))

    def _print(self, what: RenderableType) -> None:
        """Show it; a screen that cannot be written (a log on a full disk) stops nothing."""
        try:
            self._console.print(what)
        except OSError:
            with suppress(OSError), self._console.capture():
                pass  # rich would keep it, and all that follows

    def _refresh(self) -> None:
        if self._is_ready or not self._console.is_terminal:
            return
        words = ", ".join(NAMES.get(name, name) for name in self._waiting)
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(Text(f"Starting {words}" if words else "Starting"))

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None


def panel(mode: str, folder: Path, running: Running, seconds: float) -> Panel:
    """Where to click, the page first."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("API", f"{running.api_url}/docs")
    rows.add_row("Webhook", f"{running.webhook_url}/health")
    rows.add_row("Look inside", f"{program()} psql client_001\n{program()} tenants list")
    if mode == "up":  # the demo has no partners outside
        rows.add_row("Check", f"{program()} doctor  (Telegram, YooKassa, the servers)")
    rows.add_row("Keys, logs", str(folder))
    parts: list[Text | Table] = [rows, Text("\nCtrl-C stops all of it and loses nothing.", "dim")]
    if running.page_url:
        link = f"bold cyan link {running.page_url}"
        parts.insert(0, Text.assemble("Open  ", (running.page_url, link), "\n"))
    title = f"[bold]Записано[/] · {mode} · ready in {seconds:.1f} s"
    return Panel(Group(*parts), title=title, title_align="left", expand=False, padding=(1, 2))


def program() -> str:
    """How `zapisano` is typed here: by its name alone where a shell finds this very one."""
    own = Path(sys.executable).with_name("zapisano")
    found = shutil.which("zapisano")
    if not own.exists() or (found and Path(found).samefile(own)):
        return "zapisano"
    return os.path.relpath(own) if own.is_relative_to(Path.cwd()) else str(own)


def seconds_since_start() -> float:
    """Since this process was made, Python's own start included (`proc(5)`, field 22)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started_at = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started_at
