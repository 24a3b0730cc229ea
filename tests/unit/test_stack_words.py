"""The stack's pure parts: settings, addresses, environments, redis-cli's way to print."""

import base64
import errno
import io
import os
import re
from contextlib import redirect_stdout
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import redis
from rich.console import Console

from zapisano.stack import addresses, folder, keys, launch, plan, redis_cli
from zapisano.stack.beside import settings_here
from zapisano.stack.config import StackConfig
from zapisano.stack.process import Process, in_order
from zapisano.stack.psql import call
from zapisano.stack.redis_cli import Failure, Reply, Status
from zapisano.stack.refusal import Refusal
from zapisano.stack.terminal import Terminal, panel, program


def test_every_broken_setting_is_named_at_once() -> None:
    broken = {"ZAPISANO_API_PORT": "0", "ZAPISANO_WEBHOOK_PORT": "٨", "ZAPISANO_DATA_DIR": " "}
    with pytest.raises(Refusal) as refusal:
        StackConfig.from_environment(broken)
    lines = str(refusal.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "ZAPISANO_API_PORT",
        "ZAPISANO_WEBHOOK_PORT",
        "ZAPISANO_DATA_DIR",
    ]


class FullDisk(io.StringIO):
    """A log on a disk without room."""

    def write(self, _text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_screen_and_a_folder_without_room_stop_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_room(_pids: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    running = folder.Running(api_url="http://a", webhook_url="http://w")
    screen = Terminal("up", tmp_path, running)
    screen.on_ready.append(no_room)
    screen.all_ready({"worker": 1})
    assert "could not be noted" in capsys.readouterr().out
    with redirect_stdout(FullDisk()):
        screen.note("worker is up again")
    screen.stopped()
    said = capsys.readouterr().out
    assert "Stopped." in said
    assert "up again" not in said  # nor kept, and told with all that follows


def test_an_empty_environment_is_enough() -> None:
    config = StackConfig.from_environment({})
    assert (config.api_port, config.webhook_port, config.simulator_port) == (8000, 8001, 8002)
    assert config.folder == Path.cwd() / ".zapisano"


# --- keys ---


def test_keys_are_made_once_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = keys.load_or_make(path)
    assert keys.load_or_make(path) == first
    path.write_text(path.read_text().replace("yookassa_shop_id", "of_a_later_version"))
    later = keys.load_or_make(path)
    assert later.postgres_password == first.postgres_password
    assert "of_a_later_version" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_keys_have_the_shapes_their_readers_check(tmp_path: Path) -> None:
    made = keys.load_or_make(tmp_path / "secrets.json")
    assert re.fullmatch(r"\d{10}:[\w-]{35}", made.sales_bot_token)
    assert len(base64.urlsafe_b64decode(made.secret_key)) == 32
    assert made.yookassa_secret_key.startswith("test_")
    assert made.yookassa_shop_id.isdigit()
    assert not any(secret in repr(made) for secret in asdict(made).values())


@pytest.mark.parametrize("text", ["{", "[]"])
def test_damaged_keys_are_not_replaced(tmp_path: Path, text: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(text)
    with pytest.raises(Refusal, match=r"ZAPISANO_DATA_DIR: .*secrets.json"):
        keys.load_or_make(path)
    assert path.read_text() == text


# --- addresses ---


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql+asyncpg://booking_user:p%40ss%3A@db.local:6432/booking_saas?sslmode=require",
            {
                "PGHOST": "db.local",
                "PGPORT": "6432",
                "PGUSER": "booking_user",
                "PGPASSWORD": "p@ss:",
                "PGDATABASE": "booking_saas",
                "PGSSLMODE": "require",
            },
        ),
        ("postgres://[::1]:5432/a", {"PGHOST": "::1", "PGPORT": "5432", "PGDATABASE": "a"}),
        ("postgres://one:1,two:2/a", {"PGHOST": "one,two", "PGPORT": "1,2", "PGDATABASE": "a"}),
        ("postgresql:///a?host=/run/pg", {"PGHOST": "/run/pg", "PGDATABASE": "a"}),
    ],
)
def test_a_database_address_becomes_libpqs_variables(url: str, expected: dict[str, str]) -> None:
    assert addresses.libpq(url) == expected


@pytest.mark.parametrize("url", ["mysql://a/b", "booking_saas", "postgres://a/b?gibberish=1"])
def test_an_address_psql_cannot_use_is_refused(url: str) -> None:
    with pytest.raises(Refusal, match="DATABASE_URL: "):
        addresses.libpq(url)


def test_psql_gets_no_password_on_its_line_and_no_stray_variable() -> None:
    env = {"DATABASE_URL": "postgres://u:secret@h/a", "PGSERVICE": "x", "PGHOSTADDR": "10.0.0.1"}
    made = call(StackConfig.from_environment(env), ["client_001", "-c", "SELECT 1"])
    assert made.argv[1:] == ("-c", "SELECT 1")
    assert made.env["PGOPTIONS"] == "-c search_path=client_001"
    assert made.env["PGPASSWORD"] == "secret"
    assert "PGSERVICE" not in made.env
    assert "PGHOSTADDR" not in made.env


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, ""),
        ({"REDIS_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_PASSWORD": "a/b"}, "redis://:a%2Fb@h:1/0"),
        ({"REDIS_HOST": "h", "REDIS_URL": "rediss://x"}, "rediss://x"),
    ],
)
def test_redis_is_named_in_either_way(env: dict[str, str], url: str) -> None:
    assert addresses.redis_url(env) == url


# --- plans ---

REAL = {
    "SALES_BOT_TOKEN": "1:real",
    "YOOKASSA_SECRET_KEY": "live_x",
    "MASTER_API_TOKEN": "real",
    "DATABASE_URL": "postgres://real/db",
    "REDIS_HOST": "real",
    "CLIENT_ID": "client_007",
    "HTTPS_PROXY": "http://proxy",
    "LANG": "ru_RU.UTF-8",
}


def test_up_takes_the_operators_settings_and_servers(tmp_path: Path) -> None:
    made = plan.up(StackConfig.from_environment({**REAL, "ZAPISANO_DATA_DIR": str(tmp_path)}))
    assert [process.name for process in made.processes] == ["migrate", "serve", "worker"]
    env = made.processes[0].env
    assert {name: env[name] for name in REAL} == REAL
    assert "REDIS_URL" not in env
    assert env["ZAPISANO_SECRET_KEY"]
    assert "ZAPISANO_DEMO" not in env
    # To commands typed beside it goes only what the operator has not said.
    assert made.running.settings == {"ZAPISANO_SECRET_KEY": env["ZAPISANO_SECRET_KEY"]}


def test_commands_beside_it_see_the_servers_that_up_has_made(tmp_path: Path) -> None:
    made = plan.up(StackConfig.from_environment({"ZAPISANO_DATA_DIR": str(tmp_path)}))
    env = made.processes[-1].env
    names = ("DATABASE_URL", "REDIS_URL", "ZAPISANO_SECRET_KEY", "MASTER_API_TOKEN")
    assert made.running.settings == {name: env[name] for name in names}


def test_commands_typed_beside_up_on_the_operators_database_get_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"DATABASE_URL": "postgresql://h/a", "ZAPISANO_DATA_DIR": str(tmp_path)}
    made_by_it = dict.fromkeys(("ZAPISANO_SECRET_KEY", "REDIS_URL", "MASTER_API_TOKEN"), "")
    for name, value in {**given, **made_by_it}.items():
        monkeypatch.setenv(name, value)
    made = plan.up(StackConfig.from_environment(given))
    env = made.processes[-1].env
    with folder.held(tmp_path, "zapisano up"):
        folder.tell(tmp_path, replace(made.running, pids={"worker": os.getpid()}))
        beside = settings_here()
    assert beside.secret_key.get_secret_value() == env["ZAPISANO_SECRET_KEY"]
    assert beside.redis == env["REDIS_URL"]
    for name in ("ZAPISANO_SECRET_KEY", "REDIS_URL"):
        monkeypatch.setenv(name, "")
    stopped = settings_here()
    assert stopped.secret_key.get_secret_value() == env["ZAPISANO_SECRET_KEY"]
    assert stopped.redis == ""
    for name in ("ZAPISANO_SECRET_KEY", "REDIS_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("DATABASE_URL", "postgresql://production/a")
    assert settings_here().secret_key.get_secret_value() == "", "another database's key"
    monkeypatch.setenv("ZAPISANO_SECRET_KEY", "of-the-operator-0123456789-abcdefgh")
    assert settings_here().secret_key.get_secret_value() == "of-the-operator-0123456789-abcdefgh"


def test_up_without_redis_on_purpose_starts_none(tmp_path: Path) -> None:
    off = {"DATABASE_URL": "postgres://h/a", "REDIS_ENABLED": "False"}
    made = plan.up(StackConfig.from_environment({**off, "ZAPISANO_DATA_DIR": str(tmp_path)}))
    assert [process.name for process in made.processes] == ["migrate", "serve", "worker"]


def test_a_process_can_only_wait_for_an_earlier_one() -> None:
    first, second = Process("a", ("a",), {}, after=("b",)), Process("b", ("b",), {})
    in_order((second, first))
    for wrong in ((first, second), (second, second)):
        with pytest.raises(ValueError, match="after"):
            in_order(wrong)


# --- what is printed ---


def test_the_panel_names_the_command_as_it_is_typed_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / ".venv" / "bin" / "zapisano"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(own.with_name("python")))
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.chdir(tmp_path)
    assert program() == ".venv/bin/zapisano"
    monkeypatch.setenv("PATH", str(own.parent))
    assert program() == "zapisano"


@pytest.mark.parametrize(("mode", "told"), [("up", True), ("demo", False)])
def test_the_panel_of_up_says_how_to_ask_after_the_partners(
    tmp_path: Path, mode: str, told: bool
) -> None:
    running = folder.Running(api_url="http://a", webhook_url="http://w")
    printed = io.StringIO()
    Console(file=printed, width=120).print(panel(mode, tmp_path, running, 1.0))
    assert bool(re.search(r"Check .*zapisano doctor", printed.getvalue())) is told


@pytest.mark.parametrize(
    ("wire", "reply", "shown", "raw"),
    [
        (b"+OK\r\n", Status("OK"), "OK", "OK"),
        (b"-ERR no\r\n", Failure("ERR no"), "(error) ERR no", "ERR no"),
        (b":7\r\n", 7, "(integer) 7", "7"),
        (b"$-1\r\n", None, "(nil)", ""),
        (b'$6\r\na"\r\n\x00\\\r\n', b'a"\r\n\x00\\', r'"a\"\r\n\x00\\"', 'a"\r\n\x00\\'),
        (b"*0\r\n", [], "(empty array)", ""),
        (
            b"*2\r\n*2\r\n:1\r\n:2\r\n$1\r\nx\r\n",
            [[1, 2], b"x"],
            '1) 1) (integer) 1\n   2) (integer) 2\n2) "x"',
            "1\n2\nx",
        ),
    ],
)
def test_replies_look_as_redis_cli_prints_them(
    wire: bytes, reply: Reply, shown: str, raw: str
) -> None:
    assert redis_cli.read(io.BytesIO(wire)) == reply
    assert redis_cli.shown(reply) == shown
    assert redis_cli.raw(reply) == raw


def test_a_reply_cut_short_is_an_error() -> None:
    with pytest.raises(redis.ConnectionError):
        redis_cli.read(io.BytesIO(b"*1\r\n"))


def test_a_deep_folder_still_hears_its_children(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90) / ("e" * 90)
    notify = launch.Notify.listen(deep, "worker")
    assert notify.path.parent.is_dir()
    notify.close()
    assert not notify.path.parent.exists()


def test_a_grown_log_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    assert launch.rotate(log) == 0
    log.write_text("short\n")
    assert launch.rotate(log) == 6
    with log.open("ab") as file:
        file.truncate(launch.MAX_LOG_BYTES)
    assert launch.rotate(log) == 0
    assert (tmp_path / "worker.log.1").exists()
