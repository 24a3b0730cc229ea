"""Delivery of notifications: again and again until HTTP 200, for 24 hours of the clock.

The real intervals are not published. These are short, so that a demo and a test need no patience.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import httpx

from zapisano.simulator.yookassa.store import Notification
from zapisano.simulator.yookassa.usecases import Kassa

LOG = logging.getLogger(__name__)
FIRST_WAIT_SECONDS = 0.5
LONGEST_WAIT_SECONDS = 10.0
ANSWER_WITHIN_SECONDS = 10.0
REPEATED_FOR = timedelta(hours=24)
AT_ONCE = 16
LOOK_EVERY_SECONDS = 0.25


def wait_seconds(attempts: int) -> float:
    """The pause after that many attempts: half a second, doubling up to ten."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(attempts - 1, 10), LONGEST_WAIT_SECONDS)


class Courier:
    """Carries what the store holds. What was sent but not noted before a kill is sent again."""

    def __init__(self, kassa: Kassa) -> None:
        self._kassa = kassa
        self._store = kassa.store
        self._client: httpx.AsyncClient | None = None
        self._under_way: dict[int, asyncio.Task[None]] = {}
        self._called = asyncio.Event()

    def call(self) -> None:
        """There is something to carry now."""
        self._called.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Deliver in the background for as long as the block lasts."""
        async with httpx.AsyncClient(timeout=ANSWER_WITHIN_SECONDS, trust_env=False) as client:
            self._client = client
            rounds = asyncio.create_task(self._rounds())
            try:
                yield
            finally:
                ending = [rounds, *self._under_way.values()]
                for task in ending:
                    task.cancel()
                await asyncio.gather(*ending, return_exceptions=True)
                self._client = None

    async def _rounds(self) -> None:
        while True:
            self._called.clear()
            try:
                self._kassa.sweep()
                self._start_due()
            except sqlite3.OperationalError:
                # A full disk may have room again later; the notifications wait for it.
                LOG.exception("The simulated YooKassa cannot reach its state")
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._called.wait()

    def _start_due(self) -> list[asyncio.Task[None]]:
        """Start what is due and return all that is under way; each message travels alone."""
        for notification in self._store.due_notifications(AT_ONCE + len(self._under_way)):
            if notification.id in self._under_way or len(self._under_way) >= AT_ONCE:
                continue
            task = asyncio.create_task(self._carry(notification))
            self._under_way[notification.id] = task
            task.add_done_callback(lambda _, at=notification.id: self._under_way.pop(at, None))
        return list(self._under_way.values())

    async def hand_over_now(self) -> None:
        """Make one attempt at everything due, and wait for it (the knob `early`)."""
        await asyncio.gather(*self._start_due(), return_exceptions=True)

    async def _carry(self, notification: Notification) -> None:
        answer = await self._post(notification)
        attempts = notification.attempts + 1
        if answer == "200":
            state = "delivered"
        elif notification.fault == "forged":
            state = "refused"
        elif self._kassa.now() - notification.first_at >= REPEATED_FOR:
            state = "given_up"
        else:
            state = "waiting"
        with self._store.transaction():
            self._store.record_attempt(notification.id, answer, state, wait_seconds(attempts))
            if state == "delivered":
                self._store.let_held_go(notification.id)
        if state == "delivered":
            self.call()

    async def _post(self, notification: Notification) -> str:
        """The status of the answer as text, or what kept it from coming."""
        if self._client is None:
            return "closed"
        try:
            answer = await self._client.post(
                notification.url or self._kassa.notify_url,
                content=notification.body.encode(),
                headers={"Content-Type": "application/json", "User-Agent": "YooKassa-simulator"},
            )
        except httpx.HTTPError as error:
            return type(error).__name__
        except httpx.InvalidURL:
            return "InvalidURL"
        return str(answer.status_code)
