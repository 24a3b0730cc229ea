"""What a bot remembers of a conversation, on a real Valkey."""

import asyncio
import secrets
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiogram.fsm.storage.base import StorageKey
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from zapisano.bots.storage import (
    MOST_WAITING,
    InTurn,
    PrefixedRedisStorage,
    RedisTurns,
    TenantKeyBuilder,
    create_memory,
    forget_keys,
    serving,
)
from zapisano.errors import Busy
from zapisano.settings import load

ROOT = Path(__file__).resolve().parents[2]
PERSON = StorageKey(bot_id=1, chat_id=100200302, user_id=100200302)


@pytest.fixture
async def redis(valkey_url: str) -> AsyncGenerator[Redis]:
    client = Redis.from_url(valkey_url, decode_responses=True)
    yield client
    await client.aclose()


@pytest.fixture
def tenant() -> str:
    """A tenant no other test of this server has."""
    return f"client_{secrets.randbelow(900_000_000) + 100_000_000}"


async def test_keys_are_the_documented_ones(redis: Redis, tenant: str) -> None:
    storage = PrefixedRedisStorage(redis=redis, key_prefix=f"{tenant}:")
    await storage.set_state(PERSON, "Book:day")
    await storage.set_data(PERSON, {"service": 1})
    keys = sorted(await redis.keys(f"{tenant}:*"))
    assert keys == [
        f"{tenant}:fsm:100200302:100200302:data",
        f"{tenant}:fsm:100200302:100200302:state",
    ]
    assert all([0 < await redis.ttl(key) <= 7 * 86400 for key in keys])


async def test_one_person_in_two_tenants_never_meets_themselves(redis: Redis, tenant: str) -> None:
    """Even when both bots had the same id and the chat is the person's own."""
    storage = PrefixedRedisStorage(redis)
    first, second = f"{tenant}:", f"{tenant}0:"
    with serving(first):
        await storage.set_state(PERSON, "first")
        await storage.set_data(PERSON, {"service": 1})
    with serving(second):
        assert await storage.get_state(PERSON) is None
        assert await storage.get_data(PERSON) == {}
        await storage.set_state(PERSON, "second")
    with serving(first):
        assert await storage.get_state(PERSON) == "first"


async def test_the_tenants_of_two_tasks_stay_apart(redis: Redis, tenant: str) -> None:
    storage = PrefixedRedisStorage(redis)

    async def talk(number: int) -> str | None:
        with serving(f"{tenant}{number}:"):
            await storage.set_state(PERSON, str(number))
            await asyncio.sleep(0)
            return await storage.get_state(PERSON)

    assert await asyncio.gather(*map(talk, range(20))) == [str(n) for n in range(20)]


async def test_a_key_that_belongs_to_no_tenant_is_refused(redis: Redis) -> None:
    with pytest.raises(LookupError):
        await PrefixedRedisStorage(redis).get_state(PERSON)


def test_on_a_cluster_a_tenants_keys_live_together() -> None:
    keys = TenantKeyBuilder("client_001:", cluster=True)
    assert keys.build(PERSON, "state") == "{client_001}:fsm:100200302:100200302:state"


async def test_a_cluster_client_makes_hash_tags() -> None:
    cluster = RedisCluster(host="127.0.0.1", port=1)
    storage = PrefixedRedisStorage(cluster, "client_001:")
    assert storage.key_builder.build(PERSON, "data").startswith("{client_001}:fsm:")


class Relay:
    """A way to Valkey that can be cut and mended."""

    def __init__(self, valkey_url: str) -> None:
        parts = urlsplit(valkey_url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._server: asyncio.Server | None = None
        self._talks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server:
            self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.current_task()
        assert talk is not None
        self._talks.add(talk)
        upstream, out = await asyncio.open_connection(*self._target)
        try:
            await asyncio.gather(self._pipe(reader, out), self._pipe(upstream, writer))
        except (asyncio.CancelledError, OSError):
            return  # the streams' own callback would report a cancelled talk as an error
        finally:
            writer.transport.abort()
            out.transport.abort()

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()


@pytest.fixture
async def relay(valkey_url: str) -> AsyncGenerator[Relay]:
    made = Relay(valkey_url)
    await made.mend()
    yield made
    await made.cut()


async def test_redis_that_is_down_is_busy_and_mends_itself(
    relay: Relay, valkey_url: str, tenant: str
) -> None:
    password = urlsplit(valkey_url).password
    # How often the client asks again by itself is its own affair, and takes seconds.
    through = Redis(
        host="127.0.0.1", port=relay.port, password=password, retry=Retry(NoBackoff(), 0)
    )
    storage = PrefixedRedisStorage(through, f"{tenant}:")
    turns = InTurn(storage.create_isolation())
    await storage.set_state(PERSON, "before")

    await relay.cut()
    with pytest.raises(Busy, match="Redis"):
        await storage.get_state(PERSON)
    with pytest.raises(Busy, match="Redis"):
        async with turns.lock(PERSON):
            pytest.fail("nobody may pass without the lock")

    await relay.mend()
    async with turns.lock(PERSON):
        assert await storage.get_state(PERSON) == "before"
    await through.aclose()


async def test_updates_of_a_person_are_handled_in_their_order(redis: Redis, tenant: str) -> None:
    storage = PrefixedRedisStorage(redis, f"{tenant}:")
    turns = InTurn(storage.create_isolation())
    seen: list[str] = []

    async def handle(number: int) -> None:
        async with turns.lock(PERSON):
            seen.append(f"start {number}")
            await asyncio.sleep(0.001)
            seen.append(f"end {number}")

    people = range(1 + MOST_WAITING)
    await asyncio.gather(*map(handle, people))
    assert seen == [f"{word} {n}" for n in people for word in ("start", "end")]


async def test_a_person_who_hurries_leaves_room_for_others() -> None:
    """Each who waits holds one of the worker's places: beyond a few the job comes again later."""
    turns, other = InTurn(), replace(PERSON, user_id=PERSON.user_id + 1)
    slow, handled = asyncio.Event(), 0

    async def handle(person: StorageKey) -> None:
        nonlocal handled
        async with turns.lock(person):
            await slow.wait()
            handled += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(1 + MOST_WAITING):
            tasks.create_task(handle(PERSON))
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="Earlier updates"):
            await handle(PERSON)
        async with turns.lock(other):
            slow.set()
    assert handled == 1 + MOST_WAITING
    await handle(PERSON)


async def test_another_process_waits_for_its_turn_but_not_for_ever(
    redis: Redis, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zapisano.bots.storage.WAIT_FOR_TURN_SECONDS", 0.1)
    storage = PrefixedRedisStorage(redis, f"{tenant}:")
    here, there = RedisTurns(redis, storage.key_builder), RedisTurns(redis, storage.key_builder)
    async with here.lock(PERSON):
        with pytest.raises(Busy, match="earlier update"):
            async with there.lock(PERSON):
                pytest.fail("two at a time")
    async with there.lock(PERSON):
        assert await redis.ttl(f"{tenant}:fsm:100200302:100200302:lock") > 0


async def test_a_long_handler_keeps_its_turn(
    redis: Redis, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zapisano.bots.storage.LOCK_SECONDS", 0.3)
    storage = PrefixedRedisStorage(redis, f"{tenant}:")
    key = f"{tenant}:fsm:100200302:100200302:lock"
    async with storage.create_isolation().lock(PERSON):
        owner = await redis.get(key)
        async with asyncio.timeout(2):
            last = await redis.pttl(key)
            while (left := await redis.pttl(key)) <= last:  # it grows only when it is renewed
                last = left
        assert await redis.get(key) == owner
    assert await redis.get(key) is None


async def test_without_redis_there_is_memory_and_a_warning(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("REDIS_URL", "REDIS_HOST"):
        monkeypatch.delenv(name, raising=False)
    memory = create_memory(load())
    await memory.storage.set_state(PERSON, "here")
    async with memory.isolation.lock(PERSON):
        assert await memory.storage.get_state(PERSON) == "here"
    assert "conversations_are_kept_in_memory" in caplog.text + capsys.readouterr().out


GUIDE = """
import os
from aiogram import Dispatcher
from aiogram.fsm.storage.memory import MemoryStorage
from redis.asyncio import Redis
REDIS_ENABLED, REDIS_HOST, REDIS_PORT, REDIS_PASSWORD = True, "127.0.0.1", 1, None

from middlewares.redis_storage_with_prefix import PrefixedRedisStorage

# Получить CLIENT_ID из .env
CLIENT_ID = os.getenv("CLIENT_ID", "default")
REDIS_KEY_PREFIX = f"{CLIENT_ID}:"

# Создать storage с префиксом
if REDIS_ENABLED:
    redis_client = Redis(
        host=REDIS_HOST,
        port=REDIS_PORT,
        db=0,  # ✅ Все клиенты используют DB 0
        password=REDIS_PASSWORD
    )

    storage = PrefixedRedisStorage(
        redis=redis_client,
        key_prefix=REDIS_KEY_PREFIX  # ✅ Изоляция
    )
else:
    storage = MemoryStorage()

dp = Dispatcher(storage=storage)
"""


def test_the_guides_snippet_works_as_printed() -> None:
    check = textwrap.dedent(
        """
        from aiogram.fsm.storage.base import StorageKey
        print(storage.key_builder.build(StorageKey(1, 2, 3), "state"))
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GUIDE + check],
        cwd=ROOT,
        env={"CLIENT_ID": "client_007", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("client_007:fsm:2:3:state\n", "")


@pytest.mark.skipif(not (ROOT / ".venv").exists(), reason="no .venv beside the sources")
def test_the_door_opens_for_any_python() -> None:
    python = Path(sys.base_prefix) / "bin" / "python3"
    done = subprocess.run(
        [str(python), "middlewares/redis_storage_with_prefix.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "PrefixedRedisStorage" in done.stdout, done.stderr


async def test_an_archived_tenants_keys_are_forgotten_and_nobody_elses(
    redis: Redis, valkey_url: str, tenant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", valkey_url)
    other = tenant[:-1] + str((int(tenant[-1]) + 1) % 10)
    await redis.mset({f"{tenant}:fsm:{n}": "x" for n in range(2_500)})
    await redis.mset({f"{other}:fsm:1": "x", f"x{tenant}:1": "x"})
    assert await forget_keys(load(), tenant) == 2_500
    assert await redis.keys(f"{tenant}:*") == []
    assert await redis.exists(f"{other}:fsm:1", f"x{tenant}:1") == 2
    assert await forget_keys(load(), tenant) == 0
