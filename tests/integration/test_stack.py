"""The stack as an operator meets it: started, killed, refused, stopped; real servers below it.

The product's own programs are stood in for by small ones (`stand_in.py`); the rest is real.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import redis

from shared_servers import Servers
from zapisano.stack import config, plan
from zapisano.stack.config import FOLDER, StackConfig
from zapisano.stack.files import opened_lock, try_lock
from zapisano.stack.servers import embedded_postgres, embedded_valkey

STAND_IN = Path(__file__).with_name("stand_in.py")
PATIENCE_SECONDS = 30.0
is_root = os.geteuid() == 0
PARTS = {"simulator", "postgres", "valkey", "serve", "worker"}


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@dataclass
class Stack:
    """A `zapisano demo` with stand-ins, in a folder of its own."""

    root: Path
    env: dict[str, str] = field(default_factory=dict[str, str])
    user: str | None = None
    started: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def __post_init__(self) -> None:
        names = ("API", "WEBHOOK", "SIMULATOR")
        ports = {
            f"ZAPISANO_{name}_PORT": str(port)
            for name, port in zip(names, free_ports(3), strict=True)
        }
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        self.env = {
            **kept,
            **ports,
            "ZAPISANO_DATA_DIR": str(self.folder),
            "TRACE": str(self.root / "trace"),
            **self.env,
        }

    @property
    def folder(self) -> Path:
        return self.root / "data"

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        with (self.root / "screen").open("ab") as screen:
            running = subprocess.Popen(
                [*self.as_user(), sys.executable, str(STAND_IN), "stack", "demo"],
                env=self.env | env,
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=screen,
                cwd="/",
            )
        self.started.append(running)
        return running

    def as_user(self) -> tuple[str, ...]:
        """Become another user who may read this checkout wherever it lies, and write his own."""
        if self.user is None:
            return ()
        found = pwd.getpwnam(self.user)
        who = (f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups")
        read = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
        return ("setpriv", *who, *read)

    def start_and_wait(self, **env: str) -> subprocess.Popen[bytes]:
        running = self.start(**env)
        until(lambda: running.poll() is not None or self.is_ready(), self.screen())
        assert running.poll() is None, self.screen()
        return running

    def is_ready(self) -> bool:
        return (self.folder / "stack.json").exists()

    def record(self) -> dict[str, Any]:
        return json.loads((self.folder / "stack.json").read_text())

    def pids(self) -> dict[str, int]:
        return self.record()["pids"]

    def screen(self) -> str:
        return (self.root / "screen").read_text()

    def trace(self) -> list[str]:
        return (self.root / "trace").read_text().splitlines()

    def stop(self, running: subprocess.Popen[bytes]) -> int:
        running.send_signal(signal.SIGINT)
        return running.wait(PATIENCE_SECONDS)

    def zapisano(self, *words: str, text: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.as_user(), sys.executable, "-m", "zapisano", *words],
            input=text,
            env=self.env | env,
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


@pytest.fixture
def root() -> Generator[Path]:
    """A folder that every account can walk to: pytest's own is closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="zapisano-stack-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def made_before() -> Generator[Path]:
    """A data folder with a database in it, made once: most starts are not the first."""
    folder = Path(tempfile.mkdtemp(prefix="zapisano-stack-"))
    folder.chmod(0o711)
    with embedded_postgres(folder, {"fsync": "off"}):
        pass
    # The copies run side by side, each on a port of its own.
    (folder / "ports.json").unlink()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def stack(root: Path, made_before: Path) -> Generator[Stack]:
    made = Stack(root)
    subprocess.run(["cp", "-a", made_before, made.folder], check=True)
    yield from ended(made)


@pytest.fixture
def new_stack(root: Path) -> Generator[Stack]:
    yield from ended(Stack(root))


def ended(made: Stack) -> Generator[Stack]:
    """Hand it to a test and wait until nothing of it runs."""
    yield made
    for running in made.started:
        running.send_signal(signal.SIGINT)
        running.wait(PATIENCE_SECONDS)
    for lock in (made.folder / "run").glob("*.lock"):
        with opened_lock(lock) as handle:
            until(lambda handle=handle: try_lock(handle), f"{lock} is still held")


async def sql(running: Mapping[str, Any], statement: str) -> object:
    connection = await asyncpg.connect(running["database_url"])
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


# --- servers alone ---


async def test_embedded_postgres_keeps_its_data_and_is_the_guides_database(root: Path) -> None:
    with embedded_postgres(root) as server:
        owner = await asyncpg.connect(server.dsn())
        await owner.execute("CREATE TABLE kept AS SELECT 7 AS n")
        await owner.close()
    assert (root / "secrets.json").stat().st_mode & 0o777 == 0o600
    with embedded_postgres(root) as again:
        owner = await asyncpg.connect(again.dsn())
        assert await owner.fetchval("SELECT n FROM kept") == 7
        assert await owner.fetchval("SELECT current_database() || current_user") == (
            "booking_saasbooking_user"
        )
        assert await owner.fetchval("SELECT lower('Ё')") == "ё"
        assert await owner.fetchval(
            "SELECT rolcreaterole AND NOT rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        assert await owner.fetchval("SELECT count(*) FROM pg_extension WHERE extname='btree_gist'")
        await owner.close()
        assert again.port == server.port


async def test_a_cluster_of_an_older_program_gets_the_walls_of_this_one(root: Path) -> None:
    unsafe = {"fsync": "off"}
    with embedded_postgres(root, unsafe) as server:
        admin = await asyncpg.connect(server.dsn(user="postgres"))
        await admin.execute("GRANT SELECT ON pg_roles TO PUBLIC")
        await admin.close()
    gap = "SELECT has_table_privilege('public', 'pg_roles', 'SELECT')"
    with embedded_postgres(root, unsafe) as server:
        owner = await asyncpg.connect(server.dsn())
        assert await owner.fetchval(gap)  # by the operator's own wish: nothing looks twice
        await owner.close()
        (server.home / "walls").unlink()
    with embedded_postgres(root, unsafe) as server:
        owner = await asyncpg.connect(server.dsn())
        assert not await owner.fetchval(gap)
        assert await owner.fetchval("SELECT count(*) > 0 FROM pg_roles")
        await owner.close()


async def test_a_wrong_password_opens_nothing(servers: Servers) -> None:
    for dsn in (servers.postgres.dsn(), servers.postgres.dsn(user="postgres")):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(dsn, password="wrong")


def test_embedded_valkey_keeps_its_data(root: Path) -> None:
    with embedded_valkey(root) as server, closing(redis.Redis.from_url(server.url)) as client:
        client.set("client_001:a", "1")
    with embedded_valkey(root) as server, closing(redis.Redis.from_url(server.url)) as client:
        assert client.get("client_001:a") == b"1"


def test_the_shared_valkey_answers(valkey_url: str) -> None:
    with closing(redis.Redis.from_url(valkey_url)) as client:
        assert client.ping()


def test_a_taken_port_of_an_embedded_server_is_picked_anew(root: Path) -> None:
    with embedded_valkey(root) as server:
        first = server.port
    with socket.create_server(("127.0.0.1", first)), embedded_valkey(root) as server:
        assert server.port != first


# --- the whole stack ---


async def test_it_starts_in_order_tells_what_runs_and_stops_in_reverse(new_stack: Stack) -> None:
    stack = new_stack
    running = stack.start_and_wait()
    record = stack.record()
    assert set(record["pids"]) == PARTS
    assert (stack.folder / "stack.json").stat().st_mode & 0o777 == 0o600
    assert await sql(record, "SELECT 1") == 1
    assert stack.stop(running) == 0
    assert not any(map(is_alive, record["pids"].values()))
    assert not stack.is_ready()
    trace = stack.trace()
    # The product waits for its servers and the schema by itself; here it has nothing to wait for.
    assert set(trace[:4]) == {"simulator up", "migrate done", "serve up", "worker up"}
    assert trace.index("simulator up") < trace.index("migrate done")
    assert set(trace[4:6]) == {"serve down", "worker down"}
    assert trace[6:] == ["simulator down"]
    assert "ready in" in stack.screen()
    assert record["page_url"] in stack.screen()


async def test_a_killed_parent_leaves_no_orphan_and_the_next_start_recovers(stack: Stack) -> None:
    running = stack.start_and_wait()
    before = stack.record()
    await sql(before, "CREATE TABLE kept (n int)")
    await sql(before, "INSERT INTO kept VALUES (7)")
    with closing(redis.Redis.from_url(before["redis_url"])) as client:
        client.set("client_001:a", "1")
    running.kill()
    running.wait()
    (stack.folder / "stack.json").unlink()
    # At once, while the servers of the last run may still be on their way out.
    started_at = time.monotonic()
    again = stack.start_and_wait()
    assert time.monotonic() - started_at < 5
    assert not any(map(is_alive, before["pids"].values()))
    after = stack.record()
    assert await sql(after, "SELECT n FROM kept") == 7
    with closing(redis.Redis.from_url(after["redis_url"])) as client:
        assert client.get("client_001:a") == b"1"
    again.kill()
    again.wait()
    until(lambda: not any(map(is_alive, after["pids"].values())), "an orphan lives")


@pytest.mark.parametrize("part", ["worker", "postgres", "valkey"])
async def test_a_part_that_dies_is_started_again(stack: Stack, part: str) -> None:
    running = stack.start_and_wait()
    before = stack.pids()
    os.kill(before[part], signal.SIGKILL)
    until(lambda: stack.pids().get(part, before[part]) != before[part], stack.screen())
    after = stack.pids()
    assert {name for name in PARTS if after[name] != before[name]} == {part}
    assert f"{part} was killed by SIGKILL; starting it again in 0.1 s" in stack.screen()
    assert await sql(stack.record(), "SELECT 1") == 1
    assert stack.stop(running) == 0


def test_a_second_start_in_the_same_folder_says_who_holds_it(stack: Stack) -> None:
    running = stack.start_and_wait()
    second = stack.zapisano("demo", "--no-browser")
    assert second.returncode == 2
    assert second.stderr.count("\n") == 1
    assert second.stderr.startswith("ZAPISANO_DATA_DIR: ")
    assert f"process {running.pid}" in second.stderr
    assert f"; its page: {stack.record()['page_url']}); stop it first" in second.stderr
    assert running.poll() is None
    assert stack.is_ready()


def test_a_deaf_part_is_ended_after_its_grace(stack: Stack) -> None:
    running = stack.start_and_wait(DEAF="worker", GRACE="0.5")
    pids = stack.pids()
    assert stack.stop(running) == 0
    assert not any(map(is_alive, pids.values()))
    assert "worker has not stopped yet; ending it" in stack.screen()
    assert "is finishing what it has under way" not in stack.screen()
    assert "serve down" in stack.trace()


def test_a_second_interrupt_hurries(stack: Stack) -> None:
    running = stack.start_and_wait(DEAF="worker", GRACE="600")
    running.send_signal(signal.SIGINT)
    until(lambda: "serve down" in stack.trace(), "the first interrupt stops the others")
    until(
        lambda: "worker is finishing what it has under way" in stack.screen(),
        "what is waited for is said",
    )
    assert running.poll() is None
    assert stack.stop(running) == 0


def test_a_part_that_refuses_to_start_stops_everything_with_its_own_words(stack: Stack) -> None:
    running = stack.start(BROKEN="serve", BROKEN_CODE="2")
    assert running.wait(PATIENCE_SECONDS) == 2
    assert "BROKEN_SETTING: it is broken" in stack.screen()


def test_a_part_that_keeps_failing_is_given_up(stack: Stack) -> None:
    running = stack.start(BROKEN="worker", BROKEN_CODE="3")
    assert running.wait(PATIENCE_SECONDS) == 1
    assert "worker stopped with exit code 3; its log is " in stack.screen()
    assert "BROKEN_SETTING: it is broken" in stack.screen()
    assert not stack.is_ready()


def test_files_named_from_here_are_the_same_for_the_demos_parts(root: Path) -> None:
    env = {FOLDER: str(root), "ZAPISANO_PLANS_FILE": "my.toml", "ZAPISANO_LOG_FILE": ""}
    made = plan.demo(StackConfig.from_environment(env))
    part = next(process for process in made.processes if process.name == "worker")
    assert part.env["ZAPISANO_PLANS_FILE"] == str(Path.cwd() / "my.toml")
    assert part.env["ZAPISANO_LOG_FILE"] == ""


def test_what_the_migration_says_of_itself_is_shown(stack: Stack) -> None:
    running = stack.start_and_wait(SAID="Isolation by role is off.")
    assert "Isolation by role is off." in stack.screen()
    assert stack.stop(running) == 0


# --- refusals ---


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ZAPISANO_API_PORT", "eight", "valid integer"),
        ("ZAPISANO_SIMULATOR_PORT", "70000", "is not a port"),
        ("ZAPISANO_DATA_DIR", " ", "name a folder"),
        ("ZAPISANO_DATA_DIR", "/proc/zapisano", "can't be used"),
        ("ZAPISANO_DATA_DIR", f"{STAND_IN}/below", "can't be used (Not a directory)"),
    ],
)
def test_a_broken_setting_is_one_line_that_names_it(
    stack: Stack, name: str, value: str, words: str
) -> None:
    done = stack.zapisano("demo", "--no-browser", **{name: value})
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{name}: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["API", "WEBHOOK", "SIMULATOR"])
def test_a_taken_port_is_one_line_that_names_its_setting(stack: Stack, name: str) -> None:
    setting = f"ZAPISANO_{name}_PORT"
    with socket.create_server(("127.0.0.1", int(stack.env[setting]))):
        done = stack.zapisano("demo", "--no-browser")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{setting}: port {stack.env[setting]} is taken")
    assert done.stderr.count("\n") == 1


def test_two_settings_with_one_port_are_named(stack: Stack) -> None:
    port = stack.env["ZAPISANO_API_PORT"]
    done = stack.zapisano("up", ZAPISANO_WEBHOOK_PORT=port)
    assert done.returncode == 2
    assert done.stderr == (
        f"ZAPISANO_WEBHOOK_PORT: port {port} is also ZAPISANO_API_PORT; give each its own\n"
    )


def test_settings_are_read_from_the_files_that_the_product_reads(stack: Stack) -> None:
    (stack.root / ".env").write_text("DATABASE_URL=nonsense\nREDIS_URL=redis://127.0.0.1:1/0\n")
    assert stack.zapisano("psql").stderr.startswith("DATABASE_URL: ")
    assert stack.zapisano("redis", "PING").stderr.startswith("Could not talk to Redis: ")


def test_the_demo_takes_nothing_of_a_real_system_with_it(root: Path) -> None:
    names = ("SALES_BOT_TOKEN", "YOOKASSA_SECRET_KEY", "MASTER_API_TOKEN", "DATABASE_URL")
    more = ("APP_DATABASE_URL", "REDIS_HOST", "TELEGRAM_PROXY", "CLIENT_ID", "https_proxy")
    real = dict.fromkeys((*names, *more), "the-real-one")
    made = plan.demo(StackConfig.from_environment({**real, FOLDER: str(root), "LANG": "C"}))
    for process in made.processes:
        assert "the-real-one" not in process.env.values()
    product = [process for process in made.processes if "-m" in process.argv]
    assert len(product) == 4
    assert {process.env["LANG"] for process in product} == {"C"}
    # No `.env` lies there.
    assert {process.cwd for process in product if process.name != "simulator"} == {root}


def test_the_demo_tells_of_low_balances_on_this_machine_alone(root: Path) -> None:
    hook = {"CREDITS_WEBHOOK_SECRET": "whsec_x", "CREDITS_PER_ROUBLE": "2", FOLDER: str(root)}
    for url, is_told in (
        ("http://127.0.0.1:9/hook", True),
        ("http://localhost:9/hook", True),
        ("https://app.example.org/hook", False),
        ("http://127.0.0.1.example.org/hook", False),
    ):
        env = {**hook, "CREDITS_WEBHOOK_URL": url}
        made = plan.demo(StackConfig.from_environment(env))
        part = next(process for process in made.processes if process.name == "worker")
        assert ("CREDITS_WEBHOOK_URL" in part.env, "CREDITS_WEBHOOK_SECRET" in part.env) == (
            is_told,
            is_told,
        )
        assert part.env["CREDITS_PER_ROUBLE"] == "2"


def test_the_stack_hands_on_what_the_files_say_of_credits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service beside the demo reads them; the demo's own parts run in its folder."""
    (tmp_path / ".env.local").write_text(
        "CREDITS_PER_ROUBLE=2.5\nCREDITS_ORIGINS=http://a.example, http://b.example\n"
        "CREDITS_WEBHOOK_URL=http://127.0.0.1:9/hook\n"
        "CREDITS_WEBHOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"
    )
    monkeypatch.chdir(tmp_path)
    told = {name: value for name, value in config.known().items() if name.startswith("CREDITS_")}
    assert told == {
        "CREDITS_PER_ROUBLE": "2.5",
        "CREDITS_ORIGINS": "http://a.example,http://b.example",
        "CREDITS_WEBHOOK_URL": "http://127.0.0.1:9/hook",
        "CREDITS_WEBHOOK_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }


# --- other people ---


can_change_user = pytest.mark.skipif(
    not is_root or shutil.which("setpriv") is None,
    reason="needs root and setpriv, to become another user",
)


@can_change_user
async def test_it_runs_without_root(root: Path, new_stack: Stack) -> None:
    stack = new_stack
    found = pwd.getpwnam("nobody")
    os.chown(root, found.pw_uid, found.pw_gid)
    stack.user = "nobody"
    running = stack.start_and_wait()
    assert await sql(stack.record(), "SELECT 1") == 1
    assert (stack.folder / "postgres").stat().st_uid == found.pw_uid
    assert stack.folder.stat().st_mode & 0o777 == 0o700
    assert stack.zapisano("redis", "PING").stdout == "PONG\n"
    assert stack.stop(running) == 0


@can_change_user
def test_another_users_folder_is_refused_in_one_line(root: Path, new_stack: Stack) -> None:
    stack = new_stack
    stack.user = "nobody"
    root.chmod(0o755)
    done = stack.zapisano("demo", "--no-browser")
    assert done.returncode == 2
    assert done.stderr == (f"ZAPISANO_DATA_DIR: {stack.folder} can't be used (Permission denied)\n")


@pytest.mark.skipif(not is_root, reason="only root runs PostgreSQL as another user")
async def test_a_closed_project_folder_is_left_closed(root: Path) -> None:
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    data = closed / "data"
    data.mkdir(mode=0o700)
    with embedded_postgres(data) as server:
        owner = await asyncpg.connect(server.dsn())
        await owner.execute("CREATE TABLE kept AS SELECT 7 AS n")
        await owner.close()
    assert not server.home.is_relative_to(closed)
    try:
        assert Path((data / "postgres.where").read_text().strip()) == server.home
        assert server.home.stat().st_mode & 0o777 == 0o700
        assert [folder.stat().st_mode & 0o777 for folder in (closed, data)] == [0o700, 0o700]
        with embedded_postgres(data) as again:
            owner = await asyncpg.connect(again.dsn())
            assert await owner.fetchval("SELECT n FROM kept") == 7
            await owner.close()
    finally:
        shutil.rmtree(server.home)


# --- the doors ---


async def test_psql_opens_the_running_database(stack: Stack) -> None:
    stack.start_and_wait()
    await sql(stack.record(), "CREATE SCHEMA client_001 CREATE TABLE bookings (n int)")
    assert stack.zapisano("psql", "-Atc", "SELECT current_user").stdout == "booking_user\n"
    tenant = stack.zapisano("psql", "client_001", "-At", text="SELECT count(*) FROM bookings;\n")
    assert (tenant.stdout, tenant.stderr) == ("0\n", "")
    admin = stack.zapisano("psql", "-U", "postgres", "-d", "postgres", "-Atc", "SELECT user")
    assert (admin.stdout, admin.stderr) == ("postgres\n", "")
    # A setting wins over what runs, and an operator's PG variables lead nowhere else.
    other = stack.record()["admin_database_url"]
    named = stack.zapisano("psql", "-Atc", "SELECT user", DATABASE_URL=other, PGUSER="nobody")
    assert (named.stdout, named.stderr) == ("postgres\n", "")
    assert stack.zapisano("psql", "1; DROP").returncode == 2


def test_redis_answers_as_redis_cli_does(stack: Stack) -> None:
    stack.start_and_wait()
    assert stack.zapisano("redis", "SET", "client_001:a", "да").stdout == "OK\n"
    assert stack.zapisano("redis", "KEYS", "client_001:*").stdout == "client_001:a\n"
    typed = stack.zapisano("redis", text="GET client_001:a\n\nKEYS client_002:*\nexit\nDEL x\n")
    assert typed.stdout == "да\n\n"
    wrong = stack.zapisano("redis", "NOPE")
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("ERR unknown command")


@pytest.mark.parametrize("door", ["psql", "redis"])
def test_a_door_to_nothing_says_so_in_one_line(stack: Stack, door: str) -> None:
    done = stack.zapisano(door)
    assert done.returncode == 2
    assert done.stderr.startswith("Nothing is running here: ")
    assert done.stderr.count("\n") == 1


def test_what_a_killed_stack_left_counts_as_nothing(stack: Stack) -> None:
    running = stack.start_and_wait()
    running.kill()
    running.wait()
    assert stack.is_ready()
    assert stack.zapisano("psql", "-c", "SELECT 1").returncode == 2
