"""One start of the stack, from the held folder to the last process stopped."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from zapisano.stack import folder, ports
from zapisano.stack.config import StackConfig
from zapisano.stack.plan import Plan
from zapisano.stack.supervisor import supervise
from zapisano.stack.terminal import Terminal

Planner = Callable[[StackConfig], Plan]


def run(config: StackConfig, mode: str, plan_of: Planner, *, browser: bool) -> None:
    """Run `zapisano <mode>` in the foreground until it is told to stop.

    Raises:
        Refusal: nothing was started, for a reason that the operator can mend.
        StartFailed: a part did not come up; the others are stopped.
    """
    with folder.held(config.folder, f"zapisano {mode}"):
        with folder.writing(config.folder):
            plan = plan_of(config)
        ports.check_free(plan.ports)
        screen = Terminal(mode, config.folder, plan.running)

        def tell(pids: Mapping[str, int]) -> None:
            now = replace(plan.running, ports=plan.ports, pids=pids)
            folder.tell(config.folder, now)

        screen.on_ready.append(tell)
        if browser and plan.running.page_url:
            screen.on_ready.append(_Once(lambda: open_page(plan.running.page_url)))
        asyncio.run(supervise(plan.processes, config.folder, screen))
        screen.stopped()


class _Once:
    """Does its work at the first call only: parts that come back open no second page."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work: Callable[[], None] | None = work

    def __call__(self, _pids: Mapping[str, int]) -> None:
        if self._work is not None:
            self._work()
            self._work = None


def open_page(url: str) -> None:
    """Open the page where there is a screen; a browser in the terminal would hide the panel."""
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        return
    subprocess.Popen(  # noqa: S603 - a module of Python's own, in a process whose noise is dropped
        [sys.executable, "-m", "webbrowser", "-t", url],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
