"""The state of this Telegram that lives only as long as the process, beside what is stored."""

import asyncio
import sqlite3
import time
from collections import deque
from dataclasses import dataclass, field, replace

from zapisano.simulator.telegram.delivery import Deliveries
from zapisano.simulator.telegram.errors import ApiError, too_many_requests
from zapisano.simulator.telegram.hub import Hub
from zapisano.simulator.telegram.limits import Limiter, Limits, Rate
from zapisano.simulator.telegram.model import Bot, Json
from zapisano.simulator.telegram.store import chats, updates

LOG_LENGTH = 10_000


@dataclass(frozen=True)
class Fault:
    """Something to go wrong: on which method, bot and chat, how, and how many times more."""

    method: str
    bot: int | None
    chat: int | None
    kind: str
    times: int
    retry_after: int

    def hits(self, method: str, bot_id: int, chat: str) -> bool:
        """Tell whether this call is meant."""
        return (
            self.method.lower() in ("*", method)
            and self.bot in (None, bot_id)
            and (self.chat is None or str(self.chat) == chat)
        )


@dataclass
class Poll:
    """A bot waiting in getUpdates; `ended` is what it is sent away with, once it is."""

    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: ApiError | None = None


class World:
    """One Telegram. Knobs, the log of calls and waiting requests die with the process."""

    def __init__(self, database: sqlite3.Connection, deliveries: Deliveries) -> None:
        self.database = database
        self.deliveries = deliveries
        self.hub = Hub()
        self.limits = Limits()
        self.limiter = Limiter()
        self.faults: list[Fault] = []
        self.log: deque[Json] = deque(maxlen=LOG_LENGTH)
        self.polls: dict[int, Poll] = {}
        self.answers: dict[int, asyncio.Future[Json]] = {}
        self.stopping = False

    def now(self) -> int:
        """Tell the time in whole Unix seconds, as the Bot API does."""
        return int(time.time())

    def emit(self, bot: Bot, person_id: int, kind: str, event: Json) -> None:
        """Let a bot hear of something, if it wants to, after what it has yet to hear."""
        if bot.wants(kind):
            now = self.now()
            updates.expire(self.database, bot.id, now)
            updates.add(self.database, bot.id, person_id, now, {kind: event})
            self.wake(bot.id)

    def wake(self, bot_id: int) -> None:
        """Tell whoever waits for this bot's updates to look again."""
        poll = self.polls.get(bot_id)
        if poll is not None:
            poll.news.set()
        self.deliveries.wake(bot_id)

    def end_poll(self, bot_id: int, error: ApiError) -> None:
        """Send a waiting getUpdates away."""
        poll = self.polls.pop(bot_id, None)
        if poll is not None:
            poll.ended = error
            poll.news.set()

    def changed(self, bot_id: int, person_id: int) -> None:
        """Tell the person's phone that this chat is not what it was."""
        self.hub.publish(person_id, bot_id)

    def profile_changed(self, bot_id: int) -> None:
        """Tell everybody who talks to this bot that it presents itself differently."""
        for person_id in chats.people_of_bot(self.database, bot_id):
            self.changed(bot_id, person_id)

    def take_turn(self, wanted: dict[object, Rate]) -> None:
        """Count one call against the limits.

        Raises:
            ApiError: 429, too early.
        """
        wait = self.limiter.take(wanted, time.monotonic())
        if wait > 0:
            raise too_many_requests(wait)

    def take_fault(self, method: str, bot_id: int, chat: str) -> Fault | None:
        """Find what shall go wrong with this call, and count it."""
        for index, fault in enumerate(self.faults):
            if fault.hits(method, bot_id, chat):
                left = fault.times - 1
                self.faults[index : index + 1] = [replace(fault, times=left)] if left > 0 else []
                return fault
        return None

    def stop(self) -> None:
        """End every endless answer: the server is about to stop."""
        self.stopping = True
        self.hub.close()
        for poll in self.polls.values():
            poll.news.set()
        for answer in self.answers.values():
            answer.cancel()
