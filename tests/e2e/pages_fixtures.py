"""The pages as people meet them: the real simulator process, and a product that can go away."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

READY_SECONDS = 30.0
TOKEN = "a-token-only-the-simulator-knows"
SALES_BOT_TOKEN = "7000000001:AAsimulated-sales-bot-token-0123456"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running_simulator(folder: Path, port: int = 0, **settings: str) -> Generator[str]:
    """Run `python -m zapisano.simulator` until it says it is ready; give its address."""
    port = port or free_port()
    with (
        tempfile.TemporaryDirectory() as sockets,  # the address of a Unix socket must be short
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready,
    ):
        ready.bind(f"{sockets}/ready")
        ready.settimeout(READY_SECONDS)
        environment = {
            **os.environ,
            "SIMULATOR_PORT": str(port),
            "SIMULATOR_DIR": str(folder),
            "SIMULATOR_SALES_BOT_TOKEN": SALES_BOT_TOKEN,
            "NOTIFY_SOCKET": f"{sockets}/ready",
            **{f"SIMULATOR_{name}": value for name, value in settings.items()},
        }
        process = subprocess.Popen([sys.executable, "-m", "zapisano.simulator"], env=environment)
        try:
            ready.recv(64)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(READY_SECONDS)


class ProductServer(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@dataclass
class Product:
    """Stands where the product's event stream stands: keeps events, follows with new ones."""

    port: int = field(default_factory=free_port)
    events: list[dict[str, Any]] = field(default_factory=list)
    journal: str = field(default_factory=lambda: uuid4().hex)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/events"

    async def tell(self, *events: dict[str, Any]) -> None:
        async with self.changed:
            self.events.extend(events)
            self.changed.notify_all()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        server = ProductServer(
            uvicorn.Config(
                self._app(), port=self.port, log_level="critical", timeout_graceful_shutdown=0
            )
        )
        task = asyncio.create_task(server.serve())
        await asyncio.wait_for(server.ready.wait(), READY_SECONDS)
        try:
            yield
        finally:
            server.should_exit = True
            await task

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/api/events")
        async def follow(request: Request, after: int) -> Response:
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                return JSONResponse({"title": "Unauthorized"}, status_code=401)
            self.asked.append((str(after), request.headers.get("last-event-id")))
            return StreamingResponse(
                self._stream(after),
                media_type="text/event-stream",
                headers={"Journal": self.journal},
            )

        return app

    async def _stream(self, after: int) -> AsyncGenerator[str]:
        sent = after
        while True:
            for event in [one for one in self.events if one["id"] > sent]:
                sent = event["id"]
                yield f"id: {sent}\ndata: {json.dumps(event)}\n\n"
            async with self.changed:
                if not any(one["id"] > sent for one in self.events):
                    await self.changed.wait()


def sale(
    tenant: str = "client_001", first: int = 1, at: str = "2026-11-22T15:00:00Z"
) -> Sequence[dict[str, Any]]:
    """The events of one sale up to the tenant's bot, in the order the product commits them."""
    order, payment = f"order-{first}", f"payment-{first}"
    money = {"order_id": order, "payment_id": payment, "amount": "299.00"}
    told: list[tuple[str, str | None, str, dict[str, Any]]] = [
        ("order.created", None, order, {"plan": "1m", "amount": "299.00"}),
        ("payment.created", None, payment, money),
        (
            "notification.received",
            None,
            payment,
            {"event": "payment.succeeded", "payment_id": payment},
        ),
        ("tenant.provisioning", tenant, tenant, {"tenant_id": tenant}),
        (
            "subscription.extended",
            tenant,
            tenant,
            {"payment_id": payment, "paid_until": "2026-12-22T15:00:00Z"},
        ),
        ("payment.settled", tenant, payment, money),
        ("tenant.schema_created", tenant, tenant, {"took_ms": 18}),
        ("tenant.awaiting_bot", tenant, tenant, {}),
    ]
    return [
        {
            "id": first + index,
            "at": at,
            "kind": kind,
            "tenant": of,
            "subject": subject,
            "data": data,
        }
        for index, (kind, of, subject, data) in enumerate(told)
    ]
