"""The event stream: replayed, followed, in any order of commit, nothing lost and nothing twice."""

import asyncio
from collections.abc import AsyncGenerator

import asyncpg
import pytest

from zapisano import journal
from zapisano.db import Database
from zapisano.web.feed import KEPT, PAGE, Feed

Witness = asyncpg.Connection


@pytest.fixture
async def feed(database: Database) -> AsyncGenerator[Feed]:
    opened = Feed(database)
    await opened.ready()
    yield opened
    await opened.close()


class Listener:
    """Collects what a listener gets."""

    def __init__(self, feed: Feed, after: int = 0) -> None:
        self.ids: list[int] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._listen(feed, after))

    async def _listen(self, feed: Feed, after: int) -> None:
        async for event in feed.follow(after):
            if event:
                self.ids.append(event.id)
                self._more.set()

    async def until(self, count: int) -> list[int]:
        async with asyncio.timeout(10):
            while len(self.ids) < count:
                self._more.clear()
                await self._more.wait()
        return self.ids

    async def leave(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


async def record(database: Database, subject: str) -> None:
    async with database.shared() as conn:
        await journal.record(conn, "order.created", subject)


async def test_what_was_is_replayed_and_what_comes_is_followed(
    database: Database, feed: Feed
) -> None:
    for number in range(3):
        await record(database, str(number))
    everything, later = Listener(feed), Listener(feed, after=2)
    assert await everything.until(3) == [1, 2, 3]
    assert await later.until(1) == [3]
    await record(database, "4")
    assert await everything.until(4) == [1, 2, 3, 4]
    assert await later.until(2) == [3, 4]
    await everything.leave()
    await later.leave()


async def test_a_lower_id_that_commits_later_is_not_lost(
    database: Database, feed: Feed, witness: Witness
) -> None:
    listener = Listener(feed)
    slow = witness.transaction()
    await slow.start()
    await witness.execute("SELECT shared.record_event('order.created', 'slow', '{}')")
    await record(database, "quick")
    assert await listener.until(1) == [2]
    await slow.commit()
    assert await listener.until(2) == [2, 1]
    # One who was away in the meantime and comes back with the last id it saw gets it too.
    back = Listener(feed, after=2)
    assert await back.until(1) == [1]
    await record(database, "next")
    assert await back.until(2) == [1, 3]
    assert await listener.until(3) == [2, 1, 3]
    await listener.leave()
    await back.leave()


async def test_a_newcomer_is_not_told_ahead_of_the_reader(
    database: Database, feed: Feed, witness: Witness, dsn: str
) -> None:
    """Else the reader puts a late event in front of what was told, and the newcomer loses it."""
    slow = witness.transaction()
    await slow.start()
    await witness.execute("SELECT shared.record_event('order.created', 'slow', '{}')")
    silent = await asyncpg.connect(dsn)
    # Without the bell that rings for each event: the reader is late.
    await silent.execute(
        "INSERT INTO shared.journal (kind, subject, data) VALUES ('order.created', 'quick', '{}')"
    )
    await silent.close()
    listener = Listener(feed)
    assert await listener.until(1) == [2]
    await slow.commit()
    back = Listener(feed, after=2)
    assert await back.until(1) == [1]
    await listener.leave()
    await back.leave()


async def test_a_thousand_events_reach_every_listener_once(
    database: Database, feed: Feed, witness: Witness
) -> None:
    listeners = [Listener(feed) for _ in range(3)]
    fill = (
        "SELECT shared.record_event('order.created', n::text, '{}') FROM generate_series(1, $1) n"
    )
    total = 2 * KEPT + 100
    for part in (100, KEPT, KEPT):
        await witness.execute(fill, part)
    for listener in listeners:
        ids = await listener.until(total)
        assert sorted(ids) == list(range(1, total + 1))
        await listener.leave()


async def test_a_listener_that_was_slow_catches_up(
    database: Database, feed: Feed, witness: Witness
) -> None:
    fill = (
        "SELECT shared.record_event('order.created', n::text, '{}') FROM generate_series(1, $1) n"
    )
    await witness.execute(fill, 10)
    quick = Listener(feed)
    slow = feed.follow(0)
    first = await anext(slow)
    assert first
    for part in range(1, 4):
        await witness.execute(fill, KEPT)
        await quick.until(10 + part * KEPT)
    total = 10 + 3 * KEPT
    ids = [first.id]
    while len(ids) < total:
        event = await anext(slow)
        assert event
        ids.append(event.id)
    assert sorted(ids) == list(range(1, total + 1))
    await record(database, "last")
    event = await anext(slow)
    assert event
    assert event.id == total + 1
    await slow.aclose()
    await quick.leave()


async def test_what_happens_during_a_long_replay_pushes_nothing_out(
    database: Database, feed: Feed, witness: Witness
) -> None:
    """What the reader no longer keeps, since more has come, is read from the database as well."""
    fill = (
        "SELECT shared.record_event('order.created', n::text, '{}') FROM generate_series(1, $1) n"
    )
    quick = Listener(feed)
    await witness.execute(fill, KEPT + PAGE)
    await quick.until(KEPT + PAGE)
    total, ids = KEPT + PAGE + 30, list[int]()
    slow = feed.follow(0)
    while len(ids) < total:
        event = await anext(slow)
        assert event, f"{total - len(ids)} were never told"
        ids.append(event.id)
        if len(ids) == PAGE // 2:
            await witness.execute(fill, 30)
            await quick.until(total)
    assert ids == list(range(1, total + 1))
    await slow.aclose()
    await quick.leave()


async def test_an_id_that_was_never_drawn_begins_anew(database: Database, feed: Feed) -> None:
    """The page is open, the data folder is deleted, the demo started again: all is told."""
    await record(database, "first")
    listener = Listener(feed, after=5000)
    assert await listener.until(1) == [1]
    await listener.leave()


async def test_a_journal_begun_anew_is_another(
    database: Database, feed: Feed, witness: Witness
) -> None:
    """Its ids say nothing to a listener who knows the other's."""
    await record(database, "first")
    again = Feed(database)
    await again.ready()
    await again.close()
    assert again.journal == feed.journal != ""
    await witness.execute(
        """ALTER TABLE shared.journal RENAME TO former;
           CREATE TABLE shared.journal (LIKE shared.former INCLUDING ALL);
           GRANT SELECT ON shared.journal TO booking_app"""
    )
    anew = Feed(database)
    await anew.ready()
    await anew.close()
    assert anew.journal != feed.journal


async def test_one_connection_listens_for_all(
    database: Database, feed: Feed, witness: Witness
) -> None:
    listeners = [Listener(feed) for _ in range(5)]
    await record(database, "1")
    for listener in listeners:
        await listener.until(1)
        await listener.leave()
    sessions = await witness.fetchval(
        """SELECT count(*) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'zapisano-journal'"""
    )
    assert sessions == 1


async def test_the_feed_survives_the_loss_of_its_connection(
    database: Database, feed: Feed, witness: Witness, postgres: str
) -> None:
    listener = Listener(feed)
    await record(database, "before")
    await listener.until(1)
    admin = await asyncpg.connect(postgres)
    await admin.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = $1 AND application_name = 'zapisano-journal'""",
        database.name,
    )
    await admin.close()
    await record(database, "after")
    assert await listener.until(2) == [1, 2]
    await listener.leave()


async def test_a_feed_that_stops_lets_its_listeners_go(feed: Feed) -> None:
    async def listen() -> int:
        return len([event async for event in feed.follow(0)])

    task = asyncio.create_task(listen())
    await asyncio.sleep(0)  # the listener is inside its first statement
    feed.stop()
    assert await asyncio.wait_for(task, 5) == 0
