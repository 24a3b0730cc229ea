"""A tap on everything a worker says to the world: its SQL and its HTTP, statement by statement.

A process can do nothing that outlives it but through these two wires, so the places where it can be
killed to any effect are exactly the gaps between what passes here. The tap writes down what passes,
and can hold one statement or request back before it is delivered: then the process is between two
steps for as long as we like, without a line of test code inside it.

PostgreSQL's protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html.
"""

import asyncio
import contextlib
import queue
import re
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

SPECIAL_REQUESTS = (80877102, 80877103, 80877104)  # cancel, SSL, GSS: no parameters follow
SENT_AT_ONCE = b"SHQXpdcf"  # messages after which the client waits for an answer, or none is due
READ_BYTES = 65536
REQUEST = re.compile(rb"(GET|POST|DELETE) (\S+) HTTP/1\.1\r\n")
# What differs between two sales and is no part of a step's name.
NAMES = (
    (re.compile(r"client_\d{3,}"), "client_N"),
    (re.compile(r"/bot[^/]+/"), "/bot…/"),
    (re.compile(r"/payments/.+"), "/payments/…"),
    (re.compile(r"\s+"), " "),
)
Address = tuple[str, int]


@dataclass(frozen=True)
class Said:
    """One statement or request, and where in its transaction it stands."""

    speaker: str  # the connection's application_name, or "http"
    path: tuple[str, ...]  # every statement of the transaction up to this one
    payload: bytes = field(repr=False)
    at: float  # time.monotonic()

    @property
    def words(self) -> str:
        """The statement or request itself."""
        return self.path[-1]


@dataclass(frozen=True)
class Held:
    """What is held back; `let_go` delivers it after all."""

    said: Said
    let_go: Callable[[], None]
    is_given_up: Callable[[], bool]  # whoever said it has hung up, tired of waiting


class Tap:
    """Both wires. It lives in a thread of its own, so that tests may wait as they like."""

    def __init__(self, database: Address, outside: Address) -> None:
        """Stand before a PostgreSQL and before the simulators."""
        self.heard: list[Said] = []
        self.held: queue.SimpleQueue[Held] = queue.SimpleQueue()
        self.database_port = self.outside_port = 0
        self._targets = {"database": database, "outside": outside}
        self._wanted: Callable[[Said], bool] | None = None
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.Task[None]] = set()

    def hold(self, wanted: Callable[[Said], bool] | None) -> None:
        """Hold back the first thing said from now on that is wanted."""
        self._wanted = wanted

    def cut(self) -> None:
        """Close every connection: whoever spoke is dead, and what was held is never delivered."""
        self._wanted = None
        asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(30)

    @contextmanager
    def running(self) -> Generator["Tap"]:
        """Listen on two free ports."""
        thread = threading.Thread(target=self._loop.run_forever, name="tap")
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(30)
            yield self
        finally:
            self.cut()
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(30)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.close()

    async def _listen(self) -> None:
        database = await asyncio.start_server(self._database, "127.0.0.1", 0)
        outside = await asyncio.start_server(self._outside, "127.0.0.1", 0)
        self._servers = (database, outside)
        self.database_port, self.outside_port = (
            one.sockets[0].getsockname()[1] for one in self._servers
        )

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        await self._cut()

    async def _cut(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _database(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._carry("database", reader, writer, Sql(self).carry)

    async def _outside(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._carry("outside", reader, writer, self._http)

    async def _carry(
        self,
        where: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    ) -> None:
        """Connect to the real one and carry both ways until one side ends."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        back: asyncio.Task[None] | None = None
        ends = [writer]
        try:
            answers, there = await asyncio.open_connection(*self._targets[where])
            ends.append(there)
            back = asyncio.create_task(relay(answers, writer))
            await talk(reader, there)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # one side has gone, and the other is about to notice
        finally:
            self._open.discard(task)
            if back:
                back.cancel()
            for end in ends:
                end.transport.abort()

    async def _http(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        """Clients here send a request and wait for the answer, so one begins a read."""
        while data := await reader.read(READ_BYTES):
            if found := REQUEST.match(data):
                words = f"{found[1].decode()} {found[2].decode()}"
                await self.passes(Said("http", (named(words),), data, time.monotonic()), reader)
            there.write(data)
            await there.drain()

    async def passes(self, said: Said, reader: asyncio.StreamReader) -> None:
        """Write down what is said, and hold it back if it is wanted."""
        self.heard.append(said)
        if self._wanted and self._wanted(said):
            self._wanted = None
            delivered = asyncio.Event()

            def let_go() -> None:
                self._loop.call_soon_threadsafe(delivered.set)

            self.held.put(Held(said, let_go, reader.at_eof))
            await delivered.wait()


class Sql:
    """One connection to PostgreSQL: which statement runs, and in which transaction."""

    def __init__(self, tap: Tap) -> None:
        self._tap = tap
        self._speaker = ""
        self._prepared: dict[bytes, str] = {}
        self._path: tuple[str, ...] = ()

    async def carry(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        """Carry what the client says, as far as it is complete."""
        await self._log_in(reader, there)
        batch, statement = bytearray(), ""
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
            batch += head + body
            statement = self._statement(head[:1], body) or statement
            if head[:1] not in SENT_AT_ONCE:
                continue
            if statement:
                await self._runs(statement, bytes(batch), reader)
            there.write(batch)
            await there.drain()
            batch, statement = bytearray(), ""

    async def _log_in(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        while True:
            size = await reader.readexactly(4)
            body = await reader.readexactly(struct.unpack("!I", size)[0] - 4)
            there.write(size + body)
            if struct.unpack("!I", body[:4])[0] not in SPECIAL_REQUESTS:
                words = body[4:].split(b"\0")
                given = dict(zip(words[::2], words[1::2], strict=False))
                self._speaker = given.get(b"application_name", b"").decode()
                return

    def _statement(self, kind: bytes, body: bytes) -> str:
        """The statement that a message runs; none when it only prepares one."""
        if kind == b"Q":
            return body.rstrip(b"\0").decode()
        if kind == b"P":
            name, sql = body.split(b"\0", 2)[:2]
            self._prepared[name] = sql.decode()
        elif kind == b"B":
            return self._prepared[body.split(b"\0", 2)[1]]
        return ""

    async def _runs(self, statement: str, payload: bytes, reader: asyncio.StreamReader) -> None:
        words = named(statement)
        begins = words.startswith("BEGIN")
        self._path = (words,) if begins else (*self._path, words)
        said = Said(self._speaker, self._path, payload, time.monotonic())
        await self._tap.passes(said, reader)
        if words.startswith(("COMMIT", "ROLLBACK")) or not self._path[0].startswith("BEGIN"):
            self._path = ()


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry answers."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(READ_BYTES):
            writer.write(data)
            await writer.drain()
        writer.close()


def named(words: str) -> str:
    """What is said, less what differs from sale to sale."""
    for pattern, name in NAMES:
        words = pattern.sub(name, words)
    return words.strip()
