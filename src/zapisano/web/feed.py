"""The journal as it grows, for any number of listeners: one LISTEN connection and one reader.

An id is drawn before its transaction commits, so a lower id may appear after a higher one. The
reader therefore looks again at the last `WINDOW` ids and hands on what it has not seen; the order
of delivery is remembered, so that a listener who comes back with its last id gets late ones too.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from zapisano import journal
from zapisano.db import CONNECTION_LOST, Database, RawConnection
from zapisano.errors import Busy
from zapisano.journal import Event
from zapisano.telemetry import get_logger

log = get_logger("zapisano.feed")

WINDOW = 500
KEPT = 2_000
PAGE = 500
POLL_SECONDS = 1.0
RETRY_SECONDS = 1.0
START_TIMEOUT_SECONDS = 5.0
KEEP_ALIVE_SECONDS = 10.0


class _Told:
    """Which ids a listener knows, as far back as one could still come a second time."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.any = False
        self._floor = last - WINDOW
        self._ids: set[int] = set()
        self._limit = KEPT

    def add(self, ids: Iterable[int]) -> None:
        self._ids.update(ids)

    def is_new(self, event_id: int, newest: int) -> bool:
        """Say whether the listener is to be told, and remember that it was."""
        if event_id in self._ids or event_id <= self._floor:
            return False
        self.any = True
        self.last = max(self.last, event_id)
        self._ids.add(event_id)
        if len(self._ids) > self._limit:
            oldest = min(self.last, newest) - WINDOW
            self._ids = {one for one in self._ids if one > oldest}
            self._limit = max(KEPT, 2 * len(self._ids))
        return True


@dataclass(frozen=True)
class _Past:
    """What the reader had delivered, at one moment, before all that it still keeps.

    A newcomer is told no more than this from the database, and the rest in the reader's order.
    Told ahead of the reader, an id could stand behind a lower one that the listener has not seen,
    and be lost to it when it comes back with this id.
    """

    newest: int
    seen: frozenset[int]
    kept: frozenset[int]

    def has(self, event_id: int) -> bool:
        """Say whether the event is to be told from the database."""
        if event_id in self.kept:
            return False
        return event_id in self.seen or event_id <= self.newest - WINDOW


class Feed:
    """Reads the journal from the first listener on, until it is closed."""

    def __init__(self, database: Database) -> None:
        """Open nothing yet."""
        self._database = database
        self.journal = ""  # which one it is, once `ready`
        self._delivered: deque[Event] = deque(maxlen=KEPT)
        self._count = 0  # of all events delivered so far, those no longer kept among them
        self._newest: int = 0
        self._seen: set[int] = set()
        self._woken, self._news, self._ready = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._stopped = False

    async def ready(self) -> None:
        """Start reading, if nobody has yet.

        Raises:
            Busy: the database is not answering.
        """
        if self._reader is None:
            self._reader = asyncio.create_task(self._read_for_ever())
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await self._ready.wait()
        except TimeoutError as error:
            raise Busy("The journal cannot be read now.") from error

    async def follow(self, after: int) -> AsyncGenerator[Event | None]:
        """Yield what came after the id `after`, then what comes; None when nothing has for long."""
        after = await self._known(after)
        position = self._position_after(after)
        told = _Told(after)
        if position is None:
            told.add(await self._there_before(after))
            position = -1
        while not self._stopped:
            if position < self._first:
                position, past = self._first, self._before_those_kept()
                async for event in self._replay(told.last - WINDOW if told.any else after, past):
                    if told.is_new(event.id, self._newest):
                        yield event
            news = self._news
            while self._first <= position < self._count:
                event = self._delivered[position - self._first]
                position += 1
                if told.is_new(event.id, self._newest):
                    yield event
            if self._stopped or position < self._count:
                continue
            if not await _set_within(news, KEEP_ALIVE_SECONDS):
                yield None

    def stop(self) -> None:
        """Let every listener go, so that a server that stops need not wait for them."""
        self._stopped = True
        self._announce()

    async def close(self) -> None:
        """Stop, and close the connection."""
        self.stop()
        if self._reader:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    def _position_after(self, last: int) -> int | None:
        """Find where the listener was who saw `last`, in the order of delivery."""
        for index, event in enumerate(self._delivered):
            if event.id == last:
                return self._first + index + 1
        return None

    @property
    def _first(self) -> int:
        """The place, in the order of delivery, of the oldest event that is still kept."""
        return self._count - len(self._delivered)

    def _before_those_kept(self) -> "_Past":
        kept = frozenset(event.id for event in self._delivered)
        return _Past(self._newest, frozenset(self._seen) - kept, kept)

    async def _known(self, after: int) -> int:
        """Return `after`, or 0 when no such id was ever drawn: another database's, begun anew."""
        if after <= self._newest:
            return after
        async with self._database.shared() as conn:
            return after if after <= await journal.newest(conn) else 0

    async def _there_before(self, after: int) -> list[int]:
        """Return the last ids up to `after`: whoever begins there has seen them elsewhere."""
        async with self._database.shared() as conn:
            events = await journal.read(conn, after=after - WINDOW, limit=WINDOW)
        return [event.id for event in events if event.id <= after]

    async def _replay(self, after: int, past: "_Past") -> AsyncGenerator[Event]:
        """Yield from the database what is told no other way: see `_Past`."""
        while not self._stopped:
            async with self._database.shared() as conn:
                events = await journal.read(conn, after=after, limit=PAGE)
            for event in events:
                if past.has(event.id):
                    yield event
            if len(events) < PAGE or events[-1].id >= past.newest:
                return
            after = events[-1].id

    async def _read_for_ever(self) -> None:
        while not self._stopped:
            try:
                await self._listen()
            except (Busy, *CONNECTION_LOST) as error:
                log.warning("journal_feed_interrupted", reason=type(error).__name__)
            except Exception:  # a runner
                # Whatever it was, every open stream waits for the next event.
                log.exception("journal_feed_failed")
            await asyncio.sleep(RETRY_SECONDS)

    async def _listen(self) -> None:
        raw = await self._database.session("zapisano-journal")
        try:
            await raw.add_listener(journal.CHANNEL, self._wake)
            await self._begin()
            while not (raw.is_closed() or self._stopped):
                self._woken.clear()
                await self._deliver()
                await _set_within(self._woken, POLL_SECONDS)
        finally:
            await _closed(raw)

    def _wake(self, *_: object) -> None:
        self._woken.set()

    async def _begin(self) -> None:
        """Remember what is there already: listeners replay that by themselves."""
        if self._ready.is_set():
            return
        async with self._database.shared() as conn:
            self.journal = await journal.identity(conn)
            self._newest = await journal.newest(conn)
            there = await journal.read(conn, after=self._newest - WINDOW, limit=WINDOW)
        self._seen = {event.id for event in there}
        self._ready.set()

    async def _deliver(self) -> None:
        while True:
            async with self._database.shared() as conn:
                events = await journal.read_unseen(
                    conn, after=self._newest - WINDOW, seen=sorted(self._seen), limit=PAGE
                )
            self._delivered.extend(events)
            self._count += len(events)
            self._newest = max([self._newest, *(event.id for event in events)])
            self._seen.update(event.id for event in events)
            self._seen = {seen for seen in self._seen if seen > self._newest - WINDOW}
            if events:
                self._announce()
            if len(events) < PAGE:
                return

    def _announce(self) -> None:
        told, self._news = self._news, asyncio.Event()
        told.set()


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _closed(raw: RawConnection) -> None:
    try:
        await raw.close(timeout=5)
    except (*CONNECTION_LOST, TimeoutError):
        raw.terminate()
