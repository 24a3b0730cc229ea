"""Deductions over HTTP: 64 connections against one process, for each of the three servers."""

import asyncio
import json
import time
from typing import cast

from bench.deductions import METADATA, OPERATION, address
from bench.processes import listening
from zapisano.clock import utc_now
from zapisano.credits.sessions import seal

CONNECTIONS = 64
SECONDS = 4.0
SECRET = "a-secret-of-the-benchmark-0123456789"


class _Connection(asyncio.Protocol):
    """Sends one request after another; an answer is whole when its body is."""

    def __init__(self, request: bytes, done: asyncio.Event) -> None:
        self._request, self._done = request, done
        self._read = b""
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, _, body = self._read.partition(b"\r\n\r\n")
        if not _ or len(body) < _length(head):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server answers: {self._read.decode()}")
        self._read = b""
        self.answers += 1
        if self._done.is_set():
            self._transport.close()
        else:
            self._transport.write(self._request)


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return int(next(line[15:] for line in lines if line.startswith(b"content-length:")))


async def requests_a_second(which: str, dsn: str) -> float:
    """Ask one of the three servers to deduct from one account, as fast as it answers."""
    with listening("bench.apps", which, dsn, environment={"NEXTAUTH_SECRET": SECRET}) as port:
        await _load(port, 1.0)
        return await _load(port, SECONDS)


async def _load(port: int, seconds: float) -> float:
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    connections = [
        (await loop.create_connection(lambda: _Connection(_request(), done), "127.0.0.1", port))[1]
        for _ in range(CONNECTIONS)
    ]
    began, before = time.perf_counter(), sum(one.answers for one in connections)
    await asyncio.sleep(seconds)
    rate = (sum(one.answers for one in connections) - before) / (time.perf_counter() - began)
    done.set()
    await asyncio.sleep(0.2)
    return rate


def _request() -> bytes:
    body = json.dumps(
        {"amount": 0.01, "operation": OPERATION, "metadata": json.loads(METADATA)}
    ).encode()
    session = seal(address(1), SECRET, utc_now())
    head = (
        "POST /api/billing/deduct HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"Cookie: {session.cookie}={session.value}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
