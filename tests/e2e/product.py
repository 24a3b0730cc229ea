"""The whole product as an operator runs it: `zapisano demo`, on a folder and ports of its own."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
from people import Chat, Json, Person, until

from shared_servers import fastest_place

ANNA, BORIS = 100200301, 100200302
SALES_BOT = "zapisano_sales_bot"
PORTS = ("ZAPISANO_API_PORT", "ZAPISANO_WEBHOOK_PORT", "ZAPISANO_SIMULATOR_PORT")
TOKEN = re.compile(r"\d{8,12}:[A-Za-z0-9_-]{35}")
START_SECONDS = STOP_SECONDS = 120.0
Result = TypeVar("Result")
# Kept of the environment: neither an operator's settings nor a `.env` may reach the demo.
KEPT = ("PATH", "LANG", "HOME", "TMPDIR", "VIRTUAL_ENV")


@dataclass
class Product:
    """A `zapisano demo`: started, used over HTTP, looked into through PostgreSQL, ended."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])
    parent: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        numbers = {name: str(port) for name, port in self.ports.items()}
        own = {"ZAPISANO_DATA_DIR": str(self.folder), **numbers}
        self.environment = {**kept, **own, **self.environment}
        urls = [f"http://127.0.0.1:{port}" for port in self.ports.values()]
        self.api_url, self.webhook_url, self.simulator_url = urls
        self.http = httpx.Client(timeout=30, trust_env=False, follow_redirects=False)
        self.world = httpx.Client(base_url=self.simulator_url, timeout=30, trust_env=False)

    # --- its life ---

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self.root / "data"

    def start(self, *options: str) -> None:
        """Start it and wait until it says that everything is up."""
        with (self.root / "screen").open("ab") as screen:
            self.parent = subprocess.Popen(
                [sys.executable, "-m", "zapisano", "demo", "--no-browser", *options],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=screen,
                cwd=self.root,
            )
        before = self.screen().count("ready in")
        until(
            lambda: self._has_ended() or self.screen().count("ready in") > before,
            self.screen,
            START_SECONDS,
        )
        assert not self._has_ended(), self.screen()

    def _has_ended(self) -> bool:
        return self.parent is None or self.parent.poll() is not None

    def stop(self) -> int:
        """Press Ctrl-C and wait for the end; the exit code."""
        assert self.parent is not None
        self.parent.send_signal(signal.SIGINT)
        return self.parent.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL the parent; what it started has to notice by itself."""
        assert self.parent is not None
        self.parent.kill()
        self.parent.wait()

    def close(self) -> None:
        """Stop it if it still runs, and wait until its servers are gone, whoever was killed."""
        self.http.close()
        self.world.close()
        if not self._has_ended():
            self.stop()
        until(lambda: not self.left_over(), lambda: f"still running: {self.left_over()}")

    def left_over(self) -> list[int]:
        """Processes that were started for this data folder and live."""
        mark = str(self.folder).encode()
        words = ("environ", "cmdline")
        return [pid for pid in all_pids() if any(mark in read_proc(pid, name) for name in words)]

    def processes(self) -> dict[str, int]:
        """The process of each role: simulator, postgres, valkey, serve, worker."""
        return self._record()["pids"]

    def zapisano(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Another command in the same folder, such as `zapisano psql client_001 -c …`."""
        return subprocess.run(
            [sys.executable, "-m", "zapisano", *words],
            env=self.environment,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    # --- what it says ---

    def screen(self) -> str:
        """Everything it has written to its terminal."""
        return (self.root / "screen").read_text()

    def logs(self) -> dict[str, str]:
        """Each log file of the data folder, and the terminal."""
        files = [self.root / "screen", *self.folder.glob("logs/*")]
        return {file.name: file.read_text(errors="replace") for file in files}

    def leaks(self) -> list[str]:
        """What must never be in a log and is: `<file>: <what>`, without the secret itself."""
        people = self.world.get("/telegram/people").raise_for_status().json()
        secrets = {
            **{name: text for name, text in self.secrets.items() if name != "yookassa_shop_id"},
            **{f"the phone of {one['id']}": one["phone"] for one in people if one["phone"]},
        }
        doors = self.rows("SELECT bot_id, path, secret FROM bots")
        secrets |= {f"the path of {door['bot_id']}": door["path"] for door in doors}
        secrets |= {f"the secret of {door['bot_id']}": door["secret"] for door in doors}
        logs = self.logs()
        named = [
            f"{f}: {name}" for f, log in logs.items() for name, s in secrets.items() if s in log
        ]
        return named + [f"{f}: a bot's token" for f, log in logs.items() if TOKEN.search(log)]

    def _record(self) -> Json:
        return json.loads((self.folder / "stack.json").read_text())

    @property
    def owner_dsn(self) -> str:
        """The database as the owner of the tables."""
        return self._record()["database_url"]

    @property
    def admin_dsn(self) -> str:
        """The database as the cluster's superuser."""
        return self._record()["admin_database_url"]

    @property
    def secrets(self) -> dict[str, str]:
        """What the stack has made for itself."""
        return json.loads((self.folder / "secrets.json").read_text())

    @property
    def token(self) -> str:
        """The master API's bearer token."""
        return self.secrets["master_api_token"]

    def master(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask the master API."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(method, f"{self.api_url}{path}", headers=headers, **more)

    # --- what is in its database ---

    def rows(self, statement: str, *values: object, schema: str = "shared") -> list[Json]:
        """Ask through a connection of the owner's: what it sees has been committed."""
        return in_thread(self._rows(statement, values, schema))

    def row(self, statement: str, *values: object, schema: str = "shared") -> Json:
        """The one row of an answer."""
        (found,) = self.rows(statement, *values, schema=schema)
        return found

    def value(self, statement: str, *values: object, schema: str = "shared") -> Any:
        """The one value of an answer."""
        (found,) = self.row(statement, *values, schema=schema).values()
        return found

    def contents(self, schema: str) -> str:
        """Everything in a schema, as one text to compare."""
        questions = self.rows(
            """SELECT format('SELECT t::text AS row FROM %I.%I AS t ORDER BY 1', schemaname,
               tablename) AS all_of_it FROM pg_tables WHERE schemaname = $1 ORDER BY tablename""",
            schema,
        )
        answers = [self.rows(question["all_of_it"]) for question in questions]
        return "\n".join(row["row"] for rows in answers for row in rows)

    async def _rows(self, statement: str, values: tuple[object, ...], schema: str) -> list[Json]:
        search = {"search_path": schema}
        connection = await asyncpg.connect(self.owner_dsn, server_settings=search)
        try:
            return [dict(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()

    # --- the people around it ---

    def person(self, number: int) -> Person:
        """Somebody who is there from the first day: ANNA or BORIS."""
        return Person(self.world, number)

    def new_person(self, name: str, language_code: str = "ru") -> Person:
        """Somebody new."""
        body = {"first_name": name, "language_code": language_code}
        made = self.world.post("/telegram/people", json=body).raise_for_status().json()
        return Person(self.world, made["id"])

    def order(self, sales: Chat, company: str, plan: str = "1 месяц") -> str:
        """Buy in the sales bot up to the link to our checkout page; the order's id."""
        sales.start()
        sales.press("Выбрать тариф")
        sales.press(plan)
        if "или сделать" in until(lambda: _asked(sales), "the name is asked for"):
            sales.press("Новый бот")
        seen = sales.wait_for("Как называется")["message_id"]
        sales.say(company)
        sales.wait_for("на защищённой странице", after=seen)
        return str(sales.press("Оплатить")["url"]).rpartition("/")[2]

    def checkout(self, order_id: str) -> str:
        """Press «Оплатить» on our checkout page: the payment's id at YooKassa."""
        answer = self.http.post(f"{self.api_url}/checkout/{order_id}/pay")
        assert answer.status_code == 303, answer.text
        found = re.fullmatch(
            rf"{self.simulator_url}/yookassa/pay/([\w-]+)", answer.headers["location"]
        )
        assert found, answer.headers["location"]
        return found[1]

    def pay(self, payment_id: str) -> None:
        """Pay with a test card at YooKassa's."""
        paid = self.world.post("/yookassa/control/pay", json={"payment_id": payment_id})
        assert paid.json()["status"] == "succeeded", paid.text

    def tenant_of(self, person: Person, state: str) -> str:
        """The person's newest tenant, when it has come to this state."""

        def find() -> str | None:
            found = self.rows(
                "SELECT id FROM tenants WHERE owner_id = $1 AND state = $2 ORDER BY id DESC",
                person.id,
                state,
            )
            return found[0]["id"] if found else None

        return until(find, lambda: f"a tenant {state}: {self.screen()}")

    def sell(self, person: Person, company: str, username: str = "") -> tuple[str, Chat]:
        """The whole sale in one line: the tenant's id, and the buyer's chat with the new bot."""
        sales = person.with_bot(SALES_BOT)
        self.pay(self.checkout(self.order(sales, company)))
        self.tenant_of(person, "awaiting_bot")
        made = sales.create_bot(username)
        tenant = self.tenant_of(person, "active")
        return tenant, person.with_bot(made["id"])


def _asked(sales: Chat) -> str | None:
    """What the sales bot asks after a plan was pressed, once it does."""
    asked = ("Как называется", "или сделать")
    said = (str(message["text"]) for message in reversed(sales.answers()))
    return next((text for text in said if any(part in text for part in asked)), None)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def all_pids() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit()]


def read_proc(pid: int, name: str) -> bytes:
    """A file of a process; empty when it has gone or is not ours to look at."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def in_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run asynchronous work from anywhere, also below a running loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@contextmanager
def running_product(**environment: str) -> Generator[Product]:
    """A started product in a folder that PostgreSQL's account can reach; nothing is left of it."""
    root = Path(tempfile.mkdtemp(prefix="zapisano-e2e-", dir=fastest_place()))
    root.chmod(0o711)
    product = Product(root, environment)
    try:
        product.start()
        yield product
    finally:
        product.close()
        shutil.rmtree(root)
