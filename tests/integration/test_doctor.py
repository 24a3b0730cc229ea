"""The doctor finds what is wrong with each connection and credential, and shows no secret."""

import asyncio
import os
import pwd
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from simulator import Simulator, free_port
from telegram_bots import until
from test_cli import zapisano

from zapisano.bots.store import insert
from zapisano.credits.installation import install
from zapisano.credits.model import Rules
from zapisano.db import Database, open_alone, walls
from zapisano.db.migrate import Migration
from zapisano.db.probe import backends_are_shared
from zapisano.ops.doctor import Unwell, examine, report
from zapisano.ops.machine import check_machine, unreachable
from zapisano.ops.model import Check, Outcome
from zapisano.ops.services import check_redis, check_telegram, check_yookassa
from zapisano.settings import Settings
from zapisano.tenancy import Tenant
from zapisano.vault import Vault

Witness = asyncpg.Connection
NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture
def well(settings: Settings, simulator: Simulator, valkey_url: str) -> Settings:
    """Settings with which everything answers."""
    return settings.model_copy(
        update={
            "redis_url": SecretStr(valkey_url),
            "telegram_api_base": simulator.base_url,
            "sales_bot_token": SecretStr(simulator.sales_bot_token),
            "yookassa_api_url": f"{simulator.base_url}/v3",
            "yookassa_shop_id": simulator.config.yookassa_shop_id,
            "yookassa_secret_key": SecretStr(simulator.config.yookassa_secret_key),
            "demo": True,
        }
    )


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


async def outcome(settings: Settings, name: str) -> Check:
    return named(await examine(settings), name)


async def test_all_is_well(
    well: Settings, tenants: tuple[Tenant, Tenant], capsys: pytest.CaptureFixture[str]
) -> None:
    checks = await examine(well)
    assert [check for check in checks if check.outcome is Outcome.FAILED] == []
    assert named(checks, "Isolation by role").found == "is on; the app logs in as booking_app"
    assert "2 tenants at t0001" in named(checks, "Migrations").found
    await report(well, as_json=True)
    assert '"ok": true' in capsys.readouterr().out


async def test_a_database_that_is_not_there(well: Settings) -> None:
    broken = well.model_copy(
        update={"database_url": SecretStr("postgresql://u:topsecret@127.0.0.1:9/x")}
    )
    check = await outcome(broken, "PostgreSQL")
    assert (check.outcome, "topsecret" in str(check)) == (Outcome.FAILED, False)
    assert "DATABASE_URL" in check.remedy


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [("/test_", "/no_such_", "does not exist"), ("booking_user", "nobody_known", "refuses")],
)
async def test_a_database_that_refuses(well: Settings, old: str, new: str, found: str) -> None:
    dsn = well.database_url.get_secret_value().replace(old, new)
    check = await outcome(well.model_copy(update={"database_url": SecretStr(dsn)}), "PostgreSQL")
    assert check.outcome is Outcome.FAILED
    assert found in check.found


async def test_an_address_that_cannot_be_read(well: Settings) -> None:
    broken = well.model_copy(update={"database_url": SecretStr("postgres is over there")})
    assert (await outcome(broken, "PostgreSQL")).outcome is Outcome.FAILED


async def test_tenants_that_are_behind(
    well: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await witness.execute(
        "UPDATE shared.tenant_versions SET version_num = 't0000' WHERE schema_name = 'client_002'"
    )
    check = await outcome(well, "Migrations")
    assert (check.outcome, check.remedy) == (Outcome.FAILED, "zapisano migrate")
    assert "1 of 2 tenants are behind: client_002" in check.found


async def test_walls_that_a_superuser_has_still_to_raise(
    well: Settings, witness: Witness, postgres: str, dsn: str
) -> None:
    name = "Walls in the catalog"
    await Migration(well).run()  # a clone has rights of its own on the database
    assert (await outcome(well, name)).outcome is Outcome.OK
    admin = await asyncpg.connect(dsn.replace(urlsplit(dsn).netloc, urlsplit(postgres).netloc))
    await admin.execute(
        """GRANT SELECT ON pg_roles, pg_class TO PUBLIC;
           GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC"""
    )
    await admin.execute(f"GRANT TEMPORARY ON DATABASE {urlsplit(dsn).path[1:]} TO PUBLIC")
    check = await outcome(well, name)
    assert check.outcome is Outcome.WARNING
    assert check.found == (
        "a tenant's role may see how large others are, list roles, store large objects, "
        "make temporary tables"
    )
    line = f" zapisano psql -U postgres -d {urlsplit(dsn).path[1:]} -f {walls.FILE}"
    assert check.remedy.endswith(line)
    await admin.execute(walls.statements())
    await admin.close()
    assert (await outcome(well, name)).outcome is Outcome.OK


async def test_another_secret_key_locks_the_app_out(well: Settings) -> None:
    other = well.model_copy(
        update={"secret_key": SecretStr("another-secret-key-0123456789-abcdef")}
    )
    check = await outcome(other, "Isolation by role")
    assert check.outcome is Outcome.FAILED
    assert "zapisano migrate" in check.remedy


async def test_another_secret_key_opens_no_token(
    well: Settings, tenants: tuple[Tenant, Tenant], database: Database
) -> None:
    assert (await outcome(well, "Bots' tokens")).outcome is Outcome.OK
    async with database.shared() as conn:
        await insert(
            conn,
            bot_id=1,
            tenant_id=tenants[0].id,
            username="a_bot",
            token=Vault(well).lock("1:a"),
            managed=False,
        )
    assert (await outcome(well, "Bots' tokens")).outcome is Outcome.OK
    for key in ("another-secret-key-0123456789-abcdef", ""):
        check = await outcome(
            well.model_copy(update={"secret_key": SecretStr(key)}), "Bots' tokens"
        )
        assert check.outcome is Outcome.FAILED
        assert "put the key back" in check.remedy


async def test_a_database_of_a_newer_zapisano_is_not_to_be_migrated(
    well: Settings, witness: Witness
) -> None:
    await witness.execute("UPDATE shared.schema_version SET version_num = 's9999'")
    check = await outcome(well, "Migrations")
    assert (check.outcome, check.remedy) == (Outcome.FAILED, "use the newer Zapisano that made it")


async def test_an_app_address_of_its_own_that_is_wrong_is_named(well: Settings, dsn: str) -> None:
    wrong = dsn.replace("booking_user:", "booking_app:not-")
    check = await outcome(
        well.model_copy(update={"app_database_url": SecretStr(wrong)}), "Isolation by role"
    )
    assert (check.outcome, "APP_DATABASE_URL" in check.remedy) == (Outcome.FAILED, True)


async def test_jobs_that_failed_for_good(well: Settings, witness: Witness) -> None:
    await witness.execute(
        "INSERT INTO shared.pgqueuer (priority, status, entrypoint) VALUES (0, 'failed', 'x')"
    )
    assert (await outcome(well, "Jobs")).outcome is Outcome.WARNING


async def test_redis(well: Settings, valkey_url: str) -> None:
    for url in ("redis://127.0.0.1:9/0", "over there"):
        check = (await check_redis(well.model_copy(update={"redis_url": SecretStr(url)})))[0]
        assert (check.outcome, bool(check.remedy)) == (Outcome.FAILED, True)
    cluster = (await check_redis(well.model_copy(update={"redis_cluster": True})))[0]
    assert cluster.remedy == "set REDIS_CLUSTER=false"
    off = (await check_redis(well.model_copy(update={"redis_enabled": False})))[0]
    assert (off.outcome, "REDIS_ENABLED=true" in off.remedy) == (Outcome.WARNING, True)
    password = urlsplit(valkey_url).password
    if password:
        url = valkey_url.replace(password, "wrong")
        check = (await check_redis(well.model_copy(update={"redis_url": SecretStr(url)})))[0]
        assert "refuses the login" in check.found


async def test_telegram(well: Settings) -> None:
    token = "7000000001:AAanother-token-that-nobody-has-given-00"
    wrong = await check_telegram(well.model_copy(update={"sales_bot_token": SecretStr(token)}))
    assert wrong[0].outcome is Outcome.FAILED
    assert "401" in wrong[0].found or "404" in wrong[0].found
    assert token not in str(wrong)
    away = await check_telegram(well.model_copy(update={"telegram_api_base": NOBODY_LISTENS}))
    assert "TELEGRAM_PROXY" in away[0].remedy
    assert well.sales_bot_token.get_secret_value() not in str(away)
    none = await check_telegram(well.model_copy(update={"sales_bot_token": SecretStr("")}))
    assert "SALES_BOT_TOKEN" in none[0].found


async def test_a_stranger_in_a_partners_place_fails_that_check_alone(well: Settings) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        there = well.model_copy(update={"telegram_api_base": f"http://127.0.0.1:{port}"})
        found = {check.name: check.outcome for check in await examine(there)}
    assert found["Telegram"] is Outcome.FAILED
    assert found["YooKassa"] is Outcome.OK


async def test_a_webhook_that_leads_elsewhere(well: Settings, simulator: Simulator) -> None:
    token = simulator.sales_bot_token
    # What another test has left waiting would be told of as well.
    hook = {"url": "http://127.0.0.1:9/telegram/x", "drop_pending_updates": True}
    simulator.client.post(f"/bot{token}/setWebhook", json=hook).raise_for_status()
    try:
        for port, expected in ((9, Outcome.OK), (99, Outcome.WARNING)):
            ours = well.model_copy(update={"webhook_url": f"http://127.0.0.1:{port}"})
            check = named(await check_telegram(ours), "Sales bot's webhook")
            assert check.outcome is expected
    finally:
        simulator.client.post(f"/bot{token}/deleteWebhook")


async def test_yookassa(well: Settings) -> None:
    wrong = (
        await check_yookassa(well.model_copy(update={"yookassa_secret_key": SecretStr("test_no")}))
    )[0]
    assert (wrong.outcome, "401" in wrong.found) == (Outcome.FAILED, True)
    real = (await check_yookassa(well.model_copy(update={"yookassa_test": False})))[0]
    assert "YOOKASSA_TEST" in real.remedy
    away = (await check_yookassa(well.model_copy(update={"yookassa_api_url": NOBODY_LISTENS})))[0]
    assert away.outcome is Outcome.FAILED
    none = (await check_yookassa(well.model_copy(update={"yookassa_shop_id": ""})))[0]
    assert none.outcome is Outcome.FAILED


async def test_a_shop_that_does_not_say_who_sells(settings: Settings) -> None:
    silent = settings.model_copy(update={"demo": False, "support_contact": "@help"})
    found = named(await check_machine(silent), "Seller")
    assert (found.outcome, "who sells" in found.found) == (Outcome.WARNING, True)
    assert "ZAPISANO_OPERATOR_REQUISITES, ZAPISANO_OPERATOR_TERMS, ZAP" in found.remedy
    assert "SUPPORT" not in found.remedy
    said = {"operator_requisites": "X", "operator_terms": "Y", "operator_refunds": "Z"}
    told = await check_machine(silent.model_copy(update=said))
    assert named(told, "Seller").outcome is Outcome.OK


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://booking.example.org", ""),
        ("http://booking.example.org", "is not https"),
        ("https://localhost", "is known on this network only"),
        ("https://server", "is known on this network only"),
        ("https://box.local", "is known on this network only"),
        ("https://booking.example.org/hook", "has more than a host"),
    ],
)
def test_an_address_from_outside(url: str, problem: str) -> None:
    assert unreachable(url) == problem


async def test_the_machine(settings: Settings, tmp_path: Path) -> None:
    plans = tmp_path / "plans.toml"
    plans.write_text("[1m]\nname = 'x'\n")
    file = tmp_path / "file"
    file.write_text("")
    broken = settings.model_copy(
        update={
            "secret_key": SecretStr("a" * 64),
            "master_api_token": SecretStr("super_secret_token_123456"),
            "data_dir": file,
            "plans_file": plans,
            "webhook_url": "https://10.0.0.5",
        }
    )
    vars(broken).pop("plans", None)  # a copy keeps the list that `load` has read
    checks = await check_machine(broken)
    fatal = [check for check in checks if check.name != "Seller"]
    assert {check.outcome for check in fatal} == {Outcome.FAILED}
    assert all(check.remedy for check in checks)


async def test_a_failure_is_an_error_at_the_end(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unwell, match="Failed: 2"):
        await report(settings.model_copy(update={"redis_enabled": False}), as_json=False)
    out = capsys.readouterr().out
    assert "failed   Sales bot: SALES_BOT_TOKEN is not set\n         → make a bot" in out


@pytest.fixture
async def alone(postgres: str, settings: Settings) -> AsyncGenerator[Settings]:
    """Settings of credits alone, installed where nothing else is."""
    name = f"credits_{secrets.token_hex(6)}"
    cluster = await asyncpg.connect(postgres)
    await cluster.execute(f"CREATE DATABASE {name} TEMPLATE template0 OWNER booking_user")
    dsn = f"{settings.database_url.get_secret_value().rpartition('/')[0]}/{name}"
    changed = {"database_url": SecretStr(dsn), "secret_key": SecretStr("")}
    alone = settings.model_copy(update=changed)
    database = open_alone(alone)
    await install(database, Rules.of(alone))
    await database.close()
    yield alone
    await cluster.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await cluster.close()


def test_where_only_credits_are_only_they_are_looked_at(alone: Settings, tmp_path: Path) -> None:
    bare = {
        "PATH": os.environ["PATH"],
        "POSTGRES_URL": alone.database_url.get_secret_value(),
        "ZAPISANO_DATA_DIR": str(tmp_path / "data"),
    }
    unset = zapisano(bare, tmp_path, "doctor")
    assert (unset.returncode, unset.stderr) == (0, "")
    server, *lines = unset.stdout.splitlines()
    assert server.startswith("ok       PostgreSQL: ")
    assert lines == [
        "ok       Zapisano: only credits are here",
        "ok       Migrations of credits: up to date",
        "ok       Prices of models: 3 models have one",
        "ok       Accounts: none is frozen",
        "ok       Low balances: are told to nobody: CREDITS_WEBHOOK_URL is not set",
        "ok       Connection pooler: none that pools transactions",
        "warning  MIGRATION_SECRET: is not set: nobody may migrate, also for an update",
        "         → set it to the output of: openssl rand -base64 32; then start the API again",
        "warning  Sessions: no secret of the web app is set: server keys alone are let in",
        "         → set its NEXTAUTH_SECRET or AUTH_SECRET, then start the API again",
    ]
    whole = {**bare, "MIGRATION_SECRET": "m" * 32, "AUTH_SECRET": "x"}
    told = zapisano(whole, tmp_path, "doctor").stdout
    assert "ok       MIGRATION_SECRET: is set\n" in told
    assert "ok       Sessions: are opened by" in told
    short = zapisano({**bare, "MIGRATION_SECRET": "m" * 31}, tmp_path, "doctor")
    assert (short.returncode, "failed   MIGRATION_SECRET: is too short" in short.stdout) == (
        1,
        True,
    )


async def test_what_is_amiss_with_credits_has_a_remedy(alone: Settings, valkey_url: str) -> None:
    owner = await asyncpg.connect(alone.database_url.get_secret_value())
    await owner.execute("UPDATE user_balances SET frozen = 'the address clashes'")
    frozen = await outcome(alone, "Accounts")
    assert (frozen.outcome, frozen.found) == (
        Outcome.WARNING,
        "frozen, so that nobody may move them: 1, 2",
    )
    assert frozen.remedy.startswith("zapisano credits clashes ")
    query = alone.model_copy(update={"auth_session_query": "SELECT $1"})
    assert (await outcome(query, "Sessions")).outcome is Outcome.OK
    redis = alone.model_copy(update={"redis_url": SecretStr(valkey_url)})
    assert (await outcome(redis, "Redis")).outcome is Outcome.OK
    await owner.execute("UPDATE credits.schema_version SET version_num = 'c0001'")
    old = named(await examine(alone), "Migrations of credits")
    assert (old.outcome, "POST /api/admin/migrate" in old.remedy) == (Outcome.FAILED, True)
    await owner.close()


async def test_credits_beside_the_rest_do_not_hide_it(alone: Settings) -> None:
    """Where a sales bot or a secret key is set, somebody means to have more than credits."""
    key = SecretStr("a-secret-key-of-the-test-suite-0123456789")
    token = SecretStr("7000000001:AAanother-token-that-nobody-has-given-00")
    for change in ({"secret_key": key}, {"sales_bot_token": token}):
        more = alone.model_copy(update={**change, "telegram_api_base": NOBODY_LISTENS})
        found = {check.name: check.outcome for check in await examine(more)}
        assert found["Migrations"] is Outcome.FAILED
        assert found["Migrations of credits"] is Outcome.OK


@contextmanager
def pooler(dsn: str, folder: Path, mode: str) -> Generator[str]:
    """Debian's PgBouncer before the test's database, under another account if we are root."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("left out: no pgbouncer on this machine (Debian's package pgbouncer)")
    parts, port = urlsplit(dsn), free_port()
    folder.chmod(0o755)
    (folder / "users.txt").write_text(f'"{parts.username}" "{parts.password}"\n')
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={parts.hostname} port={parts.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = {mode}
default_pool_size = 5
ignore_startup_parameters = search_path,timezone,jit,synchronous_commit,extra_float_digits
"""
    )
    account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None
    process = subprocess.Popen(
        [program, "-q", str(folder / "pgbouncer.ini")], user=account, stderr=subprocess.DEVNULL
    )
    try:
        yield f"postgresql://{parts.username}:{parts.password}@127.0.0.1:{port}{parts.path}"
    finally:
        process.terminate()
        process.wait(10)


async def answering(dsn: str) -> str:
    address = urlsplit(dsn).hostname, urlsplit(dsn).port

    async def look() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(address) == 0

    await until(look, "the pooler listens")
    return dsn


async def test_a_transaction_pooler_is_refused_while_statements_are_cached(
    well: Settings, dsn: str
) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pooler(dsn, Path(folder), "transaction") as url:
        pooled = well.model_copy(update={"database_url": SecretStr(await answering(url))})
        check = await outcome(pooled, "Connection pooler")
        assert check.outcome is Outcome.FAILED
        assert "DATABASE_STATEMENT_CACHE=0" in check.remedy
        uncached = pooled.model_copy(update={"database_statement_cache": 0})
        assert (await outcome(uncached, "Connection pooler")).outcome is Outcome.WARNING


async def test_a_session_pooler_is_no_transaction_pooler(dsn: str) -> None:
    import tempfile

    assert not await backends_are_shared(dsn)
    with tempfile.TemporaryDirectory() as folder, pooler(dsn, Path(folder), "session") as url:
        assert not await backends_are_shared(await answering(url))
