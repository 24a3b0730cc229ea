"""Keeping one process alive: start, readiness, death, restart, stop."""

import asyncio
import contextlib
import math
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from zapisano.stack.files import opened_lock, try_lock
from zapisano.stack.folder import writing
from zapisano.stack.launch import Notify, heard_ready, last_words, launch, rotate, send
from zapisano.stack.process import Process, Ready
from zapisano.stack.refusal import Refusal, StartFailed

FIRST_DELAY_SECONDS, LAST_DELAY_SECONDS = 0.1, 5.0
STEADY_SECONDS = 10.0
SLOW_SECONDS = 3.0
SLOW_STOP_SECONDS = 2.0
POLL_SECONDS = 0.03
ATTEMPTS_TO_START = 3
REFUSED = 2


class Screen(Protocol):
    """Where the supervisor says what happens."""

    def starting(self, name: str) -> None:
        """A part is being started for the first time."""
        ...

    def ready(self, name: str) -> None:
        """A part is up for the first time."""
        ...

    def note(self, text: str) -> None:
        """One line that the operator should see."""
        ...

    def all_ready(self, pids: Mapping[str, int]) -> None:
        """Everything is up: at the end of the start, and again after each restart of a part."""
        ...

    def stopping(self) -> None:
        """The operator asked for the end."""
        ...


@dataclass
class Child:
    """A started process; `exited` holds its exit code when it has ended."""

    running: subprocess.Popen[bytes]
    exited: asyncio.Future[int]
    log: Path
    since: int
    notify: Notify

    def words(self) -> str:
        """The last lines it wrote."""
        return last_words(self.log, self.since)


@dataclass
class Stop:
    """The wish to stop, and to stop without waiting; one pair for the whole stack."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)


class Keeper:
    """Keeps one process: `up` when it is ready for the first time, `down` when it is stopped."""

    def __init__(
        self,
        process: Process,
        folder: Path,
        screen: Screen,
        stop: Stop,
        on_restart: Callable[[], None],
    ) -> None:
        self.process = process
        self.up = asyncio.Event()
        self.down = asyncio.Event()
        self.child: Child | None = None
        self._folder = folder
        self._screen = screen
        self._stop = stop
        self._on_restart = on_restart

    async def keep(self, before: list["Keeper"]) -> None:
        """Run the process until it has done its one thing, or a stop is asked for.

        Raises:
            StartFailed: it never came up.
        """
        for other in before:
            await self._unless_stopping(other.up.wait())
        delay, attempt = FIRST_DELAY_SECONDS, 0
        while True:
            started_at = time.monotonic()
            attempt += 1
            ending = await self._once(attempt)
            if ending is None:
                return
            if time.monotonic() - started_at > STEADY_SECONDS:
                delay = FIRST_DELAY_SECONDS
            self._say(f"{ending}; starting it again in {delay:g} s")
            await self._unless_stopping(asyncio.sleep(delay))
            delay = min(delay * 2, LAST_DELAY_SECONDS)

    async def _once(self, attempt: int) -> str | None:
        """One life of the process; how it ended, or None when nothing is to follow."""
        try:
            with writing(self._folder):
                child = await self._start(first=attempt == 1)
        except (Refusal, StartFailed) as error:
            # A full disk, say: at the start it ends the stack, later it is waited out.
            if not self.up.is_set():
                raise
            return f"can't start ({error})"
        if child is None:
            return None
        code = await self._live(child)
        if self._stop.asked.is_set() or (self.process.ready is Ready.EXIT and code == 0):
            return None
        self._judge(child, code, attempt)
        return _ending(code)

    async def shut(self, dependents: list["Keeper"]) -> None:
        """Stop it after all that depend on it: asked first, then made to."""
        await asyncio.gather(*(other.down.wait() for other in dependents))
        child = self.child
        if child is not None and not child.exited.done():
            await self._end(child)
        self.down.set()

    def _say(self, text: str) -> None:
        self._screen.note(f"{self.process.name} {text}")

    async def _unless_stopping(self, wish: Coroutine[object, object, object]) -> None:
        """Wait for a wish or for the stop, whichever comes first; a wish that fails is heard."""
        tasks = {asyncio.create_task(wish), asyncio.create_task(self._stop.asked.wait())}
        done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        for task in done:
            task.result()

    async def _start(self, *, first: bool) -> Child | None:
        """Launch it once its last incarnation is gone; None when a stop came first."""
        if first and not self._stop.asked.is_set():
            self._screen.starting(self.process.name)
        run, name = self._folder / "run", self.process.name
        with opened_lock(run / f"{name}.lock") as lock:
            await self._unless_stopping(self._locked(lock))
            if not self._stop.asked.is_set():
                await asyncio.to_thread(self.process.prepare, lock)
            if self._stop.asked.is_set():
                return None
            log = self._folder / "logs" / f"{name}.log"
            since = rotate(log)
            notify = Notify.listen(run, name)
            try:
                running = launch(self.process, log=log, lock=lock, notify=str(notify.path))
            except OSError:
                notify.close()
                raise
        self.child = Child(running, _exit_of(running), log, since, notify)
        return self.child

    async def _locked(self, lock: int) -> None:
        asked_at = time.monotonic()
        told = False
        while not try_lock(lock):
            if not told and time.monotonic() - asked_at > SLOW_SECONDS:
                self._say("of the last run is still stopping; waiting for it")
                told = True
            await asyncio.sleep(POLL_SECONDS)

    async def _live(self, child: Child) -> int:
        """From its start to its end; says when it is up. The exit code."""
        ready = asyncio.create_task(self._ready(child))
        try:
            await self._wait_for(ready, child)
        finally:
            ready.cancel()
            await asyncio.wait({ready})  # its socket's number may be another's in a moment
            for status in child.notify.statuses():
                self._screen.note(status)
            child.notify.close()
        if not ready.cancelled() and ready.result():
            self._is_up()
        code = await child.exited
        if self.process.ready is Ready.EXIT and code == 0:
            self._is_up()
        return code

    async def _wait_for(self, ready: "asyncio.Task[bool]", child: Child) -> None:
        patience = self.process.patience_seconds
        both = {ready, child.exited}
        quick = min(SLOW_SECONDS, patience)
        await asyncio.wait(both, timeout=quick, return_when=asyncio.FIRST_COMPLETED)
        if ready.done() or child.exited.done():
            return
        self._say(self.process.slow_note)
        rest = None if math.isinf(patience) else patience - quick
        await asyncio.wait(both, timeout=rest, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done() and not child.exited.done():
            self._say(f"did not come up within {patience:g} s")
            send(child.running, signal.SIGKILL)

    async def _ready(self, child: Child) -> bool:
        """Wait until the process is up, by its own way of saying so; False if its end says it."""
        asked = self.process.ready
        if asked is Ready.EXIT:
            await asyncio.wait({child.exited})
            return False
        if asked is Ready.NOTIFY:
            loop = asyncio.get_running_loop()
            while not heard_ready(await loop.sock_recv(child.notify.socket, 4096)):
                pass
            return True
        while not await asyncio.to_thread(asked):  # noqa: ASYNC110 - a server is asked, not an event
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _is_up(self) -> None:
        if not self.up.is_set():
            self.up.set()
            self._screen.ready(self.process.name)
        else:
            self._say("is up again")
            self._on_restart()

    def _judge(self, child: Child, code: int, attempt: int) -> None:
        """Give up on a part that has never been up: it says itself why, or was tried enough."""
        if self.up.is_set():
            return
        name, words = self.process.name, child.words()
        if code == REFUSED:
            raise StartFailed(words or f"{name} refused to start", REFUSED)
        if attempt >= ATTEMPTS_TO_START:
            raise StartFailed(f"{name} {_ending(code)}; its log is {child.log}\n{words}", 1)

    async def _end(self, child: Child) -> None:
        process = self.process
        send(child.running, process.stop_signal)
        loop = asyncio.get_running_loop()
        note = loop.call_later(SLOW_STOP_SECONDS, self._say, process.stop_note)
        child.exited.add_done_callback(lambda _: note.cancel())
        if not await self._gone(child, process.grace_seconds):
            self._say("has not stopped yet; ending it")
            send(child.running, process.kill_signal)
            if not await self._gone(child, process.grace_seconds, hurried=True):
                send(child.running, signal.SIGKILL)
                await child.exited

    async def _gone(self, child: Child, seconds: float, *, hurried: bool = False) -> bool:
        """Wait for its end, at most this long, and not at all in a hurry (unless in it already)."""
        hurry = asyncio.create_task(asyncio.Event().wait() if hurried else self._stop.hurry.wait())
        await asyncio.wait(
            {child.exited, hurry}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        hurry.cancel()
        return child.exited.done()


def _ending(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"stopped with exit code {code}"


def _exit_of(running: "subprocess.Popen[bytes]") -> asyncio.Future[int]:
    """A future with the exit code, set by a thread of its own that waits for nothing else."""
    loop = asyncio.get_running_loop()
    exited: asyncio.Future[int] = loop.create_future()

    def wait() -> None:
        code = running.wait()
        loop.call_soon_threadsafe(exited.set_result, code)

    threading.Thread(target=wait, name=f"wait-{running.pid}", daemon=True).start()
    return exited
