"""Where conversations are remembered: Redis keys of one tenant never meet another's.

Keys look like `client_001:fsm:<chat>:<person>:state`, in database 0. On a cluster the prefix is a
hash tag, `{client_001}:fsm:…`, so that a tenant's keys live together.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast

from aiogram.fsm.storage.base import (
    BaseEventIsolation,
    BaseStorage,
    DefaultKeyBuilder,
    KeyBuilder,
    StateType,
    StorageKey,
)
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.fsm.storage.redis import RedisEventIsolation, RedisStorage
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.lock import Lock
from redis.exceptions import RedisError

from zapisano.db.names import tenant_schema
from zapisano.errors import Busy
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.bots")

SALES_PREFIX = "sales:"
# A conversation left for a week starts anew; nothing is kept for ever.
STATE_TTL = timedelta(days=7)
SCAN_COUNT = 1000
LOCK_SECONDS = 8.0
WAIT_FOR_TURN_SECONDS = 10.0
# Whoever waits holds one of the worker's places; the others are for other people.
MOST_WAITING = 5
LOOK_AGAIN_SECONDS = 0.03
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0

_serving: ContextVar[str] = ContextVar("zapisano_serving")


@contextmanager
def serving(prefix: str) -> Generator[None]:
    """Let storages without a prefix of their own use this one: the tenant of the update."""
    token = _serving.set(prefix)
    try:
        yield
    finally:
        _serving.reset(token)


def tenant_prefix(tenant_id: str | None) -> str:
    """Return the prefix of a tenant's keys; None is the sales bot."""
    return f"{tenant_id}:" if tenant_id else SALES_PREFIX


def hash_tagged(prefix: str) -> str:
    """Return the prefix as a cluster's hash tag: `client_001:` becomes `{client_001}:`."""
    return "{" + prefix.rstrip(":") + "}:"


class TenantKeyBuilder(KeyBuilder):
    """Puts a tenant's prefix before aiogram's own key."""

    def __init__(self, prefix: str | None = None, *, cluster: bool = False) -> None:
        """Use `prefix`; with None, that of the update being served.

        A key built with no update being served raises LookupError: a key that belongs to nobody
        would be everybody's.
        """
        self._prefix = prefix
        self._cluster = cluster
        self._inner = DefaultKeyBuilder(prefix="fsm", with_destiny=False)

    def build(self, key: StorageKey, part: Literal["data", "state", "lock"] | None = None) -> str:
        """Build the key of one record."""
        prefix = _serving.get() if self._prefix is None else self._prefix
        return (hash_tagged(prefix) if self._cluster else prefix) + self._inner.build(key, part)


class PrefixedRedisStorage(RedisStorage):
    """aiogram's storage on Redis, Valkey or a cluster of either, with a prefix before every key.

    Redis that does not answer is `Busy`: the update is tried again, and nothing has to be
    restarted when Redis is back.
    """

    def __init__(
        self,
        redis: "Redis | RedisCluster",
        key_prefix: str | None = None,
        *,
        state_ttl: timedelta = STATE_TTL,
        data_ttl: timedelta = STATE_TTL,
    ) -> None:
        """`key_prefix` is `client_001:`; None serves all tenants, each with its own."""
        keys = TenantKeyBuilder(key_prefix, cluster=isinstance(redis, RedisCluster))
        # A cluster's client has the few commands that are used here.
        super().__init__(redis, keys, state_ttl, data_ttl)  # type: ignore[arg-type]  # see above

    async def set_state(self, key: StorageKey, state: StateType = None) -> None:
        """Write or, with None, forget a state."""
        with _busy_when_down():
            await super().set_state(key, state)

    async def get_state(self, key: StorageKey) -> str | None:
        """Return a state."""
        with _busy_when_down():
            return await super().get_state(key)

    async def set_data(self, key: StorageKey, data: Mapping[str, Any]) -> None:
        """Replace what is remembered."""
        with _busy_when_down():
            await super().set_data(key, data)

    async def get_data(self, key: StorageKey) -> dict[str, Any]:
        """Return what is remembered."""
        with _busy_when_down():
            return await super().get_data(key)

    async def close(self) -> None:
        """Close the connections."""
        await self.redis.aclose()

    def create_isolation(self, **kwargs: Any) -> RedisEventIsolation:
        """Return what lets one update of a person be handled at a time, in every process."""
        return RedisTurns(self.redis, self.key_builder, **kwargs)


class RedisTurns(RedisEventIsolation):
    """A lock in Redis per person and bot, short-lived and renewed while the handler works.

    A killed worker's lock is gone after `LOCK_SECONDS`; aiogram's own would last a minute, and
    waits for ever.
    """

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None]:
        """Wait for the turn.

        Raises:
            Busy: it has not come in `WAIT_FOR_TURN_SECONDS`, or Redis is not answering.
        """
        turn = self.redis.lock(
            self.key_builder.build(key, "lock"),
            timeout=LOCK_SECONDS,
            blocking_timeout=WAIT_FOR_TURN_SECONDS,
            sleep=LOOK_AGAIN_SECONDS,
            thread_local=False,
        )
        with _busy_when_down():
            if not await turn.acquire():
                raise Busy("An earlier update of this person is still being handled.")
        renewal = asyncio.create_task(_renew(turn))
        try:
            yield
        finally:
            renewal.cancel()
            try:
                await turn.release()
            except (RedisError, OSError) as error:
                log.warning("turn_was_not_given_back", reason=type(error).__name__)


async def _renew(turn: Lock) -> None:
    """Keep a lock while its handler works; one that is lost anyway is only logged at the end."""
    while True:
        await asyncio.sleep(LOCK_SECONDS / 3)
        try:
            await turn.reacquire()
        except (RedisError, OSError) as error:
            log.warning("turn_was_not_renewed", reason=type(error).__name__)


@contextmanager
def _busy_when_down() -> Generator[None]:
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Busy(f"Redis is not answering ({type(error).__name__}).") from error


@dataclass
class _Queue:
    lock: asyncio.Lock
    people: int = 0


class InTurn(BaseEventIsolation):
    """One update at a time of each person and bot.

    First come first served in this process, and through the locks of `between` among processes.
    """

    def __init__(self, between: BaseEventIsolation | None = None) -> None:
        """Without `between` there is one process."""
        self._between = between
        self._queues: dict[StorageKey, _Queue] = {}

    @asynccontextmanager
    async def lock(self, key: StorageKey) -> AsyncGenerator[None]:
        """Wait for the turn.

        Raises:
            Busy: it has not come in `WAIT_FOR_TURN_SECONDS`, `MOST_WAITING` wait already, or Redis
                is not answering.
        """
        queue = self._queues.setdefault(key, _Queue(asyncio.Lock()))
        if queue.people > MOST_WAITING:
            raise Busy("Earlier updates of this person are still being handled.")
        queue.people += 1
        try:
            async with _in_time(queue.lock):
                if self._between is None:
                    yield
                else:
                    async with self._between.lock(key):
                        yield
        finally:
            queue.people -= 1
            if not queue.people:
                del self._queues[key]

    async def close(self) -> None:
        """Nothing is held open."""


@asynccontextmanager
async def _in_time(lock: asyncio.Lock) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(WAIT_FOR_TURN_SECONDS):
            await lock.acquire()
    except TimeoutError as error:
        raise Busy("An earlier update of this person is still being handled.") from error
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class Memory:
    """What remembers conversations, and what keeps a person's updates in their order."""

    storage: BaseStorage
    isolation: BaseEventIsolation


def open_redis(settings: Settings) -> "Redis | RedisCluster | None":
    """Return a client of the settings' Redis, not yet connected; None when there is none."""
    url = settings.redis
    if not url:
        return None
    timeouts: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
    }
    if settings.redis_cluster:
        return RedisCluster.from_url(url, **timeouts)
    return Redis.from_url(url, health_check_interval=30, **timeouts)  # pyright: ignore[reportUnknownMemberType]  # untyped in redis-py


def create_memory(settings: Settings) -> Memory:
    """Return the memory that serves all tenants of this process; in-process when without Redis."""
    redis = open_redis(settings)
    if redis is None:
        log.warning(
            "conversations_are_kept_in_memory",
            remedy="set REDIS_URL (or REDIS_HOST), or conversations end with the process",
        )
        return Memory(MemoryStorage(), InTurn())
    prefix = settings.redis_key_prefix if settings.only_tenant else ""
    storage = PrefixedRedisStorage(redis, prefix or None)
    return Memory(storage, InTurn(storage.create_isolation()))


async def forget_keys(settings: Settings, tenant_id: str) -> int:
    """Delete whatever Redis keeps of an archived tenant; return how many keys there were.

    Raises:
        Busy: Redis is not answering.
    """
    redis = open_redis(settings)
    if redis is None:
        return 0
    prefix = tenant_prefix(tenant_schema(tenant_id))
    pattern = (hash_tagged(prefix) if settings.redis_cluster else prefix) + "*"
    gone = 0
    try:
        with _busy_when_down():
            # Deleted one by one: a cluster refuses a command over several of its slots.
            scan = cast("Callable[..., AsyncIterator[bytes]]", redis.scan_iter)  # pyright: ignore[reportUnknownMemberType]  # its kwargs have no type
            async for key in scan(pattern, count=SCAN_COUNT):
                gone += await redis.unlink(key)
    finally:
        await redis.aclose()
    return gone
