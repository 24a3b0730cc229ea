"""The product's event stream, passed on to the page with the operator's token kept here."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator

import httpx

RETRY_SECONDS = 1.0
QUEUED_EVENTS = 256
# A silent product is asked again after this long; a dead one is noticed at once by its socket.
TIMEOUT = httpx.Timeout(5.0, read=30.0)


def link_event(*, up: bool, reason: str = "", journal: str = "") -> str:
    """A server-sent event of our own: does the product answer, and if not, why.

    `journal` says whose ids follow. They begin at 1 in every database, so a page that knows those
    of another journal has to forget its story and ask for this one from its start.
    """
    told = {"up": up, "reason": reason, "journal": journal}
    return f"event: link\ndata: {json.dumps(told)}\n\n"


class StoryFeed:
    """Follows the product's events for one page at a time, over any number of its restarts.

    Args:
        client: shared HTTP client.
        url: the product's SSE address; empty when the simulator runs alone.
        token: bearer token of the operator; it never reaches the browser.
    """

    def __init__(self, client: httpx.AsyncClient, url: str, token: str) -> None:
        self._client = client
        self._url = url
        self._token = token
        self._followers: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """End every stream: the server would otherwise wait for them when it stops."""
        for follower in self._followers:
            follower.cancel()

    async def events(self, after: int) -> AsyncGenerator[str]:
        """Yield whole server-sent events after the id `after` until stopped."""
        told: asyncio.Queue[str | None] = asyncio.Queue(QUEUED_EVENTS)
        follower = asyncio.create_task(self._tell(after, told))
        self._followers.add(follower)
        follower.add_done_callback(self._followers.discard)
        try:
            while (event := await told.get()) is not None:
                yield event
        finally:
            follower.cancel()

    async def _tell(self, after: int, told: asyncio.Queue[str | None]) -> None:
        try:
            async for event in self._events(after):
                await told.put(event)
        finally:
            # Make room for the end; what falls out is asked for again by its id.
            if told.full():
                told.get_nowait()
            told.put_nowait(None)

    async def _events(self, after: int) -> AsyncGenerator[str]:
        """Follow the product from restart to restart.

        The browser's connection stays open while the product is away: an `EventSource` gives up
        on an error status, so losing the product is told as an event named `link`.
        """
        if not self._url:
            yield link_event(up=False, reason="not_configured")
            return
        while True:
            reason = "unreachable"
            try:
                async for event in self._follow(after):
                    after = max(after, event_id(event))
                    yield event
            except httpx.ReadTimeout:
                continue
            except httpx.HTTPStatusError as error:
                reason = f"status_{error.response.status_code}"
            except httpx.TransportError:
                pass  # the reason is already "unreachable"
            yield link_event(up=False, reason=reason)
            await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, after: int) -> AsyncIterator[str]:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "text/event-stream"}
        if after:
            headers["Last-Event-ID"] = str(after)
        request = self._client.stream("GET", self._url, params={"after": after}, headers=headers)
        async with request as response:
            response.raise_for_status()
            yield link_event(up=True, journal=response.headers.get("journal", ""))
            fields: list[str] = []
            async for line in response.aiter_lines():
                if line:
                    fields.append(line)
                elif fields:
                    yield "\n".join(fields) + "\n\n"
                    fields = []


def event_id(event: str) -> int:
    """Return the numeric id of a server-sent event, 0 when it has none."""
    for line in event.splitlines():
        name, _, value = line.partition(":")
        if name == "id" and value.strip().isdecimal():
            return int(value)
    return 0
