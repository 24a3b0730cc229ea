"""The command line, as processes: what they print, how they end, and that they drain."""

import asyncio
import json
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from simulator import free_port, ready_socket

from zapisano.settings import Settings
from zapisano.tenancy import Tenant

Witness = asyncpg.Connection
ROOT = Path(__file__).resolve().parents[2]
ZAPISANO = (sys.executable, "-P", "-m", "zapisano")


@pytest.fixture
def env(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """An operator's environment, with nothing of ours but the path."""
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "MASTER_API_TOKEN": settings.master_api_token.get_secret_value(),
        "ZAPISANO_DATA_DIR": str(tmp_path / "data"),
        "ZAPISANO_API_PORT": str(free_port()),
        "ZAPISANO_WEBHOOK_PORT": str(free_port()),
    }


def zapisano(
    env: dict[str, str], folder: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ZAPISANO, *arguments],
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_tenants_life_on_the_command_line(
    env: dict[str, str], tmp_path: Path, witness: Witness
) -> None:
    env["ZAPISANO_TIME_ZONE"] = "Asia/Omsk"
    made = zapisano(env, tmp_path, "tenants", "create", "Салон [bold]", "--owner", "5")
    assert (made.returncode, made.stdout) == (
        0,
        "client_001 is made and awaits its bot. Its time zone is Asia/Omsk.\n",
    )
    assert made.stderr.startswith("Ask its owner to press Start in your sales bot: ")
    await witness.execute(
        """INSERT INTO shared.bots (bot_id, username, token, path, secret, managed)
           VALUES (1, 'sales_of_ours_bot', '', 'p', 's', false)"""
    )
    second = zapisano(env, tmp_path, "tenants", "create", "Барбершоп", "--owner", "6").stderr
    assert second.startswith("Ask its owner to press Start in @sales_of_ours_bot: ")
    await witness.execute("DELETE FROM shared.tenants WHERE id = 'client_002'")
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1
    assert await witness.fetchval("SELECT time_zone FROM client_001.settings") == "Asia/Omsk"
    listed = zapisano(env, tmp_path, "tenants", "list").stdout
    assert listed == (
        "id\tstate\tname\tbot\tpaid until\tplan\tautopay\tversion\n"
        "client_001\tawaiting_bot\tСалон [bold]\t-\t-\t-\toff\tt0001\n"
    )
    for verb, said in (
        ("suspend", "client_001 is suspended (operator).\n"),
        ("resume", "client_001 is awaiting_bot.\n"),
        ("restore", ""),
        ("archive --yes", f"client_001 is archived in {tmp_path}/data/archive/client_001-"),
        ("resume", ""),
        ("restore", "client_001 is awaiting_bot again.\n"),
    ):
        done = zapisano(env, tmp_path, "tenants", *verb.split(), "client_001")
        assert done.stdout.startswith(said) if said else done.returncode == 1
        if verb == "resume" and not said:
            assert done.stderr == (
                "client_001 is archived, restore it first: zapisano tenants restore client_001\n"
            )
    shown = zapisano(env, tmp_path, "tenants", "show", "client_001").stdout
    assert "owner\t5 (ru)\n" in shown
    none = zapisano(env, tmp_path, "tenants", "list", "--state", "archived")
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "No tenant is archived.\n")


def test_where_there_is_nothing_to_list_a_line_says_so(env: dict[str, str], tmp_path: Path) -> None:
    for command, line in (
        ("tenants list", "No tenants yet: "),
        ("jobs list", "No job waits"),
        ("jobs list --held", "No job is held."),
    ):
        done = zapisano(env, tmp_path, *command.split())
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1)
        assert done.stderr.startswith(line)


async def test_archiving_asks_first_and_takes_nothing_but_a_yes(
    env: dict[str, str], tmp_path: Path, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    there = "SELECT to_regnamespace('client_001') IS NOT NULL"
    unasked = zapisano(env, tmp_path, "tenants", "archive", "client_001")
    assert (unasked.returncode, unasked.stderr.count("\n")) == (2, 1)
    assert "--yes" in unasked.stderr
    for answer, said, stays in (
        ("\n", "client_001 stays as it is.", True),
        ("no\n", "client_001 stays as it is.", True),
        ("y\n", "client_001 is archived in", False),
    ):
        told = await asyncio.to_thread(
            typed, env, tmp_path, answer, "tenants", "archive", "client_001"
        )
        assert "Салон Ромашка, awaiting_bot" in told
        assert "its schema is dropped" in told
        assert said in told
        assert await witness.fetchval(there) is stays
    for managed, seen in (
        (None, "Bookings are put away"),
        (True, "Telegram shuts @romashka_bot to everybody but its owner. Bookings"),
        (False, "@romashka_bot answers nobody. Bookings"),
    ):
        await witness.execute(
            """INSERT INTO shared.bots (bot_id, tenant_id, username, token, path, secret, managed)
               SELECT 1, 'client_002', 'romashka_bot', '', 'p', 's', $1
               WHERE $1::boolean IS NOT NULL
               ON CONFLICT (bot_id) DO UPDATE SET managed = $1""",
            managed,
        )
        told = await asyncio.to_thread(
            typed, env, tmp_path, "n\n", "tenants", "archive", "client_002"
        )
        assert f"\n{seen}" in told
    assert zapisano(env, tmp_path, "tenants", "archive", "client_002", "--yes").stderr == (
        "@romashka_bot answers nobody. Bookings are put away with the rest: no reminder goes out, "
        "and nobody is told.\n"
    )
    again = zapisano(env, tmp_path, "tenants", "archive", "client_001")
    assert (again.returncode, again.stdout[:25]) == (0, "client_001 is archived in")


def typed(env: dict[str, str], folder: Path, answer: str, *arguments: str) -> str:
    """Run the command on a terminal and type an answer, if any; return all that is on it."""
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [*ZAPISANO, *arguments], env=env, cwd=folder, stdin=its, stdout=its, stderr=its
    )
    os.close(its)
    told = b""
    try:
        while answer and b"[y/N]" not in told:
            told += os.read(ours, 4096)
        os.write(ours, answer.encode())
        while True:
            told += os.read(ours, 4096)
    except OSError:  # how a terminal says that the other side is gone
        return told.decode()
    finally:
        process.wait(30)
        os.close(ours)


COMMANDS = ("psql", "redis PING", "tenants list", "jobs list")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_beside_nothing_say_what_to_start(
    env: dict[str, str], tmp_path: Path, command: str
) -> None:
    ended = zapisano({"PATH": env["PATH"]}, tmp_path, *command.split())
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    setting = "REDIS_URL" if command.startswith("redis") else "DATABASE_URL"
    assert ended.stderr.startswith(
        f"Nothing is running here: start `zapisano demo` or `zapisano up`, or set {setting}"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_beside_nothing_makes_the_checks_that_need_no_server(
    env: dict[str, str], tmp_path: Path
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", int(env["ZAPISANO_API_PORT"])))
        holder.listen()
        bare = {"PATH", "ZAPISANO_API_PORT", "ZAPISANO_WEBHOOK_PORT"}
        alone = {name: value for name, value in env.items() if name in bare}
        ended = zapisano(alone, tmp_path, "doctor")
    assert (ended.returncode, ended.stderr) == (1, "Failed: 5, warnings: 2.\n"), ended.stdout
    for line in (
        "failed   PostgreSQL: not running\n         → start `zapisano up` (it brings its own), or ",
        "failed   Redis: not running\n         → start `zapisano up` (it brings its own), or ",
        "failed   Sales bot: SALES_BOT_TOKEN is not set\n",
        "failed   YooKassa: YOOKASSA_SHOP_ID or",
        "ok       Secret key: is not set: `zapisano up` has its own",
        "ok       Master API: is not set: `zapisano up` has its own",
        f"failed   Ports: {env['ZAPISANO_API_PORT']} cannot be listened on\n",
        "ok       Price list: 1m 299",
        "warning  Seller: the checkout does not say who sells",
        "warning  WEBHOOK_URL: is not set",
    ):
        assert line in ended.stdout
    assert list(tmp_path.iterdir()) == []
    ended = zapisano({**alone, "REDIS_ENABLED": "false"}, tmp_path, "doctor")
    assert "warning  Redis: none is set: conversations end with the process\n" in ended.stdout
    assert "ok       Ports: " in ended.stdout


async def test_psql_enters_only_a_schema_that_is_there(
    env: dict[str, str], tmp_path: Path, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    count = ("-Atc", "SELECT count(*) FROM services")
    assert zapisano(env, tmp_path, "psql", "client_001", *count).stdout == "1\n"
    zapisano(env, tmp_path, "tenants", "archive", "client_001", "--yes")
    for tenant, line in (
        ("client_999", "There is no tenant client_999: `zapisano tenants list`"),
        ("client_001", "client_001 is archived: `zapisano tenants restore client_001`"),
    ):
        refused = zapisano(env, tmp_path, "psql", tenant, *count)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
        assert refused.stderr.startswith(line)


async def test_tenants_are_made_once_beside_a_live_worker(
    env: dict[str, str], tmp_path: Path, witness: Witness
) -> None:
    omsk = {**env, "ZAPISANO_TIME_ZONE": "Asia/Omsk"}
    with serving(omsk, tmp_path, (*ZAPISANO, "worker")):
        for number in (1, 2):
            made = zapisano(omsk, tmp_path, "tenants", "create", "Салон", "--owner", "5")
            said = f"client_00{number} is made and awaits its bot. Its time zone is Asia/Omsk.\n"
            assert (made.returncode, made.stdout) == (0, said), made.stderr
    zones = await witness.fetch(
        """SELECT time_zone FROM client_001.settings
           UNION ALL SELECT time_zone FROM client_002.settings"""
    )
    assert [row["time_zone"] for row in zones] == ["Asia/Omsk", "Asia/Omsk"]
    for tenant in ("client_001", "client_002"):
        kinds = await witness.fetch("SELECT kind FROM shared.journal WHERE tenant = $1", tenant)
        assert sorted(row["kind"] for row in kinds) == [
            "tenant.awaiting_bot",
            "tenant.provisioning",
            "tenant.schema_created",
        ]


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (("tenants", "show", "client_777"), 1, "There is no tenant client_777."),
        (("tenants", "show", "../x"), 1, "tenant: '../x' is no tenant id"),
        (("tenants", "archive", "client_001; drop"), 1, "is no tenant id"),
        (("tenants", "create", "\u2060", "--owner", "1"), 1, "name: must have 1 to 100 visible"),
        (("tenants", "create", "x", "--owner", "0"), 1, "owner: is a Telegram id"),
        (("serve", "--port", "8080"), 2, "--port: say which part it is for"),
    ],
)
def test_expected_trouble_is_one_line(
    env: dict[str, str], tmp_path: Path, arguments: tuple[str, ...], code: int, line: str
) -> None:
    ended = zapisano(env, tmp_path, *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert line in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "broken", "code", "lines"),
    [
        ("serve", {"ZAPISANO_API_PORT": "x", "ZAPISANO_TIME_ZONE": "Mars"}, 2, 2),
        ("serve", {"DATABASE_URL": ""}, 2, 1),
        ("serve", {"DATABASE_URL": "127.0.0.1:5432/app"}, 2, 1),
        ("serve api --only credits", {"DATABASE_URL": "127.0.0.1:5432/app"}, 2, 1),
        ("serve api --only credits", {"DATABASE_URL": "mysql://u:topsecret@127.0.0.1/x"}, 2, 1),
        ("serve api", {"CLIENT_ID": "client_001"}, 2, 1),
        ("serve", {"ZAPISANO_HOST": "nowhere.invalid"}, 2, 1),
        ("serve", {"ZAPISANO_LOG_FILE": "/proc/nowhere/log"}, 2, 1),
        ("tenants list", {"DATABASE_URL": "postgresql://u:topsecret@127.0.0.1:9/x"}, 1, 1),
        ("migrate", {"DATABASE_URL": "postgres over there"}, 2, 1),
        ("migrate", {"ZAPISANO_SECRET_KEY": ""}, 2, 1),
    ],
)
def test_a_broken_setting_is_a_line_each(
    env: dict[str, str],
    tmp_path: Path,
    command: str,
    broken: dict[str, str],
    code: int,
    lines: int,
) -> None:
    ended = zapisano({**env, **broken}, tmp_path, *command.split())
    assert (ended.returncode, ended.stderr.count("\n")) == (code, lines), ended.stderr
    assert "topsecret" not in ended.stderr
    for name in broken:
        assert name in ended.stderr or code == 1


@pytest.mark.parametrize("setting", ["ZAPISANO_API_PORT", "ZAPISANO_WEBHOOK_PORT"])
def test_a_taken_port_is_one_line_that_names_the_setting(
    env: dict[str, str], tmp_path: Path, setting: str
) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", int(env[setting])))
        holder.listen()
        ended = zapisano(env, tmp_path, "serve")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith(f"{setting}: cannot listen on 127.0.0.1:")


def test_doctor_speaks_json_and_ends_with_1(env: dict[str, str], tmp_path: Path) -> None:
    ended = zapisano(env, tmp_path, "doctor", "--json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["ok"]) == (1, False)
    failed = {check["name"] for check in told["checks"] if check["outcome"] == "failed"}
    assert failed == {"Sales bot", "YooKassa"}
    assert not (tmp_path / "data").exists()


def test_redis_names_an_empty_answer_on_a_terminal_only(
    env: dict[str, str], tmp_path: Path, valkey_url: str
) -> None:
    """As redis-cli does."""
    env["REDIS_URL"] = valkey_url
    command = ("redis", "KEYS", "nothing_is_called_so:*")
    assert typed(env, tmp_path, "", *command) == "(empty array)\r\n"
    assert zapisano(env, tmp_path, *command).stdout == "\n"


@contextmanager
def serving(
    env: dict[str, str], folder: Path, command: tuple[str, ...]
) -> Generator["subprocess.Popen[str]"]:
    with ready_socket() as (address, wait):
        process = subprocess.Popen(
            command,
            env={**env, "NOTIFY_SOCKET": address},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            wait()
            yield process
        finally:
            process.kill()
            process.wait(10)
            if process.stderr:
                process.stderr.close()


def test_both_apps_in_one_process_end_together_with_open_streams(
    env: dict[str, str], tmp_path: Path, tenants: tuple[Tenant, Tenant]
) -> None:
    api, webhook = (
        f"http://127.0.0.1:{env[name]}" for name in ("ZAPISANO_API_PORT", "ZAPISANO_WEBHOOK_PORT")
    )
    bearer = {"Authorization": f"Bearer {env['MASTER_API_TOKEN']}"}
    with (
        serving(env, tmp_path, (*ZAPISANO, "serve")) as process,
        httpx.Client(trust_env=False, timeout=10) as client,
        client.stream("GET", f"{api}/api/events?after=0", headers=bearer) as stream,
    ):
        lines = stream.iter_lines()
        told = (int(line[4:]) for line in lines if line.startswith("id: "))
        assert [next(told) for _ in range(6)] == [1, 2, 3, 4, 5, 6]
        assert stream.headers["journal"]
        assert client.get(f"{webhook}/health").status_code in {200, 503}
        assert client.get(f"{api}/api/tenants", headers=bearer).json()["next"] is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(9) == 0
        assert process.stderr
        said = process.stderr.read()
    assert f"INFO:     Uvicorn running on {api}" in said
    assert f"INFO:     Uvicorn running on {webhook}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("inside", [True, False])
def test_the_guides_webhook_server_starts_with_any_python(
    env: dict[str, str], inside: bool, tmp_path: Path
) -> None:
    folder = ROOT / "sales_bot" if inside else ROOT
    script = "yookassa_webhook.py" if inside else "sales_bot/yookassa_webhook.py"
    log = tmp_path / "webhook.log"
    own = {**env, "ZAPISANO_LOG_FILE": str(log)}
    with serving(own, folder, (another_python(), script)) as process:
        port = env["ZAPISANO_WEBHOOK_PORT"]
        health = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        assert health.status_code in {200, 503}
        process.send_signal(signal.SIGINT)
        assert process.wait(9) == 0
        assert process.stderr
        assert f"INFO:     Uvicorn running on http://0.0.0.0:{port}" in process.stderr.read()


def test_the_guides_config_reads_the_product_settings(env: dict[str, str]) -> None:
    own = {**env, "CLIENT_ID": "client_001", "REDIS_KEY_PREFIX": "client_001:", "REDIS_HOST": "h"}
    line = "import config as c; print(c.CLIENT_ID, c.REDIS_KEY_PREFIX, c.REDIS_ENABLED, c.REDIS_DB)"
    ended = subprocess.run(
        [another_python(), "-c", line],
        env=own,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout == "client_001 client_001: True 0\n", ended.stderr


def another_python() -> str:
    """The Python that made our environment: without our libraries, like the system's."""
    return str(Path(sys.base_prefix) / "bin" / "python3")


def test_a_door_without_a_house_says_so(tmp_path: Path) -> None:
    (tmp_path / "sales_bot").mkdir()
    for name in ("door.py", "sales_bot/yookassa_webhook.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    ended = subprocess.run(
        [another_python(), "yookassa_webhook.py"],
        cwd=tmp_path / "sales_bot",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "make demo" in ended.stderr
    assert ended.stderr.count("\n") == 1
