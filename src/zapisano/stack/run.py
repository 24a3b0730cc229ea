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
from zapisano.stack.seeding import seeding
from zapisano.stack.supervisor import supervise
from zapisano.stack.terminal import Terminal

Planner = Callable[[StackConfig], Plan]


def run(
    config: StackConfig, mode: str, plan_of: Planner, *, browser: bool, tenants: int = 0
) -> None:
    """Run `zapisano <mode>` in the foreground until it is told to stop.

    `tenants` are made, or completed to that many, once everything is up.

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
            screen.on_greeted.append(lambda: open_page(plan.running.page_url))
        with seeding(plan, tenants) as seeds:
            screen.on_greeted.append(seeds.start)
            screen.on_stopping.append(seeds.stop)
            asyncio.run(supervise(plan.processes, config.folder, screen))
        screen.stopped()


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
