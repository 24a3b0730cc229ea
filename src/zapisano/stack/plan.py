"""What `demo` and `up` run, as data: processes, their environment, the ports they need."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from zapisano.stack import keys as secret_keys
from zapisano.stack import ports
from zapisano.stack.addresses import DATABASE_KEYS, REDIS_KEYS, database_url, redis_url
from zapisano.stack.config import (
    API_PORT,
    FOLDER,
    SESSIONS,
    SIMULATOR_PORT,
    WEBHOOK_PORT,
    StackConfig,
)
from zapisano.stack.folder import Running
from zapisano.stack.keys import Keys
from zapisano.stack.ports import LOOPBACK
from zapisano.stack.postgres import DATABASE, SUPERUSER, Postgres
from zapisano.stack.process import Process, Ready
from zapisano.stack.valkey import Valkey

# What the operator may have set for a real system. The demo must never speak to it.
REAL_WORLD = (
    *("DATABASE_", "POSTGRES_", "REDIS_", "TELEGRAM_", "YOOKASSA_", "MASTER_", "CLIENT_"),
    *("SALES_BOT_", "WEBHOOK_", "LEGACY_", "SIMULATOR_", "APP_DATABASE_", "PG"),
    "CREDITS_WEBHOOK_",
)
HOOK = ("CREDITS_WEBHOOK_URL", "CREDITS_WEBHOOK_SECRET")
HERE = ("127.0.0.1", "localhost", "::1")
FILES = ("ZAPISANO_PLANS_FILE", "ZAPISANO_LOG_FILE", "CREDITS_PRICES_FILE")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
OFF = ("0", "false", "no", "off")


@dataclass(frozen=True)
class Plan:
    """Everything that one start needs: processes, ports by their setting, what to tell others."""

    processes: tuple[Process, ...]
    ports: Mapping[str, int]
    running: Running


def demo(config: StackConfig) -> Plan:
    """The whole business on one machine, with the simulators as the outside world."""
    keys = secret_keys.load_or_make(config.folder / "secrets.json")
    postgres, valkey = _postgres(config, keys), _valkey(config, keys)
    made = {
        **_own_keys(keys),
        **_simulated_world(config, keys),
        "DATABASE_URL": postgres.dsn(),
        "REDIS_URL": valkey.url,
    }
    given = _from_here(_without_real_world(config.environment))
    if any(given.get(name) for name in SESSIONS):
        del made["NEXTAUTH_SECRET"]  # sessions of a web app that is there already
    env = {**given, **_own_settings(config), **made}
    admin = postgres.dsn(DATABASE, user=SUPERUSER)
    simulator = Process("simulator", _module("zapisano.simulator"), env)
    needs = (simulator, postgres.process(), valkey.process())
    # In the data folder there is no `.env` of a real system for the product to read.
    parts = (replace(part, cwd=config.folder) for part in product(needs, env))
    return Plan(
        processes=(*needs, *parts),
        ports=_ports(config) | {SIMULATOR_PORT: config.simulator_port},
        running=_running(config, env, made, admin, page=f"{_url(config.simulator_port)}/"),
    )


def up(config: StackConfig) -> Plan:
    """The product alone; what the operator set wins, and each server not named is embedded."""
    keys = secret_keys.load_or_make(config.folder / "secrets.json")
    given = {name: value for name, value in config.environment.items() if value}
    made, servers, admin = _own_keys(keys), list[Process](), ""
    if not any(name in given for name in DATABASE_KEYS):
        postgres = _postgres(config, keys)
        made["DATABASE_URL"] = postgres.dsn()
        admin = postgres.dsn(DATABASE, user=SUPERUSER)
        servers.append(postgres.process())
    elif "ZAPISANO_SECRET_KEY" not in given:
        secret_keys.remember_database(config.folder / "secrets.json", database_url(given))
    redis_is_off = given.get("REDIS_ENABLED", "").lower() in OFF
    if not redis_is_off and not any(name in given for name in REDIS_KEYS):
        valkey = _valkey(config, keys)
        made["REDIS_URL"] = valkey.url
        servers.append(valkey.process())
    env = {**made, **given, **_own_settings(config)}
    return Plan(
        processes=(*servers, *product(tuple(servers), env)),
        ports=_ports(config),
        running=_running(config, env, _not_given(made, given), admin, page=""),
    )


def product(needs: tuple[Process, ...], env: Mapping[str, str]) -> tuple[Process, ...]:
    """The product's processes: the migration, the HTTP apps and the job process.

    The apps and the job process wait for servers and schema by themselves, so that the seconds
    their imports take are spent beside the others' start.
    """
    after = tuple(process.name for process in needs)
    migrate = Process(
        "migrate",
        (*_module("zapisano"), "migrate", "--go-on"),
        env,
        after=after,
        ready=Ready.EXIT,
        patience_seconds=float("inf"),
        slow_note="is bringing the schemas up to date",
    )
    later = (*after, "migrate")
    log = _webhook_log()
    return (
        migrate,
        *(
            Process(
                name,
                (*_module("zapisano"), name),
                {**env, **log} if name == "serve" else env,
                after=later,
                waits_itself=True,
                patience_seconds=float("inf"),
                slow_note="is waiting for the servers",
            )
            for name in ("serve", "worker")
        ),
    )


def _webhook_log() -> dict[str, str]:
    """Where the booking guide's `tail -f sales_bot/logs/webhook.log` looks, if we stand there."""
    folder = Path.cwd() / "sales_bot"
    return {"ZAPISANO_LOG_FILE": str(folder / "logs" / "webhook.log")} if folder.is_dir() else {}


def _postgres(config: StackConfig, keys: Keys) -> Postgres:
    return Postgres.at(
        config.folder,
        port=ports.remembered(config.folder / "ports.json", "postgres"),
        superuser_password=keys.postgres_password,
        owner_password=keys.booking_password,
    )


def _valkey(config: StackConfig, keys: Keys) -> Valkey:
    port = ports.remembered(config.folder / "ports.json", "valkey")
    return Valkey.at(config.folder, port=port, password=keys.redis_password)


def _own_settings(config: StackConfig) -> dict[str, str]:
    return {
        FOLDER: str(config.folder),
        API_PORT: str(config.api_port),
        WEBHOOK_PORT: str(config.webhook_port),
    }


def _own_keys(keys: Keys) -> dict[str, str]:
    return {"ZAPISANO_SECRET_KEY": keys.secret_key, "MASTER_API_TOKEN": keys.master_api_token}


def _simulated_world(config: StackConfig, keys: Keys) -> dict[str, str]:
    """Base addresses that lead to the simulators, and the simulators' own settings."""
    outside, api = _url(config.simulator_port), _url(config.api_port)
    return {
        "ZAPISANO_DEMO": "true",
        "ZAPISANO_PUBLIC_URL": api,
        "WEBHOOK_URL": api,
        "TELEGRAM_API_BASE": outside,
        # The way back from the checkout page, which the phone shows in its own browser.
        "TELEGRAM_LINK_BASE": f"{outside}/t",
        "SALES_BOT_TOKEN": keys.sales_bot_token,
        "YOOKASSA_API_URL": f"{outside}/v3",
        "YOOKASSA_SHOP_ID": keys.yookassa_shop_id,
        "YOOKASSA_SECRET_KEY": keys.yookassa_secret_key,
        "YOOKASSA_NETWORKS": "127.0.0.0/8,::1/128",
        "YOOKASSA_TEST": "true",
        "YOOKASSA_AUTOPAY": "on",
        "NEXTAUTH_SECRET": keys.nextauth_secret,
        # The booking guide's test payment was made by the old sales bot.
        "LEGACY_SALES_UNTIL": "2099-12-31",
        "SIMULATOR_PORT": str(config.simulator_port),
        "SIMULATOR_DIR": str(config.folder / "simulator"),
        "SIMULATOR_PUBLIC_URL": outside,
        "SIMULATOR_SALES_BOT_TOKEN": keys.sales_bot_token,
        "SIMULATOR_YOOKASSA_SHOP_ID": keys.yookassa_shop_id,
        "SIMULATOR_YOOKASSA_SECRET_KEY": keys.yookassa_secret_key,
        "SIMULATOR_YOOKASSA_NOTIFY_URL": f"{_url(config.webhook_port)}/webhook/yookassa",
        "SIMULATOR_STORY_URL": f"{api}/api/events",
        "SIMULATOR_STORY_TOKEN": keys.master_api_token,
    }


def _without_real_world(environment: Mapping[str, str]) -> dict[str, str]:
    """The operator's environment less what leads out: the demo's traffic is loopback only."""
    return {
        name: value
        for name, value in environment.items()
        if name.lower() not in PROXIES
        and (not name.upper().startswith(REAL_WORLD) or (name in HOOK and _is_here(environment)))
    }


def _is_here(environment: Mapping[str, str]) -> bool:
    """Say whether low balances are told to a server on this machine."""
    return urlsplit(environment.get("CREDITS_WEBHOOK_URL", "")).hostname in HERE


def _from_here(environment: Mapping[str, str]) -> dict[str, str]:
    """Make the files that are named from here absolute: the demo's parts run in its folder."""
    here = Path.cwd()
    return {
        name: str(here / value) if value and name in FILES else value
        for name, value in environment.items()
    }


def _ports(config: StackConfig) -> dict[str, int]:
    return {API_PORT: config.api_port, WEBHOOK_PORT: config.webhook_port}


def _not_given(made: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in made.items() if name not in given}


def _running(
    config: StackConfig,
    env: Mapping[str, str],
    made: Mapping[str, str],
    admin: str,
    page: str,
) -> Running:
    return Running(
        page_url=page,
        api_url=_url(config.api_port),
        webhook_url=_url(config.webhook_port),
        database_url=database_url(env),
        admin_database_url=admin,
        redis_url=redis_url(env),
        settings=made,
    )


def _url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


def _module(name: str) -> tuple[str, ...]:
    """Run a module of ours; -P keeps the folder we were started in out of the import path."""
    return (sys.executable, "-P", "-m", name)
