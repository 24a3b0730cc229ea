"""Many tenants for a demo: `zapisano tenants seed N` beside the running stack, on its terminal."""

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager

from zapisano.stack import child
from zapisano.stack.plan import Plan


class Seeds:
    """The child that makes tenants; its progress bar is on the terminal that we have."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._plan = plan
        self._count = count
        self._running: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if there is anything to make; call from the main thread only (see `child`)."""
        if not self._count:
            return
        like = next(process for process in self._plan.processes if process.name == "migrate")
        argv = (*like.argv[: like.argv.index("migrate")], "tenants", "seed", str(self._count))
        self._running = subprocess.Popen(  # noqa: S603 - our own program, no shell
            child.command(argv, death_signal=signal.SIGTERM),
            env=dict(like.env),
            cwd=like.cwd,
            stdin=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """End it, if it still runs: what is missing is made by the next start."""
        if self._running is not None:
            self._running.terminate()

    def wait(self) -> None:
        """Wait until it has gone."""
        if self._running is not None:
            self._running.wait()


@contextmanager
def seeding(plan: Plan, count: int) -> Generator[Seeds]:
    """A child to start when everything is up; nothing of it is left at the end."""
    seeds = Seeds(plan, count)
    try:
        yield seeds
    finally:
        seeds.stop()
        seeds.wait()
