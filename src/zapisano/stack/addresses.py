"""Addresses of a database and a Redis: from the operator's settings, or of the running stack."""

from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from zapisano.stack import folder
from zapisano.stack.config import StackConfig
from zapisano.stack.folder import Running
from zapisano.stack.refusal import Refusal

DATABASE_KEYS = ("DATABASE_URL", "POSTGRES_URL")
REDIS_KEYS = ("REDIS_URL", "REDIS_HOST")
# libpq knows each of its settings as a word in a URL and as a variable.
# https://www.postgresql.org/docs/18/libpq-envars.html
LIBPQ = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "options": "PGOPTIONS",
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "dbname": "PGDATABASE",
    "password": "PGPASSWORD",
}


def database_url(env: Mapping[str, str]) -> str:
    """The database that an environment names; empty if none."""
    return next((env[name] for name in DATABASE_KEYS if env.get(name)), "")


def redis_url(env: Mapping[str, str]) -> str:
    """The Redis that an environment names, in either of its two ways; empty if none."""
    if env.get("REDIS_URL") or not env.get("REDIS_HOST"):
        return env.get("REDIS_URL", "")
    password = quote(env.get("REDIS_PASSWORD", ""), safe="")
    secret = f":{password}@" if password else ""
    return f"redis://{secret}{env['REDIS_HOST']}:{env.get('REDIS_PORT') or 6379}/0"


def running(config: StackConfig, what: str) -> Running:
    """The stack that runs in the data folder.

    Raises:
        Refusal: none does, or it is another user's; `what` names the setting that would help.
    """
    with folder.writing(config.folder):
        found = folder.find_running(config.folder)
    if found is None:
        raise Refusal(nothing_runs(what))
    return found


def nothing_runs(setting: str) -> str:
    """Say to somebody who types a command beside no stack what would help."""
    return (
        f"Nothing is running here: start `zapisano demo` or `zapisano up`, or set {setting} "
        "(ZAPISANO_DATA_DIR names another folder)"
    )


def libpq(url: str) -> dict[str, str]:
    """A database's address as libpq's variables, so that no password is on a command line.

    Several hosts (`h1:5432,h2:5433`) are kept as libpq knows them.

    Raises:
        Refusal: it is not a PostgreSQL address, or has a parameter that psql could not be given.
    """
    parts = urlsplit(url)
    if parts.scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise Refusal("DATABASE_URL: an address looks like postgresql://user:password@host/name")
    who, _, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    ends = [
        host.rpartition(":") if _has_port(host) else (host, "", "") for host in hosts.split(",")
    ]
    variables = {
        "PGHOST": ",".join(unquote(host).strip("[]") for host, _, _ in ends),
        "PGPORT": ",".join(port for _, _, port in ends).strip(","),
        "PGUSER": unquote(user),
        "PGPASSWORD": unquote(password),
        "PGDATABASE": unquote(parts.path.removeprefix("/")),
    }
    for name, value in parse_qsl(parts.query):
        if name not in LIBPQ:
            raise Refusal(f"DATABASE_URL: psql can't be told {name!r}")
        variables[LIBPQ[name]] = value
    return {name: value for name, value in variables.items() if value}


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]
