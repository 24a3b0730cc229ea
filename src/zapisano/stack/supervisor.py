"""The supervisor: starts processes in order, keeps them alive, stops them in reverse.

One asyncio task per process (see `keeper`); the main task waits for a stop or for a part that
can't come up. Children are started in the main thread (see `child`).
"""

import asyncio
import signal
from pathlib import Path

from zapisano.stack.keeper import Keeper, Screen, Stop
from zapisano.stack.process import Process, in_order

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def supervise(processes: tuple[Process, ...], folder: Path, screen: Screen) -> None:
    """Run everything until SIGINT, SIGTERM or SIGHUP; returns when all of it has stopped.

    `folder` is the held data folder, with its `logs` and `run`.

    Raises:
        StartFailed: a part could not be brought up; the others are stopped by then.
    """
    in_order(processes)
    await _Supervisor(processes, folder, screen).run()


class _Supervisor:
    def __init__(self, processes: tuple[Process, ...], folder: Path, screen: Screen) -> None:
        self._screen = screen
        self._stop = Stop()
        self._keepers = {
            process.name: Keeper(process, folder, screen, self._stop, self._tell)
            for process in processes
        }

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, self._on_signal)
        tasks = [asyncio.create_task(self._keep(keeper)) for keeper in self._keepers.values()]
        tasks.append(asyncio.create_task(self._greet()))
        stop = asyncio.create_task(self._stop.asked.wait())
        try:
            await self._until_over(set(tasks), stop)
        finally:
            self._stop.asked.set()
            await asyncio.gather(*(self._shut(keeper) for keeper in self._keepers.values()))
            tasks[-1].cancel()
            await asyncio.wait({*tasks, stop})
            for task in tasks:
                # A second part may have failed while the first was being told; one is enough.
                _ = task.cancelled() or task.exception()

    def _on_signal(self) -> None:
        if self._stop.asked.is_set():
            self._stop.hurry.set()
            return
        self._stop.asked.set()
        self._screen.stopping()

    async def _until_over(self, tasks: set[asyncio.Task[None]], stop: asyncio.Task[bool]) -> None:
        while not stop.done():
            done, _ = await asyncio.wait({*tasks, stop}, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks & done:
                task.result()
            tasks -= done

    async def _keep(self, keeper: Keeper) -> None:
        process = keeper.process
        first = () if process.waits_itself else process.after
        await keeper.keep([self._keepers[name] for name in first])

    async def _shut(self, keeper: Keeper) -> None:
        name = keeper.process.name
        await keeper.shut([k for k in self._keepers.values() if name in k.process.after])

    async def _greet(self) -> None:
        await asyncio.gather(*(keeper.up.wait() for keeper in self._keepers.values()))
        self._tell()

    def _tell(self) -> None:
        """Say that everything is up, once it has been, with the processes' present numbers."""
        if all(keeper.up.is_set() for keeper in self._keepers.values()):
            children = {name: keeper.child for name, keeper in self._keepers.items()}
            self._screen.all_ready(
                {name: c.running.pid for name, c in children.items() if c and not c.exited.done()}
            )
