"""Acknowledgements of notifications a second, and the time from one to a tenant that is ready."""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median, quantiles
from typing import cast

import httpx
from pydantic import SecretStr

from bench.figures import Figure
from bench.processes import listening
from zapisano.db import Database
from zapisano.jobs import Runner
from zapisano.payments import create_order
from zapisano.payments import store as orders
from zapisano.settings import Settings
from zapisano.worker import handlers_of, open_parts, prepare

CONNECTIONS = 32
SECONDS, ROUNDS = 3.0, 3
DUPLICATES = 0.3
SHOP, OWNER = "100500", 100200300
ALONE, TOGETHER, A_SECOND = 20, 200, 20.0
PATIENCE_SECONDS = 120.0
BOT = "7000000001:AAbenchmark-sales-bot-token-01234567"


@dataclass
class _Till:
    """What one of the two servers has acknowledged, over all rounds."""

    rates: list[float]
    latencies: list[float]


async def acknowledgements(settings: Settings) -> list[Figure]:
    """Send notifications to both servers in turn, 30 % of them for the second time."""
    draw = random.Random(1)
    tills = {"bare": _Till([], []), "ours": _Till([], [])}
    with _till("bare", settings) as bare, _till("ours", settings) as us:
        for number in range(ROUNDS + 1):
            for which, port in (("bare", bare), ("ours", us)):
                rate, latencies = await _load(port, draw)
                if number > 0:  # the first round warms up
                    tills[which].rates.append(rate)
                    tills[which].latencies += latencies
    ours, bare_till = tills["ours"], tills["bare"]
    return [
        _figure("notifications acknowledged a second", "{:,.0f}/s", ours.rates, bare_till.rates),
        Figure(
            "the same, p99",
            f"{_p99(ours.latencies) * 1000:.1f} ms",
            f"{_p99(bare_till.latencies) * 1000:.1f} ms of a bare handler",
            _p99(ours.latencies) / _p99(bare_till.latencies),
        ),
    ]


def _till(which: str, settings: Settings) -> AbstractContextManager[int]:
    return listening(
        "bench.tills",
        which,
        environment={
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
            "YOOKASSA_NETWORKS": "127.0.0.0/8",
        },
    )


def _figure(what: str, form: str, ours: Sequence[float], bare: Sequence[float]) -> Figure:
    mine, theirs = median(ours), median(bare)
    return Figure(
        what, form.format(mine), form.format(theirs) + " of a bare handler", mine / theirs
    )


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100)[98]


class _Sender(asyncio.Protocol):
    """Sends one notification after another, some of them twice, and times each answer."""

    def __init__(self, seed: float, till: list[float]) -> None:
        self._draw, self._till = random.Random(seed), till
        self._before = ""
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        repeats = self._before and self._draw.random() < DUPLICATES
        object_id = self._before if repeats else f"{self._draw.getrandbits(64):016x}"
        self._before, self._began = object_id, time.perf_counter()
        self._transport.write(_request(object_id))

    def data_received(self, data: bytes) -> None:
        self._read += data
        if not self._read.endswith(b"}"):
            return
        if not self._read.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server answers: {self._read.decode()}")
        self._till.append(time.perf_counter() - self._began)
        self._read = b""
        if not self._transport.is_closing():
            self._send()

    def stop(self) -> None:
        self._transport.close()


async def _load(port: int, draw: random.Random) -> tuple[float, list[float]]:
    """Send as fast as it answers; return acknowledgements a second, and seconds of each."""
    loop, latencies = asyncio.get_running_loop(), list[float]()
    began = time.perf_counter()
    senders = [
        (
            await loop.create_connection(
                lambda: _Sender(draw.random(), latencies), "127.0.0.1", port
            )
        )[1]
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(SECONDS)
    rate, told = len(latencies) / (time.perf_counter() - began), list(latencies)
    for sender in senders:
        sender.stop()
    await asyncio.sleep(0.2)
    return rate, told


def _request(object_id: str) -> bytes:
    body = _notice(object_id)
    head = (
        "POST /webhook/yookassa HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _notice(object_id: str) -> bytes:
    thing = {
        "id": object_id,
        "status": "succeeded",
        "paid": True,
        "amount": {"value": "299.00", "currency": "RUB"},
        "metadata": {"order_id": object_id, "plan": "1m"},
    }
    return json.dumps(
        {"type": "notification", "event": "payment.succeeded", "object": thing}
    ).encode()


# --- from a notification to a tenant that is ready ---


async def readiness(settings: Settings) -> list[Figure]:
    """Let one worker process handle payments: one at a time, then 20 a second."""
    with listening("bench.telegram") as telegram, listening("bench.kassa", SHOP) as kassa:
        base = f"http://127.0.0.1:{telegram}"
        ours = settings.model_copy(
            update={
                "telegram_api_base": base,
                "webhook_url": base,
                "sales_bot_token": SecretStr(BOT),
                "yookassa_api_url": f"http://127.0.0.1:{kassa}/v3",
                "yookassa_shop_id": SHOP,
                "yookassa_secret_key": SecretStr("test_bench"),
            }
        )
        async with open_parts(ours, lambda: datetime.now(UTC)) as parts:
            await prepare(parts)
            runner, ready = Runner(parts.database, handlers_of(parts), parts.now), asyncio.Event()
            running = asyncio.create_task(runner.run(ready.set))
            await ready.wait()
            with _till("ours", settings) as till:
                await _paid(parts.database, ours, till, ALONE, gap_seconds=None)  # warms up
                alone = await _paid(parts.database, ours, till, ALONE, gap_seconds=None)
                busy = await _paid(parts.database, ours, till, TOGETHER, gap_seconds=1 / A_SECOND)
            runner.stop()
            await running
    return [
        Figure(
            f"notification to tenant ready at {A_SECOND:.0f} payments/s, {name}",
            f"{of(busy) * 1000:,.0f} ms",
            f"{of(alone) * 1000:,.0f} ms with one at a time",
            of(busy) / of(alone),
        )
        for name, of in (("p50", median), ("p99", _p99))
    ]


async def _paid(
    database: Database, settings: Settings, till: int, count: int, *, gap_seconds: float | None
) -> list[float]:
    """Pay `count` orders of new bots, so far apart; return how long each took to be ready."""
    made = await _orders(database, settings, count)
    async with httpx.AsyncClient(trust_env=False) as client:
        for payment in made:
            answer = await client.post(
                f"http://127.0.0.1:{till}/webhook/yookassa", content=_notice(payment)
            )
            answer.raise_for_status()
            if gap_seconds is None:
                await _ready(database, [payment])
            else:
                await asyncio.sleep(gap_seconds)
    return await _ready(database, made)


async def _orders(database: Database, settings: Settings, count: int) -> list[str]:
    """Orders on YooKassa's page; return their payments' ids."""
    now, payments = datetime.now(UTC), list[str]()
    async with database.shared() as conn:
        for number in range(count):
            order = await create_order(
                conn,
                settings,
                buyer_id=OWNER,
                language="ru",
                company_name=f"Салон {number}",
                plan="1m",
                now=now,
            )
            payments.append(f"{order.id}_{order.amount * 100:.0f}")
            await orders.mark_requested(conn, order.id, now)
            await orders.set_payment(conn, order.id, payments[-1], "https://example.com")
    return payments


async def _ready(database: Database, payments: Sequence[str]) -> list[float]:
    """Wait until all their tenants await their bots; return seconds since each notification."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        async with database.shared() as conn:
            rows = await conn.fetch(
                """SELECT extract(epoch FROM j.at - n.received_at)::float8 AS seconds
                   FROM shared.notifications AS n
                   JOIN shared.orders AS o ON o.payment_id = n.object_id
                   JOIN shared.journal AS j
                       ON j.tenant = o.tenant_id AND j.kind = 'tenant.awaiting_bot'
                   WHERE n.object_id = ANY($1::text[])""",
                list(payments),
            )
        if len(rows) == len(payments):
            return [row["seconds"] for row in rows]
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(rows)} of {len(payments)} tenants are ready")
        await asyncio.sleep(0.02)
