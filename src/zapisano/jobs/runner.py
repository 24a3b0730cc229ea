"""Run jobs: one PgQueuer per lane, retries with backoff, then held for a person to look at.

Defaults of PgQueuer that are changed here and why: a killed worker's job is picked up after
`HEARTBEAT` (its default is 30 s); a lost listener ends the process, which its supervisor starts
again (it would poll slowly); a failed job is held (it would be deleted); starts are counted by us
(a SIGKILL leaves its attempts at 0, and a poison job would loop).
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar, cast

import structlog
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import (
    QueryBuilderEnvironment,
    QueryQueueBuilder,
    QuerySchedulerBuilder,
)
from pgqueuer.domain.errors import RetryRequested
from pgqueuer.domain.models import Job as QueuedJob
from pgqueuer.domain.settings import DBSettings
from pydantic import TypeAdapter

from zapisano.db import (
    CONNECTION_LOST,
    Database,
    RawConnection,
    connection_is_lost,
)
from zapisano.errors import AppError, BrokenSetting, Busy, Passing
from zapisano.jobs import store
from zapisano.jobs.model import Job, Lane
from zapisano.jobs.queries import PatientQueries
from zapisano.telemetry import get_logger

log = get_logger("zapisano.jobs")

JobT = TypeVar("JobT", bound=Job)
Handler = Callable[[JobT], Awaitable[None]]

QUEUE = DBSettings(db_schema="shared")
HEARTBEAT = timedelta(seconds=5)
POLL = timedelta(seconds=1)
CONCURRENCY: dict[Lane, int] = {Lane.MONEY: 20, Lane.CHAT: 40, Lane.LIFE: 20}
BATCH = 10
FIRST_DELAY_SECONDS = 0.5
LAST_DELAY_SECONDS = 300.0
# A partner may be away for a day; a bug will not mend itself.
ATTEMPTS_WHEN_UNAVAILABLE = 300
ATTEMPTS_ON_A_BUG = 8
CRASHES_ALLOWED = 5
TICK_SECONDS = 1.0
KEEP_LOG = timedelta(days=2)
# A held update holds what a person wrote; a fortnight is enough to find out why it was held.
KEEP_HELD_CHATS = timedelta(days=14)


@dataclass(frozen=True)
class _Entry:
    job: TypeAdapter[Job]
    handler: Handler[Job]
    lane: Lane


class Handlers:
    """Which function does which job; filled once, by the composition root."""

    def __init__(self) -> None:
        """Start with none."""
        self.entries: dict[str, _Entry] = {}

    def on(self, job: type[JobT], handler: Handler[JobT]) -> None:
        """Let `handler` do every `job`. It may be called more than once for the same job."""
        adapter = cast("TypeAdapter[Job]", TypeAdapter(job))
        self.entries[job.kind] = _Entry(adapter, cast("Handler[Job]", handler), job.lane)


class Runner:
    """The job process: every lane, and the tick that turns due rows into jobs."""

    def __init__(self, database: Database, handlers: Handlers, now: Callable[[], datetime]) -> None:
        """`now` is the clock the tick goes by."""
        self._database = database
        self._handlers = handlers
        self._now = now
        self._queues: list[PgQueuer] = []
        self._kept = Counter[int]()
        self._stopping = asyncio.Event()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Work until `stop`; jobs in flight are finished.

        Raises:
            Busy: the database connection of a lane was lost.
        """
        connections: list[RawConnection] = []
        try:
            for lane in Lane:
                raw = await self._database.session(f"zapisano-worker-{lane}")
                connections.append(raw)
                queue = self._queue(lane, raw)
                self._queues.append(queue)
                if self._stopping.is_set():
                    queue.shutdown.set()
            async with asyncio.TaskGroup() as tasks:
                for lane, queue in zip(Lane, self._queues, strict=True):
                    tasks.create_task(self._lane(lane, queue))
                tasks.create_task(self._ticks())
                on_ready()
        finally:
            for raw in connections:
                await raw.close(timeout=5)

    def stop(self) -> None:
        """Take no new job; `run` returns when those in flight are done."""
        self._stopping.set()
        for queue in self._queues:
            queue.shutdown.set()

    async def _lane(self, lane: Lane, queue: PgQueuer) -> None:
        try:
            await queue.qm.run(
                batch_size=BATCH,
                dequeue_timeout=POLL,
                max_concurrent_tasks=CONCURRENCY[lane],
                heartbeat_timeout=HEARTBEAT,
                shutdown_on_listener_failure=True,
            )
        except* CONNECTION_LOST as lost:
            log.warning("lane_lost", lane=lane, reason=type(lost.exceptions[0]).__name__)
        if not self._stopping.is_set():
            raise Busy(f"The lane {lane} has lost its database connection.")

    def _queue(self, lane: Lane, raw: RawConnection) -> PgQueuer:
        driver = AsyncpgDriver(raw)
        queries = PatientQueries(
            driver,
            qbe=QueryBuilderEnvironment(QUEUE),
            qbq=QueryQueueBuilder(QUEUE),
            qbs=QuerySchedulerBuilder(QUEUE),
            kept=self._kept,
        )
        queue = PgQueuer(connection=driver, queries=queries)
        for kind, entry in self._handlers.entries.items():
            if entry.lane is lane:
                queue.entrypoint(kind, on_failure="hold")(self._entrypoint(kind, entry))
        return queue

    def _entrypoint(self, kind: str, entry: _Entry) -> Callable[[QueuedJob], Awaitable[None]]:
        async def do(queued: QueuedJob) -> None:
            with structlog.contextvars.bound_contextvars(job=queued.id, kind=kind):
                await self._attempt(entry, queued)

        return do

    async def _attempt(self, entry: _Entry, queued: QueuedJob) -> None:
        """Do a job once: what may pass is retried, what is refused is dropped, a bug is held."""
        try:
            await self._refuse_poison(queued)
            await entry.handler(entry.job.validate_json(queued.payload or b"{}"))
        except asyncio.CancelledError as error:
            # The lane's connection broke, or the process ends: the job is not done, nor refused.
            raise RetryRequested(timedelta(0), "cancelled") from error
        except _Poison:
            log.exception("job_held")
            raise
        except Exception as error:  # a runner: no job may end its lane
            if _may_pass(error):
                if queued.attempts >= ATTEMPTS_WHEN_UNAVAILABLE:
                    raise
                log.info("job_will_be_retried", reason=str(error), attempts=queued.attempts)
                raise RetryRequested(_pause(queued.attempts, error), str(error)) from error
            if isinstance(error, AppError):
                log.warning("job_discarded", reason=error.code, detail=error.detail)
                return
            log.exception("job_failed", attempts=queued.attempts)
            if await self._count_bug(queued) >= ATTEMPTS_ON_A_BUG:
                raise
            raise RetryRequested(backoff(queued.attempts), type(error).__name__) from error

    async def _refuse_poison(self, queued: QueuedJob) -> None:
        """Hold a job that has taken its worker down with it too often."""
        async with self._database.shared() as conn:
            starts = await store.count_start(conn, queued.id)
        if starts > queued.attempts + self._kept[queued.id] + CRASHES_ALLOWED:
            raise _Poison(f"started {starts} times and never finished")

    async def _count_bug(self, queued: QueuedJob) -> int:
        """Count apart from other retries: an outage must not use up a bug's attempts."""
        try:
            async with self._database.shared() as conn:
                return await store.count_bug(conn, queued.id)
        except (Busy, *CONNECTION_LOST) as error:
            raise RetryRequested(backoff(queued.attempts), str(error)) from error

    async def _prune(self, now: datetime) -> None:
        entries = self._handlers.entries.items()
        async with self._database.shared() as conn:
            await store.prune(
                conn,
                log_before=now - KEEP_LOG,
                held_before=now - KEEP_HELD_CHATS,
                held_kinds=[kind for kind, entry in entries if entry.lane is Lane.CHAT],
            )

    async def _ticks(self) -> None:
        next_prune = self._now()
        while not self._stopping.is_set():
            now = self._now()
            try:
                async with self._database.shared() as conn:
                    await store.tick(conn, now)
                if now >= next_prune:
                    # Moved first: housekeeping that fails must not be all that is ever done.
                    next_prune = now + timedelta(hours=1)
                    await self._prune(now)
            except (Busy, *CONNECTION_LOST) as error:
                log.warning("tick_missed", reason=type(error).__name__)
            try:
                async with asyncio.timeout(TICK_SECONDS):
                    await self._stopping.wait()
            except TimeoutError:
                continue


class _Poison(RuntimeError):
    """A job that kills its worker."""


def _may_pass(error: BaseException) -> bool:
    """Say whether waiting may mend it. A missing file, or a wrong call of the driver, is a bug."""
    return isinstance(error, Passing | BrokenSetting) or connection_is_lost(error)


def _pause(attempts: int, error: BaseException) -> timedelta:
    """Return the usual pause, or a longer one when a partner has asked for it."""
    asked = error.retry_after_seconds if isinstance(error, Passing) else None
    return max(backoff(attempts), timedelta(seconds=asked or 0))


def backoff(attempts: int) -> timedelta:
    """Return the pause after `attempts` failures: doubling, bounded."""
    return timedelta(seconds=min(FIRST_DELAY_SECONDS * 2 ** min(attempts, 20), LAST_DELAY_SECONDS))
