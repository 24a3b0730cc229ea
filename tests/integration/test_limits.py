"""Rate limits on a real Valkey, without one, and when it goes away."""

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from own_settings import settings_for
from zapisano import limits
from zapisano.errors import Busy
from zapisano.limits import Limiter, TooMany
from zapisano.settings import Settings
from zapisano.stack.servers import embedded_valkey

SOMEBODY = "somebody@example.org"


@pytest.fixture
def deed() -> str:
    """The server is shared by all tests of a run, and so are its counts."""
    return f"deed-{secrets.token_hex(8)}"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_for("postgresql://nobody@127.0.0.1/none", tmp_path)


@asynccontextmanager
async def limiter(settings: Settings, url: str = "") -> AsyncGenerator[Limiter]:
    """The limiter of one process."""
    opened = Limiter(settings.model_copy(update={"redis_url": SecretStr(url)}))
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def shared(settings: Settings, valkey_url: str) -> AsyncGenerator[Limiter]:
    async with limiter(settings, valkey_url) as opened:
        yield opened


@pytest.fixture
async def other(settings: Settings, valkey_url: str) -> AsyncGenerator[Limiter]:
    async with limiter(settings, valkey_url) as opened:
        yield opened


@pytest.fixture(params=["redis", "alone"])
async def either(
    request: pytest.FixtureRequest, settings: Settings, valkey_url: str
) -> AsyncGenerator[Limiter]:
    async with limiter(settings, valkey_url if request.param == "redis" else "") as opened:
        yield opened


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncGenerator["Redis"]:
    client = Redis.from_url(valkey_url, decode_responses=True)
    yield client
    await client.aclose()


async def count(valkey: "Redis", deed: str) -> int:
    """What Valkey has counted; it keeps one number for a deed of one person."""
    (key,) = [key async for key in valkey.scan_iter(f"*{deed}*", count=1000)]
    assert await valkey.ttl(key) > 0, "it would stay for ever"
    assert SOMEBODY not in key
    return int(await valkey.get(key))


async def let_in(
    limiter: Limiter, deed: str, limit: str, hits: int, *, fail_open: bool = False
) -> int:
    """How many of so many hits are let in."""
    entered = 0
    for _ in range(hits):
        try:
            await limiter.hit(deed, limit, SOMEBODY, fail_open=fail_open)
        except TooMany:
            continue
        entered += 1
    return entered


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + 30
    while not await holds():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)


async def test_the_limit_is_one_for_all_processes(
    shared: Limiter, other: Limiter, deed: str
) -> None:
    assert await let_in(shared, deed, "5/hour", 3) == 3
    assert await let_in(other, deed, "5/hour", 3) == 2
    with pytest.raises(TooMany) as caught:
        await shared.hit(deed, "5/hour", SOMEBODY, fail_open=False)
    assert caught.value.status == 429
    assert 3500 < (caught.value.retry_after_seconds or 0) <= 3600


async def test_each_person_and_each_deed_has_a_count(either: Limiter, deed: str) -> None:
    assert await let_in(either, deed, "5/hour", 9) == 5
    await either.hit(deed, "5/hour", f"not {SOMEBODY}", fail_open=False)
    await either.hit(f"not {deed}", "5/hour", SOMEBODY, fail_open=False)


async def test_of_many_at_once_so_many_are_let_in(either: Limiter, deed: str) -> None:
    for limit, hits, entered in (("20/hour", 64, 20), ("1000/hour", 1200, 1000)):
        tried = (let_in(either, deed, limit, 1) for _ in range(hits))
        assert sum(await asyncio.gather(*tried)) == entered


async def test_after_the_window_all_may_again(either: Limiter, deed: str) -> None:
    async def refused() -> bool:
        return await let_in(either, deed, "2/second", 3) < 3

    async def admitted() -> int:
        return await let_in(either, deed, "2/second", 1)

    await until(refused)
    await until(admitted)


async def test_a_high_limit_is_spent_in_parts_of_a_hundredth(
    shared: Limiter, other: Limiter, deed: str, valkey: "Redis"
) -> None:
    assert await let_in(shared, deed, "10000/hour", 201) == 201
    assert await let_in(other, deed, "10000/hour", 1) == 1
    assert await count(valkey, deed) == 4
    entered = 202
    for one in (shared, other, shared, other):
        entered += await let_in(one, deed, "10000/hour", 6000)
    assert entered == 10_000


async def test_whoever_is_refused_is_not_asked_about_again(
    shared: Limiter, deed: str, valkey: "Redis"
) -> None:
    assert await let_in(shared, deed, "5/hour", 500) == 5
    assert await count(valkey, deed) == 6


async def test_without_redis_it_is_as_the_caller_decides(settings: Settings, deed: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody listens
        async with limiter(settings, f"redis://127.0.0.1:{held.getsockname()[1]}/0") as tried:
            with pytest.raises(Busy):
                await tried.hit(deed, "5/hour", SOMEBODY, fail_open=False)
            assert await let_in(tried, deed, "5/hour", 9, fail_open=True) == 5


async def test_one_that_does_not_answer_is_left_alone_for_a_while(
    settings: Settings, deed: str
) -> None:
    asked = 0

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with limiter(settings, f"redis://127.0.0.1:{port}/0") as tried:
            for n in range(50):
                await tried.hit(f"{deed} {n}", "5/hour", SOMEBODY, fail_open=True)
    assert 1 <= asked < 10


async def test_it_counts_together_again_when_redis_is_back(
    settings: Settings, deed: str, tmp_path: Path
) -> None:
    with embedded_valkey(tmp_path, "no") as server:
        url = server.url
        async with limiter(settings, url) as tried:
            assert await let_in(tried, deed, "5/hour", 2) == 2
    async with limiter(settings, url) as tried, limiter(settings, url) as other:
        with pytest.raises(Busy):
            await tried.hit(deed, "5/hour", SOMEBODY, fail_open=False)
        assert await let_in(tried, deed, "5/hour", 9, fail_open=True) == 5

        async def is_asked() -> bool:
            try:
                await tried.hit(f"another {deed}", "5/hour", SOMEBODY, fail_open=False)
            except Busy:
                return False
            return True

        with embedded_valkey(tmp_path, "no"):
            assert await let_in(other, deed, "5/hour", 9) == 3
            await until(is_asked)


async def test_names_that_come_and_go_do_not_fill_the_memory(
    settings: Settings, deed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MOST_BUCKETS", 100)
    async with limiter(settings) as tried:
        for n in range(300):
            await tried.hit(f"{deed} {n}", "5/hour", SOMEBODY, fail_open=False)
        assert len(tried._buckets) == 100
