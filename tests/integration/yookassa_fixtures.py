"""The simulated YooKassa as a real process on a free port, and a small shop that listens to it."""

import contextlib
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

SHOP_ID = "100500"
SECRET_KEY = "test_simulator"
DEADLINE_SECONDS = 20.0
Json = dict[str, Any]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(found: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """Ask again until there is an answer that counts as true; a deadline, not a pause."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        threading.Event().wait(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Listener:
    """A shop's webhook: keeps what it is told and answers as the test says."""

    def __init__(self) -> None:
        self.messages: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self.answers: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                listener.messages.put(json.loads(self.rfile.read(length)))
                self.send_response(listener.answers.pop(0) if listener.answers else 200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
                """Say nothing: the test reports what matters."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/webhook/yookassa"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> "Listener":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self, seconds: float = DEADLINE_SECONDS) -> Json:
        return self.messages.get(timeout=seconds)

    def silent(self) -> bool:
        return self.messages.empty()


@dataclass
class Simulator:
    """A running simulator; `kill` and `start` show what it remembers."""

    folder: Path
    notify_url: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.url}/v3"

    def start(self) -> None:
        environment = os.environ | {
            "SIMULATOR_PORT": str(self.port),
            "SIMULATOR_DIR": str(self.folder),
            "SIMULATOR_YOOKASSA_SHOP_ID": SHOP_ID,
            "SIMULATOR_YOOKASSA_SECRET_KEY": SECRET_KEY,
            "SIMULATOR_YOOKASSA_NOTIFY_URL": self.notify_url,
        }
        command = [sys.executable, "-m", "zapisano.simulator"]
        self.process = subprocess.Popen(command, env=environment)
        until(self._answers, "the simulator answers")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the simulator ended"
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/yookassa/control/clock").status_code == 200
        return False

    def stop(self) -> None:
        """End it politely; a simulator that does not end is a failure, and is not left behind."""
        assert self.process is not None
        self.process.terminate()
        try:
            assert self.process.wait(10) in (0, -15)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def post(self, path: str, body: Json, key: str | None = None) -> httpx.Response:
        """Ask the API as the shop."""
        return httpx.post(
            f"{self.api}{path}",
            json=body,
            auth=(SHOP_ID, SECRET_KEY),
            headers={"Idempotence-Key": key} if key else {},
            timeout=DEADLINE_SECONDS,
        )

    def get(self, path: str, **query: str) -> httpx.Response:
        """Read from the API as the shop."""
        return httpx.get(f"{self.api}{path}", params=query, auth=(SHOP_ID, SECRET_KEY))

    def control(self, knob: str, body: Json) -> Json:
        answer = httpx.post(f"{self.url}/yookassa/control/{knob}", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, kind: str, **options: Any) -> None:
        self.control("faults", {"faults": [{"kind": kind, **options}]})

    def log(self) -> Json:
        return httpx.get(f"{self.url}/yookassa/control/log").json()

    def payments(self) -> list[Json]:
        return httpx.get(f"{self.url}/yookassa/control/payments").json()["items"]


@contextlib.contextmanager
def running(folder: Path, notify_url: str) -> Generator[Simulator]:
    simulator = Simulator(folder, notify_url)
    try:
        simulator.start()
        yield simulator
    finally:
        if simulator.process is not None and simulator.process.poll() is None:
            simulator.stop()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as heard:
        yield heard


@pytest.fixture
def simulator(tmp_path: Path, listener: Listener) -> Iterator[Simulator]:
    with running(tmp_path / "simulator", listener.url) as started:
        yield started


def order(**changes: Any) -> Json:
    """The body of an ordinary payment."""
    return {
        "amount": {"value": "299.00", "currency": "RUB"},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": "https://shop.example/thanks"},
        "description": "Записано: 1 месяц",
        "metadata": {"order_id": "42"},
    } | changes
