"""Few connections for many tenants.

A PostgreSQL connection keeps about 100 KB for every tenant it has ever touched and gives it back
only when it is closed. So connections are few, a tenant prefers a connection that already knows
it (soft affinity: if that one is busy, another serves), and a connection that has met
`tenants_per_connection` tenants is closed after its transaction.

Where a platform freezes the process between requests, the server may have hung up meanwhile and
nobody was awake to see it. So a connection on which something has come unasked, or that has been
idle for long (a firewall that forgets a connection tells nobody), is asked whether it still stands
before it is lent.
"""

import asyncio
import select
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
from pydantic_core import from_json, to_json

from zapisano.db.connection import CONNECTION_LOST, RawConnection
from zapisano.errors import BrokenSetting, Busy

ACQUIRE_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 10.0
# One who holds a lock for long must not hold everybody else's connections with it.
LOCK_TIMEOUT = "10s"
# No tenant bound, no tenant's table found: such a mistake must fail loudly. What is acknowledged is
# on the disk, whatever somebody has made the default of the server, the database or the login.
SESSION = {
    "search_path": "pg_catalog",
    "timezone": "UTC",
    "jit": "off",
    "synchronous_commit": "on",
}
# For so long a connection is believed to stand: half of the shortest after which Neon sleeps.
TRUSTED_SECONDS = 30.0
PROBE_TIMEOUT_SECONDS = 5.0
# The driver takes what it does not know in an address for a setting of the server's. Neon writes
# this one into every address that it shows; it speaks of the login, where the driver has no such.
NOT_THE_DRIVERS = {"channel_binding"}
SCHEMES = {"postgresql", "postgres"}


@dataclass(eq=False)
class Slot:
    """A place for one connection, the tenants it has met, and when it was given back.

    `used_at` is the clock on the wall, in seconds: others stand still while a machine sleeps.
    `farewell` tells whether the server has said something unasked.
    """

    raw: RawConnection | None = None
    met: set[str] = field(default_factory=set[str])
    used_at: float = 0.0
    farewell: select.poll = field(default_factory=select.poll)


async def connect(
    dsn: str,
    *,
    statement_cache: int = 256,
    application: str = "zapisano",
    lock_timeout: str = "0",
) -> RawConnection:
    """Open one connection with our session defaults; `lock_timeout` 0 waits for ever.

    Raises:
        Busy: the server cannot be reached or refuses the login.
        BrokenSetting: the address cannot be read.
    """
    check_address("DATABASE_URL", dsn)
    with explained():
        return await asyncpg.connect(
            for_driver(dsn),
            timeout=CONNECT_TIMEOUT_SECONDS,
            statement_cache_size=statement_cache,
            server_settings={
                **SESSION,
                "application_name": application,
                "lock_timeout": lock_timeout,
            },
        )


@contextmanager
def explained() -> Generator[None]:
    """Say in a person's words why a connection could not be opened."""
    try:
        yield
    except (asyncpg.ClientConfigurationError, ValueError):
        raise _unreadable("DATABASE_URL") from None  # the cause repeats parts of the password
    except (
        asyncpg.InvalidAuthorizationSpecificationError,
        asyncpg.InvalidCatalogNameError,
        asyncpg.ObjectNotInPrerequisiteStateError,  # ALLOW_CONNECTIONS false: maintenance
    ) as e:
        raise Busy(f"The database refuses the login: {e}.") from e
    except asyncpg.ProtocolViolationError as e:
        raise Busy(
            f"What answers at the database's address refuses us: {e}. If it is a connection "
            "pooler, name PostgreSQL's own address instead."
        ) from e
    except (*CONNECTION_LOST, TimeoutError) as e:
        raise Busy(f"The database of DATABASE_URL is not answering ({type(e).__name__}).") from e


def _unreadable(setting: str) -> BrokenSetting:
    return BrokenSetting(
        f"{setting}: cannot be read; write postgresql://user:password@host:5432/database, and "
        "signs in the password as in an address (@ is %40, # is %23)"
    )


def check_address(setting: str, dsn: str) -> None:
    """Refuse an address that the driver could not read, before anybody waits for it.

    Raises:
        BrokenSetting: it is no PostgreSQL's, or a port in it is no number. What stands there may be
            a part of the password, so it is not repeated.
    """
    if not _is_readable(dsn):
        raise _unreadable(setting)


def _is_readable(dsn: str) -> bool:
    try:
        parts = urlsplit(for_driver(dsn))
        ports = (
            host.rpartition("]")[2].partition(":")[2]
            for host in parts.netloc.rpartition("@")[2].split(",")
        )
        # Of two @ the driver takes the first, and the rest of the password for the host.
        is_one = parts.netloc.count("@") <= 1 and parts.scheme in SCHEMES
        return is_one and all(not port or port.isdecimal() for port in ports)
    except ValueError:
        return False


def for_driver(dsn: str) -> str:
    """Leave out of an address what only other drivers understand."""
    parts = urlsplit(dsn)
    asked = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(name, value) for name, value in asked if name not in NOT_THE_DRIVERS]
    return dsn if kept == asked else parts._replace(query=urlencode(kept)).geturl()


async def speak_json(raw: RawConnection) -> RawConnection:
    """Make jsonb Python values on this connection, both ways."""
    await raw.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_to_jsonb, decoder=_from_jsonb
    )
    return raw


JSONB_VERSION = b"\x01"


def _to_jsonb(value: object) -> bytes:
    return JSONB_VERSION + to_json(value)


def _from_jsonb(data: bytes) -> object:
    return from_json(data[1:])


class Pool:
    """Connections handed out first come, first served, with a liking for known tenants."""

    def __init__(self, dsn: str, *, size: int, tenants_per_connection: int, statement_cache: int):
        """Prepare `size` places; connections are opened when first needed."""
        self._dsn = dsn
        self._limit = tenants_per_connection
        self._statement_cache = statement_cache
        self._idle = [Slot() for _ in range(size)]
        self._free = asyncio.Semaphore(size)
        self._closed = False

    @asynccontextmanager
    async def acquire(self, tenant: str = "") -> AsyncGenerator[RawConnection]:
        """Lend a connection, one that has met `tenant` if such a one is idle.

        Raises:
            Busy: none became free in time, or the server is not answering.
        """
        slot = await self._take(tenant)
        try:
            if slot.raw is None or not (_is_trusted(slot) or await _answers(slot.raw)):
                slot.met.clear()
                slot.raw = await speak_json(
                    await connect(
                        self._dsn,
                        statement_cache=self._statement_cache,
                        lock_timeout=LOCK_TIMEOUT,
                    )
                )
                slot.farewell = _listens(slot.raw)
            if tenant:
                slot.met.add(tenant)
            yield slot.raw
        finally:
            await self._give_back(slot)

    async def _take(self, tenant: str) -> Slot:
        if not self._free.locked():
            await self._free.acquire()  # at once, so without a timer
        else:
            try:
                async with asyncio.timeout(ACQUIRE_TIMEOUT_SECONDS):
                    await self._free.acquire()
            except TimeoutError as error:
                raise Busy("Every database connection is in use.") from error
        slot = self._choose(tenant)
        self._idle.remove(slot)
        return slot

    def _choose(self, tenant: str) -> Slot:
        """Prefer a connection that knows the tenant, else the one that knows fewest."""
        if not tenant:
            for slot in reversed(self._idle):  # the last one used is the warmest
                if slot.raw is not None and not slot.met:
                    return slot
            return max(self._idle, key=lambda slot: (slot.raw is not None, -len(slot.met)))
        for slot in self._idle:
            if tenant in slot.met:
                return slot
        return min(self._idle, key=lambda slot: len(slot.met))

    async def _give_back(self, slot: Slot) -> None:
        slot.used_at = time.time()
        try:
            if slot.raw and (self._closed or _is_used_up(slot, self._limit)):
                raw, slot.raw = slot.raw, None
                slot.met.clear()
                await asyncio.shield(_close(raw))
        finally:
            self._idle.append(slot)
            self._free.release()

    async def close(self) -> None:
        """Close idle connections now, lent ones when they come back."""
        self._closed = True
        for slot in self._idle:
            if slot.raw:
                await _close(slot.raw)
                slot.raw = None


def _is_trusted(slot: Slot) -> bool:
    """Say whether a connection can be used; one that gives reason to doubt it is asked."""
    raw = slot.raw
    if raw is None or raw.is_closed() or not 0 <= time.time() - slot.used_at < TRUSTED_SECONDS:
        return False
    # On an idle connection nothing waits to be read but a farewell.
    return not slot.farewell.poll(0)


async def _answers(raw: RawConnection) -> bool:
    """Ask a connection of which nobody knows whether it stands."""
    if raw.is_closed():
        return False
    try:
        await raw.execute("SELECT 1", timeout=PROBE_TIMEOUT_SECONDS)
    except (*CONNECTION_LOST, TimeoutError):
        raw.terminate()
        return False
    return True


def _listens(raw: RawConnection) -> select.poll:
    """Return what tells whether something waits to be read."""
    transport = raw._transport  # noqa: SLF001 # the driver shows it nowhere
    poll = select.poll()
    poll.register(transport.get_extra_info("socket"), select.POLLIN)
    return poll


def _is_used_up(slot: Slot, limit: int) -> bool:
    """Say whether a connection has met enough tenants, or was left inside a transaction."""
    assert slot.raw is not None  # noqa: S101 # asked only of open ones
    return len(slot.met) >= limit or (not slot.raw.is_closed() and slot.raw.is_in_transaction())


async def _close(raw: RawConnection) -> None:
    try:
        await raw.close(timeout=5)
    except (*CONNECTION_LOST, TimeoutError):
        raw.terminate()
