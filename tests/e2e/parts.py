"""The product taken apart: servers, simulators, `serve` and `worker`, each ours to pause or kill.

`Product` (product.py) is `zapisano demo` as a whole. Tests that kill one process many times start
the others once and only that one anew.
"""

import asyncio
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx
from people import Chat, Json, Person, until
from product import KEPT, free_ports, in_thread

from own_settings import SECRET_KEY, settings_for
from shared_servers import Servers
from zapisano.db import Database, open_database
from zapisano.payments import create_order
from zapisano.settings import Settings
from zapisano.stack import child

SALES_BOT_TOKEN = "7000000001:AAsimulated-sales-bot-token-0123456"
SALES_BOT = 7000000001
SHOP_ID, SHOP_KEY = "100500", "test_simulator"
MASTER_TOKEN = "master-token-of-the-test-suite-01234567"
START_SECONDS = STOP_SECONDS = 60.0
Result = TypeVar("Result")
UNLIMITED = {"per_second": 1_000_000, "burst": 1_000_000}


@dataclass
class Part:
    """One process; `log` is what it writes, one JSON object a line where it is the product."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        with (
            tempfile.TemporaryDirectory() as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
            self.log.open("ab") as output,
        ):
            listener.bind(f"{folder}/ready")
            listener.settimeout(START_SECONDS)
            command = child.command(
                (sys.executable, "-P", "-m", *self.argv), death_signal=signal.SIGKILL
            )
            self.process = subprocess.Popen(
                command,
                env={**self.env, "NOTIFY_SOCKET": f"{folder}/ready"},
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                assert listener.recv(64) == b"READY=1"
            except TimeoutError:
                raise AssertionError(f"{self.name} is not ready: {self.text()[-3000:]}") from None

    @property
    def lives(self) -> bool:
        """Does it run?"""
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL: it does nothing more."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, as a supervisor does; a process that does not is a failure."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(STOP_SECONDS)
            self.process = None

    def text(self) -> str:
        """Everything it has written."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def lines(self, **wanted: object) -> list[Json]:
        """Its log lines that have these values."""
        every = (line for line in self.text().splitlines() if line.startswith("{"))
        parsed: list[Json] = [json.loads(line) for line in every]
        return [one for one in parsed if wanted.items() <= one.items()]


class Witness:
    """A connection of the owner's that stays open, for tests that look often."""

    def __init__(self, dsn: str) -> None:
        """Connect when first asked; the loop is run by whoever asks, one at a time."""
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = ThreadPoolExecutor(1)
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def rows(self, statement: str, *values: object) -> list[Json]:
        """What a SELECT brings."""
        return self._run(self._rows(statement, values))

    async def _rows(self, statement: str, values: tuple[object, ...]) -> list[Json]:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn)
        return [dict(row) for row in await self._connection.fetch(statement, *values)]

    def close(self) -> None:
        """Log out."""
        if self._connection:
            self._run(self._connection.close())
        self._thread.shutdown()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._thread.submit(self._loop.run_until_complete, work).result()


@dataclass
class House:
    """A database, the simulated world and `serve`, running; workers are started by the test."""

    root: Path
    owner_dsn: str
    redis_url: str
    extra: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.api_port, self.webhook_port, self.simulator_port = free_ports(3)
        self.api_url = f"http://127.0.0.1:{self.api_port}"
        self.webhook_url = f"http://127.0.0.1:{self.webhook_port}"
        self.simulator_url = f"http://127.0.0.1:{self.simulator_port}"
        self.http = httpx.Client(timeout=30, trust_env=False)
        self.world = httpx.Client(base_url=self.simulator_url, timeout=30, trust_env=False)
        self.simulator = Part(
            "simulator", ("zapisano.simulator",), self._simulator_env(), self.root / "simulator.log"
        )
        self.serve = self.part("serve")
        self.witness = Witness(self.owner_dsn)
        self.workers = 0

    def part(self, name: str, **changes: str) -> Part:
        """One more process of the product; its log is its own."""
        log = self.root / f"{name}.log"
        return Part(name, ("zapisano", name), {**self.environment(), **changes}, log)

    def new_worker(self, **changes: str) -> Part:
        """A worker with a log of its own, not started."""
        self.workers += 1
        part = self.part("worker", **changes)
        part.log = self.root / f"worker-{self.workers}.log"
        return part

    def environment(self) -> dict[str, str]:
        """The settings of every process of the product."""
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {
            **kept,
            "DATABASE_URL": self.owner_dsn,
            "REDIS_URL": self.redis_url,
            "ZAPISANO_SECRET_KEY": SECRET_KEY,
            "ZAPISANO_DATA_DIR": str(self.root / "data"),
            "ZAPISANO_API_PORT": str(self.api_port),
            "ZAPISANO_WEBHOOK_PORT": str(self.webhook_port),
            "ZAPISANO_LOG_JSON": "true",
            "MASTER_API_TOKEN": MASTER_TOKEN,
            "WEBHOOK_URL": self.api_url,
            "ZAPISANO_PUBLIC_URL": self.api_url,
            "TELEGRAM_API_BASE": self.simulator_url,
            "SALES_BOT_TOKEN": SALES_BOT_TOKEN,
            "YOOKASSA_API_URL": f"{self.simulator_url}/v3",
            "YOOKASSA_SHOP_ID": SHOP_ID,
            "YOOKASSA_SECRET_KEY": SHOP_KEY,
            "YOOKASSA_NETWORKS": "127.0.0.0/8",
            "YOOKASSA_TEST": "true",
            **self.extra,
        }

    def _simulator_env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        return {
            **kept,
            "SIMULATOR_PORT": str(self.simulator_port),
            "SIMULATOR_DIR": str(self.root / "simulator"),
            "SIMULATOR_PUBLIC_URL": self.simulator_url,
            "SIMULATOR_SALES_BOT_TOKEN": SALES_BOT_TOKEN,
            "SIMULATOR_YOOKASSA_SHOP_ID": SHOP_ID,
            "SIMULATOR_YOOKASSA_SECRET_KEY": SHOP_KEY,
            "SIMULATOR_YOOKASSA_NOTIFY_URL": f"{self.webhook_url}/webhook/yookassa",
        }

    # --- looking into it ---

    def rows(self, statement: str, *values: object) -> list[Json]:
        """Ask through a connection of the owner's: what it sees has been committed."""
        return self.witness.rows(statement, *values)

    def value(self, statement: str, *values: object) -> Any:
        """The one value of an answer."""
        ((found,),) = (row.values() for row in self.rows(statement, *values))
        return found

    def queue(self) -> list[Json]:
        """Every job that is not done: waiting, under way, or held for a person."""
        return self.rows(
            "SELECT id, entrypoint AS kind, status::text, payload FROM shared.pgqueuer ORDER BY id"
        )

    def idle(self) -> None:
        """Wait until nothing is left to do."""
        until(lambda: not self.queue(), lambda: f"still to do: {self.queue()}")

    def settings(self) -> Settings:
        """The settings as its processes read them."""
        return settings_for(self.owner_dsn, self.root / "data", **self.environment())

    def using(self, work: Callable[[Database], Coroutine[Any, Any, Any]]) -> Any:
        """Do something with the product's own database object."""
        settings = self.settings()

        async def do() -> Any:
            database = await open_database(settings)
            try:
                return await work(database)
            finally:
                await database.close()

        return in_thread(do())

    # --- people and money ---

    def new_person(self, name: str = "Вера") -> Person:
        """Somebody new, who has pressed Start in the sales bot."""
        made = self.world.post("/telegram/people", json={"first_name": name}).json()
        person = Person(self.world, made["id"])
        self.sales(person).start()
        return person

    def sales(self, person: Person) -> Chat:
        """The person's chat with the sales bot."""
        return person.with_bot(SALES_BOT)

    def order(self, *people: Person) -> list[str]:
        """Orders, one for each, as the sales bot makes them; nothing is asked of YooKassa yet."""
        settings = self.settings()

        async def make(database: Database) -> list[str]:
            async with database.shared() as conn:
                return [
                    (
                        await create_order(
                            conn,
                            settings,
                            buyer_id=person.id,
                            language="ru",
                            company_name=f"Салон {person.id}",
                            plan="1m",
                            now=datetime.now(UTC),
                        )
                    ).id
                    for person in people
                ]

        return self.using(make)

    def checkout(self, order: str) -> str:
        """Press Pay on our page: the payment's id at YooKassa."""
        answer = self.http.post(f"{self.api_url}/checkout/{order}/pay")
        assert answer.status_code == 303, answer.text
        return answer.headers["location"].rpartition("/")[2]

    def pay(self, payment: str) -> None:
        """Pay at YooKassa's page."""
        paid = self.world.post("/yookassa/control/pay", json={"payment_id": payment})
        assert paid.json()["status"] == "succeeded", paid.text

    def fault(self, kind: str, **options: Any) -> None:
        """Let YooKassa misbehave."""
        self.knob("/yookassa/control/faults", {"faults": [{"kind": kind, **options}]})

    def knob(self, path: str, body: Json) -> Json:
        """Turn a knob of the simulated world."""
        return self.world.post(path, json=body).raise_for_status().json()

    def said(self, person: Person, text: str) -> int:
        """How often the sales bot has told this person so."""
        return sum(text in (one["text"] or "") for one in self.sales(person).answers())


@contextmanager
def running_house(servers: Servers, template: str, **extra: str) -> Generator[House]:
    """A house on the run's servers, with a database of its own; all its processes end with it."""
    superuser = servers.postgres.dsn("postgres", user="postgres")
    name = f"house_{secrets.token_hex(6)}"
    in_thread(
        _administer(superuser, f"CREATE DATABASE {name} TEMPLATE {template} OWNER booking_user")
    )
    with ExitStack() as stack:
        stack.callback(
            lambda: in_thread(_administer(superuser, f"DROP DATABASE {name} WITH (FORCE)"))
        )
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zapisano-house-")))
        redis = urlunsplit(urlsplit(servers.valkey_url)._replace(path="/9"))
        house = House(root, servers.postgres.dsn(name), redis, extra)
        stack.callback(house.witness.close)
        stack.callback(house.http.close)
        stack.callback(house.world.close)
        for part in (house.simulator, house.serve):
            stack.callback(part.kill)
            part.start()
        limits = dict.fromkeys(("bot", "chat", "webhook"), UNLIMITED)
        house.knob("/telegram/control", {"limits": limits})
        yield house


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@contextmanager
def running(part: Part) -> Generator[Part]:
    """A started part that does not outlive the block."""
    part.start()
    try:
        yield part
    finally:
        part.kill()


def monotonic() -> float:
    """The clock of the tap."""
    return time.monotonic()
