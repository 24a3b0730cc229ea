"""`zapisano psql`: the right database, embedded or not, by the password's own way."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zapisano.stack import addresses, binaries
from zapisano.stack.config import StackConfig
from zapisano.stack.files import write_private
from zapisano.stack.refusal import Refusal

TENANT = re.compile(r"[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Call:
    """A program to become: its line and its whole environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    tenant: str = ""

    def become(self) -> None:
        """Replace this process, so that the terminal, signals and the exit code are psql's."""
        os.execvpe(self.argv[0], self.argv, dict(self.env))  # noqa: S606 - no shell is wanted


def call(config: StackConfig, arguments: Sequence[str]) -> Call:
    """What `zapisano psql <arguments>` runs; a first word without a dash names a tenant.

    Raises:
        Refusal: nothing is running and no database is set, or the word can't be a tenant's id.
    """
    tenant, rest = _tenant(arguments)
    env = dict(config.environment)
    # A PGDATABASE or PGSERVICE of the operator's would lead elsewhere; how psql looks stays.
    for name in (*addresses.LIBPQ.values(), "PGHOSTADDR", "PGSERVICE"):
        if name != "PGOPTIONS":
            env.pop(name, None)
    env |= _connection(config)
    if tenant:
        options = env.get("PGOPTIONS", "")
        env["PGOPTIONS"] = f"{options} -c search_path={tenant}".strip()
    return Call((binaries.psql(), *rest), env, tenant)


def check_tenant(called: Call) -> None:
    """See that the schema to be entered is there; in one that is not, no table would be found.

    Raises:
        Refusal: there is none, and why.
    """
    tenant = called.tenant
    there = f"SELECT to_regnamespace('{tenant}') IS NOT NULL"  # letters, digits
    if not tenant or _asked(called, there) != "f":
        return
    registry = f"SELECT state FROM shared.tenants WHERE id = '{tenant}'"  # noqa: S608 # the same
    state = _asked(called, registry)
    if state == "archived":
        raise Refusal(f"{tenant} is archived: `zapisano tenants restore {tenant}` brings it back")
    if state:
        raise Refusal(f"{tenant} is {state} and has no schema yet")
    raise Refusal(f"There is no tenant {tenant}: `zapisano tenants list` shows those there are")


def _asked(called: Call, question: str) -> str:
    """The answer of the database; empty when it has none: psql itself will say why."""
    asked = subprocess.run(  # noqa: S603 - the program that is about to be called, no shell
        [called.argv[0], "-XAtc", question],
        env=dict(called.env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.strip()


def _tenant(arguments: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    if not arguments or arguments[0].startswith("-"):
        return "", tuple(arguments)
    if not TENANT.fullmatch(arguments[0]):
        raise Refusal(f"{arguments[0]!r} can't be a tenant's id; one looks like client_001")
    return arguments[0], tuple(arguments[1:])


def _connection(config: StackConfig) -> dict[str, str]:
    url = addresses.database_url(config.environment)
    if url:
        return addresses.libpq(url)
    found = addresses.running(config, "DATABASE_URL")
    connection = addresses.libpq(found.database_url)
    if not found.admin_database_url:
        return connection
    # Both passwords in a file, so that `-U postgres` works as in the guide.
    admin = addresses.libpq(found.admin_database_url)
    passwords = config.folder / "run" / "pgpass"
    write_private(passwords, "".join(f"{_line(one)}\n" for one in (connection, admin)))
    del connection["PGPASSWORD"]
    return {**connection, "PGPASSFILE": str(passwords)}


def _line(known: Mapping[str, str]) -> str:
    return f"{known['PGHOST']}:{known['PGPORT']}:*:{known['PGUSER']}:{known['PGPASSWORD']}"
