"""What the supervisor is told of each process. The list is data: tests give their own."""

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from zapisano.stack.account import Account


class Ready(Enum):
    """How a process says that it is up."""

    NOTIFY = "it sends READY=1 to the datagram socket named in NOTIFY_SOCKET, as for systemd"
    EXIT = "it ends with exit code 0; it has one thing to do, and what it says by STATUS= is shown"


def nothing(_lock: int) -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Process:
    """One program: how it starts, when it counts as up, how it is stopped.

    `after` names processes that must be up first (and stop later); with `waits_itself` it starts
    beside them, because it waits for what it needs while it loads. `ready` is a `Ready` or a
    question asked again and again. `prepare` runs before each start in a thread, and hands the
    descriptor it is given to whatever it starts. `death_signal` comes when we are killed.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    after: tuple[str, ...] = ()
    waits_itself: bool = False
    ready: Ready | Callable[[], bool] = Ready.NOTIFY
    prepare: Callable[[int], None] = nothing
    account: Account | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    death_signal: signal.Signals = signal.SIGKILL
    grace_seconds: float = 10.0
    patience_seconds: float = 60.0
    slow_note: str = field(default="is still starting")
    stop_note: str = field(default="is finishing what it has under way")


def in_order(processes: tuple[Process, ...]) -> None:
    """Check that each `after` names an earlier process, so that no start waits for itself.

    Raises:
        ValueError: the list is not in the order in which it could start.
    """
    known: set[str] = set()
    for process in processes:
        missing = set(process.after) - known
        if missing or process.name in known:
            raise ValueError(f"{process.name}: after {sorted(missing)}, or named twice")
        known.add(process.name)
