"""A shop of ours beside the simulated YooKassa: settings, both apps, a worker, a buyer."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from integration.yookassa_fixtures import SECRET_KEY, SHOP_ID, Simulator, running
from zapisano.db import Database
from zapisano.jobs import Handlers, Runner
from zapisano.payments import (
    OrderId,
    PlanOrder,
    YooKassa,
    create_order,
    payments_handlers,
    start_payment,
)
from zapisano.payments import store as money
from zapisano.settings import Settings
from zapisano.tenancy import Provision, TenantId, provision

Witness = asyncpg.Connection
BUYER = 100200301
DECLINED_CARD = "5555555555554600"


@pytest.fixture(scope="module")
def shared_kassa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One simulated YooKassa for a module; it tells nobody, so that tests do."""
    with running(tmp_path_factory.mktemp("yookassa"), "") as started:
        yield started


@pytest.fixture
def kassa(shared_kassa: Simulator) -> Iterator[Simulator]:
    """The module's simulated YooKassa, with every knob back at rest after the test."""
    yield shared_kassa
    httpx.delete(f"{shared_kassa.url}/yookassa/control/faults").raise_for_status()


def shop_settings(base: Settings, kassa: Simulator, **values: object) -> Settings:
    """Settings of a shop at this YooKassa, with some of them changed."""
    ours: dict[str, object] = {
        "yookassa_shop_id": SHOP_ID,
        "yookassa_secret_key": SecretStr(SECRET_KEY),
        "yookassa_api_url": kassa.api,
        "yookassa_networks": (ip_network("127.0.0.0/8"),),
        "database_pool_size": 8,
    }
    return base.model_copy(update=ours | values)


@pytest.fixture
def settings(settings: Settings, kassa: Simulator) -> Settings:
    return shop_settings(settings, kassa)


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncGenerator[YooKassa]:
    client = YooKassa(settings)
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def provider(settings: Settings) -> AsyncGenerator[YooKassa]:
    async with client_of(settings) as client:
        yield client


def now() -> datetime:
    return datetime.now(UTC)


class Server(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[str]:
    """Serve an app on a free port of this machine; yield its address."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = Server(uvicorn.Config(app, log_config=None, proxy_headers=False))
        task = asyncio.create_task(server.serve(sockets=[listening]))
        await until(lambda: _is(server.started))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def _is(value: bool) -> bool:
    return value


@asynccontextmanager
async def working(
    database: Database, provider: YooKassa, settings: Settings
) -> AsyncGenerator[Runner]:
    """Run the jobs of payments and of provisioning."""
    handlers = Handlers()
    payments_handlers(handlers, database, provider, settings, now)

    async def on_provision(job: Provision) -> None:
        await provision(database, TenantId(job.tenant_id))

    handlers.on(Provision, on_provision)
    runner, ready = Runner(database, handlers, now), asyncio.Event()
    task = asyncio.create_task(runner.run(ready.set))
    await ready.wait()
    try:
        yield runner
    finally:
        runner.stop()
        await task


async def until(holds: Callable[[], Awaitable[Any]], *, seconds: float = 20) -> Any:
    """Ask again until the answer counts as true; a deadline, not a pause."""
    deadline = time.monotonic() + seconds
    while not (answer := await holds()):
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.02)
    return answer


@dataclass(frozen=True)
class Buyer:
    """A person with a shop to buy in."""

    database: Database
    settings: Settings
    provider: YooKassa
    kassa: Simulator

    async def orders(self, plan: str = "1m", **wanted: Any) -> PlanOrder:
        values: dict[str, Any] = {
            "buyer_id": BUYER,
            "language": "ru",
            "company_name": "Салон Ромашка",
        } | wanted
        async with self.database.shared() as conn:
            return await create_order(conn, self.settings, plan=plan, now=now(), **values)

    async def starts(self, order: PlanOrder) -> str:
        """Ask for the payment; return its id."""
        await start_payment(self.database, self.provider, order.id, now())
        return (await self.order(order.id)).payment_id or ""

    async def pays(self, plan: str = "1m", **wanted: Any) -> tuple[PlanOrder, str]:
        """Order, start and pay at YooKassa; nobody has told us yet."""
        order = await self.orders(plan, **wanted)
        payment_id = await self.starts(order)
        self.kassa.control("pay", {"payment_id": payment_id})
        return await self.order(order.id), payment_id

    async def order(self, order_id: OrderId) -> PlanOrder:
        async with self.database.shared() as conn:
            return await money.get_plan_order(conn, order_id)


@pytest.fixture
def buyer(database: Database, settings: Settings, provider: YooKassa, kassa: Simulator) -> Buyer:
    return Buyer(database, settings, provider, kassa)


async def queued(witness: Witness, kind: str) -> list[dict[str, Any]]:
    """The payloads of the waiting jobs of a kind."""
    rows = await witness.fetch(
        """SELECT convert_from(payload, 'UTF8')::jsonb::text FROM shared.pgqueuer
           WHERE entrypoint = $1 ORDER BY id""",
        kind,
    )
    return [json.loads(row[0]) for row in rows]


async def granted(witness: Witness) -> tuple[int, int, int]:
    """How many tenants, paid periods and "order paid" jobs there are."""
    row = await witness.fetchrow(
        """SELECT (SELECT count(*) FROM shared.tenants),
                  (SELECT count(*) FROM shared.day_grants),
                  (SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = 'payments.order_paid')"""
    )
    assert row is not None
    return row[0], row[1], row[2]


async def reasons(witness: Witness) -> list[str]:
    """Why payments are before a person."""
    rows = await witness.fetch("SELECT reason FROM shared.reviews WHERE closed_at IS NULL")
    return sorted(row[0] for row in rows)


@contextlib.asynccontextmanager
async def browsing(url: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        yield client


def sample(text: str, metric: str) -> float | None:
    """Read a metric as Prometheus does; None where it is not told."""
    lines = [line for line in text.splitlines() if line.startswith(metric + " ")]
    return float(lines[0].rpartition(" ")[2]) if lines else None
