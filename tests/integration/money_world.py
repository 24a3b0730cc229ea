"""One shop and its worker by a driven clock: every job is done here, in turn, when its time comes.

For tests that need the same again from the same draws. The jobs' own runner has tests of its own.
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import asyncpg
import httpx

from integration.yookassa_fixtures import Simulator
from zapisano.db import Database
from zapisano.errors import AppError, Passing
from zapisano.jobs import Handlers, tick
from zapisano.payments import YooKassa, payments_handlers
from zapisano.payments.methods import will_charge
from zapisano.settings import Settings
from zapisano.subscriptions import Live, Living

Thing = TypeVar("Thing")
MOMENT = timedelta(microseconds=1)
OLDEST = """SELECT id, entrypoint, payload FROM shared.pgqueuer WHERE id <> ALL ($1::bigint[])
    ORDER BY id LIMIT 1"""


class Clock:
    """Goes only when it is moved, and never shows the same moment twice."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        self.at += MOMENT
        return self.at


@dataclass
class World:
    """The shop, its provider and its database."""

    database: Database
    witness: "asyncpg.Connection[asyncpg.Record]"
    settings: Settings
    kassa: Simulator
    provider: YooKassa
    loop: asyncio.AbstractEventLoop
    knobs: httpx.Client = field(init=False)
    clock: Clock = field(init=False)
    handlers: Handlers = field(init=False)
    said: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.knobs = httpx.Client(base_url=f"{self.kassa.url}/yookassa/control", trust_env=False)
        self.clock = Clock(self.there())
        self.handlers = Handlers()
        payments_handlers(self.handlers, self.database, self.provider, self.settings, self.clock)
        charges = partial(will_charge, self.settings)
        living = Living(self.database, self.settings, self.clock, charges)
        self.handlers.on(Live, living.live)

    def do(self, work: Coroutine[Any, Any, Thing]) -> Thing:
        return self.loop.run_until_complete(work)

    def there(self) -> datetime:
        """What time it is at the provider."""
        return datetime.fromisoformat(self.knobs.get("clock").json()["now"]).astimezone(UTC)

    def sleep(self, span: timedelta) -> None:
        """Let time pass, here and at the provider, with nobody at work."""
        seconds = max((self.clock.at + span - self.there()).total_seconds(), 0)
        self.knobs.post("clock", json={"advance_seconds": seconds}).raise_for_status()
        self.clock.at += span

    @contextlib.contextmanager
    def trouble(self, kind: str, path: str) -> Generator[None]:
        """Let the provider's next answer to a request be broken; no `kind`, no trouble."""
        if kind:
            self.kassa.fault(kind, path=path)
        try:
            yield
        finally:
            self.knobs.delete("faults").raise_for_status()

    async def forget(self) -> None:
        """Leave nothing to be done of whatever was before."""
        await self.witness.execute("DELETE FROM shared.due; DELETE FROM shared.pgqueuer")

    async def work(self) -> None:
        """Do every job whose time has come, the oldest first; what must wait stays for later."""
        waiting: list[int] = []
        async with self.database.shared() as conn:
            await tick(conn, self.clock.at)
        while (job := await self.witness.fetchrow(OLDEST, waiting)) is not None:
            if await self._is_done(job["entrypoint"], job["payload"] or b"{}"):
                await self.witness.execute("DELETE FROM shared.pgqueuer WHERE id = $1", job["id"])
            else:
                waiting.append(job["id"])
            async with self.database.shared() as conn:
                await tick(conn, self.clock.at)

    async def _is_done(self, kind: str, payload: bytes) -> bool:
        """Do as the runner does; what would only tell somebody is noted."""
        if (entry := self.handlers.entries.get(kind)) is None:
            self.said.append(kind)
            return True
        try:
            await entry.handler(entry.job.validate_json(payload))
        except Passing:
            return False
        except AppError:
            return True
        return True

    async def next_at(self) -> datetime | None:
        at: datetime | None = await self.witness.fetchval("SELECT min(at) FROM shared.due")
        return at

    def live(self, span: timedelta) -> None:
        """Let time pass with everybody at work."""
        goal = self.clock.at + span
        self.do(self.work())
        while (at := self.do(self.next_at())) is not None and at <= goal:
            self.sleep(max(at - self.clock.at, MOMENT))
            self.do(self.work())
        self.sleep(max(goal - self.clock.at, MOMENT))
