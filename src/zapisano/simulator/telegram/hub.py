"""Which pages look on: a stream of "this person's chat with this bot changed", everybody's in one.

One stream for all people, because a browser opens six connections to a host and no more.
"""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

KEEP_ALIVE_SECONDS = 10.0
Place = tuple[int, int]
"""A person and a bot: a chat."""


@dataclass(eq=False)
class Watch:
    """One open stream; changes of the same chat that it has not told yet are one change."""

    chats: dict[Place, None] = field(default_factory=dict[Place, None])
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Every open stream."""

    def __init__(self) -> None:
        self.watches: set[Watch] = set()
        self.closed = False

    def publish(self, person_id: int, bot_id: int) -> None:
        """Tell that a person's chat with this bot changed."""
        for watch in self.watches:
            watch.chats[person_id, bot_id] = None
            watch.news.set()

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        for watch in self.watches:
            watch.news.set()

    @contextmanager
    def watching(self) -> Generator[Watch, None, None]:
        """Be a stream for as long as the block runs."""
        watch = Watch()
        self.watches.add(watch)
        try:
            yield watch
        finally:
            self.watches.discard(watch)

    async def stream(self) -> AsyncGenerator[str, None]:
        """Give the lines of a text/event-stream; a comment comes at once and when it is quiet."""
        with self.watching() as watch:
            yield ": watching\n\n"
            while not self.closed:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                        await watch.news.wait()
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed, watch.chats = watch.chats, {}
                watch.news.clear()
                for person_id, bot_id in changed:
                    yield f'event: changed\ndata: {{"person": {person_id}, "bot": {bot_id}}}\n\n'
