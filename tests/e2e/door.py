"""A door to a server: shut it, and for whoever goes through it the server is down."""

import asyncio
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

from wire import Address, relay


class Door:
    """A port that leads to another; it lives in a thread of its own."""

    def __init__(self, target: Address) -> None:
        """Lead to `target`."""
        self.port = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._inside: set[asyncio.Task[None]] = set()

    def shut(self) -> None:
        """Cut everybody off, and refuse who comes."""
        self._run(self._shut())

    def open(self) -> None:
        """Let people in, at the same port as before."""
        self._run(self._open())

    @contextmanager
    def standing(self) -> Generator["Door"]:
        """Open at a free port until the end of the block."""
        thread = threading.Thread(target=self._loop.run_forever, name="door")
        thread.start()
        try:
            self.open()
            yield self
        finally:
            self.shut()
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _open(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._enter, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        inside = list(self._inside)
        for task in inside:
            task.cancel()
        await asyncio.gather(*inside, return_exceptions=True)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._inside.add(task)
        ends = [writer]
        try:
            answers, there = await asyncio.open_connection(*self._target)
            ends.append(there)
            await asyncio.wait(
                [
                    asyncio.create_task(relay(reader, there)),
                    asyncio.create_task(relay(answers, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        except (ConnectionError, asyncio.CancelledError):
            pass  # refused over there, or shut over here
        finally:
            self._inside.discard(task)
            for end in ends:
                end.transport.abort()
