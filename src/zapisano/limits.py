"""Rate limits: how often one name may do a thing, over all processes where there is a Redis.

A limit is a window that begins with its first hit: `5/minute` lets five in, and nobody else until
the minute has gone by; around the end of a window that may be twice as many. Redis counts, by the
library `limits`. To ask it for every hit would cost more than most requests do, so a process takes
a hundredth of a high limit at once and spends it by itself, and remembers who has been refused.
So many processes may each let in a hundredth too many when a window ends, and none too many in it.
"""

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, ClassVar, cast

from limits import RateLimitItem, parse
from limits.aio.storage import RedisStorage
from limits.aio.storage.redis.redispy import RedispyBridge
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from zapisano.errors import Busy, Passing
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.limits")

PREFIX = "zapisano-limits"
PARTS = 100
# Names that are remembered at once; a bucket is a few hundred bytes.
MOST_BUCKETS = 50_000
ANSWER_SECONDS = 1.0
# How long a Redis that has not answered is left alone.
LEAVE_ALONE_SECONDS = 1.0
GONE = (RedisError, OSError)


class TooMany(Passing):
    """Asked too often; `retry_after_seconds` says when it will be different."""

    code: ClassVar[str] = "too_many"
    status: ClassVar[int] = 429
    text: ClassVar[str] = "Too many requests; please wait a moment."


@dataclass(slots=True)
class _Bucket:
    """What one name may still do without asking. Times are of the monotonic clock."""

    left: int = 0
    ends_at: float = 0.0
    refused_until: float = 0.0
    is_own_count: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def fill(self, hits: int, seconds: float, *, is_own_count: bool) -> None:
        self.left, self.is_own_count = hits, is_own_count
        self.ends_at = time.monotonic() + seconds

    def take(self) -> bool:
        """Take one hit; return False when somebody has to be asked.

        Raises:
            TooMany: somebody was asked, and the answer still holds.
        """
        now = time.monotonic()
        if now < self.refused_until:
            raise TooMany(retry_after_seconds=self.refused_until - now)
        if self.left == 0 or now >= self.ends_at:
            return False
        self.left -= 1
        return True

    def refuse(self, until: float) -> TooMany:
        self.refused_until = until
        return TooMany(retry_after_seconds=max(until - time.monotonic(), 0.0))


class Limiter:
    """Counts in Redis where the settings name one, else in this process. Close it when done."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is asked before the first hit."""
        self._client = _client(settings)
        self._windows = FixedWindowRateLimiter(_Storage(self._client)) if self._client else None
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._leave_alone_until = 0.0

    async def hit(self, name: str, limit: str, ident: str, *, fail_open: bool) -> None:
        """Count one `name` (such as "migrate") by `ident` against a limit such as "5/minute".

        `ident` says who: an address, a key's id. A digest of it is what Redis gets. When Redis is
        gone, `fail_open` lets this process count by itself; otherwise nobody is let in.

        Raises:
            TooMany: not now.
            Busy: Redis is gone, and `fail_open` is false.
        """
        item, who = _parsed(limit), blake2b(ident.encode(), digest_size=16).hexdigest()
        bucket = self._bucket(item.key_for(name, who))
        if bucket.take():
            return
        async with bucket.lock:  # one asks for all who wait
            if bucket.take():
                return
            try:
                await self._ask(bucket, item, name, who)
            except GONE as error:
                self._lost(error)
                if not fail_open:
                    raise Busy from error
                _count_alone(bucket, item)
            bucket.take()

    async def close(self) -> None:
        """Close the connections."""
        if self._client:
            await self._client.aclose()

    def _bucket(self, key: str) -> _Bucket:
        bucket = self._buckets.setdefault(key, _Bucket())
        self._buckets.move_to_end(key)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return bucket

    async def _ask(self, bucket: _Bucket, item: RateLimitItem, name: str, who: str) -> None:
        """Fill a bucket with the next part of the limit.

        Raises:
            TooMany: all of it is spent.
            RedisError, OSError: Redis is gone.
        """
        if self._windows is None:
            _count_alone(bucket, item)
            return
        if time.monotonic() < self._leave_alone_until:
            raise ConnectionError("did not answer a moment ago")
        part = max(item.amount // PARTS, 1)
        parts = type(item)(item.amount // part, item.multiples)
        if await self._windows.hit(parts, name, who):
            bucket.fill(part, item.get_expiry(), is_own_count=False)
            return
        window = await self._windows.get_window_stats(parts, name, who)
        raise bucket.refuse(time.monotonic() + window.reset_time - time.time())

    def _lost(self, error: Exception) -> None:
        if time.monotonic() >= self._leave_alone_until:
            self._leave_alone_until = time.monotonic() + LEAVE_ALONE_SECONDS
            log.warning("limits_without_redis", reason=type(error).__name__)


def _count_alone(bucket: _Bucket, item: RateLimitItem) -> None:
    """Begin a window of this process's own, if none is under way.

    Raises:
        TooMany: one is, and it is spent.
    """
    if bucket.is_own_count and time.monotonic() < bucket.ends_at:
        raise bucket.refuse(bucket.ends_at)
    bucket.fill(item.amount, item.get_expiry(), is_own_count=True)


@lru_cache(maxsize=1024)
def _parsed(limit: str) -> RateLimitItem:
    return parse(limit)


class _Storage(RedisStorage):
    """The library's storage on a client of ours: it cannot read every address redis-py can."""

    def __init__(self, client: "Redis | RedisCluster") -> None:
        """Use `client`, which its owner closes."""
        self._ours = cast("Any", client)  # the library's protocol of a client fits none
        super().__init__("async+redis://", implementation="redispy", key_prefix=PREFIX)

    def configure_bridge(self) -> None:
        """Put our client where the library would put its own."""
        cast("RedispyBridge", self.bridge).connection_getter = lambda _: self._ours


def _client(settings: Settings) -> "Redis | RedisCluster | None":
    url = settings.redis
    if not url:
        return None
    timeouts: dict[str, Any] = {
        "socket_connect_timeout": ANSWER_SECONDS,
        "socket_timeout": ANSWER_SECONDS,
    }
    if settings.redis_cluster:
        return RedisCluster.from_url(url, **timeouts)
    return Redis.from_url(url, **timeouts)  # pyright: ignore[reportUnknownMemberType]  # untyped in redis-py
