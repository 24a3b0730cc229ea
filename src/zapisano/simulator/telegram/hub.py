"""Which phones look at what: a stream of "this chat changed" for each person."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

KEEP_ALIVE_SECONDS = 10.0


@dataclass(eq=False)
class Watch:
    """One open page; changes of the same chat that it has not seen yet are one change."""

    chats: dict[int, None] = field(default_factory=dict[int, None])
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """Everybody's open pages."""

    def __init__(self) -> None:
        self.watches: dict[int, set[Watch]] = {}
        self.closed = False

    def publish(self, person_id: int, bot_id: int) -> None:
        """Tell a person's pages that the chat with this bot changed."""
        for watch in self.watches.get(person_id, ()):
            watch.chats[bot_id] = None
            watch.news.set()

    def close(self) -> None:
        """End every stream."""
        self.closed = True
        for watches in self.watches.values():
            for watch in watches:
                watch.news.set()

    @contextmanager
    def watching(self, person_id: int) -> Generator[Watch, None, None]:
        """Be a page of this person for as long as the block runs."""
        watch = Watch()
        self.watches.setdefault(person_id, set()).add(watch)
        try:
            yield watch
        finally:
            self.watches[person_id].discard(watch)
            if not self.watches[person_id]:
                del self.watches[person_id]

    async def stream(self, person_id: int) -> AsyncGenerator[str, None]:
        """Give the lines of a text/event-stream; a comment comes at once and when it is quiet."""
        with self.watching(person_id) as watch:
            yield ": watching\n\n"
            while not self.closed:
                try:
                    await asyncio.wait_for(watch.news.wait(), KEEP_ALIVE_SECONDS)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed, watch.chats = watch.chats, {}
                watch.news.clear()
                for bot_id in changed:
                    yield f'event: changed\ndata: {{"bot": {bot_id}}}\n\n'
