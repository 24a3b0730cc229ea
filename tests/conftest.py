"""Real servers for every test that asks: one PostgreSQL and one Valkey for the whole run.

The first worker that needs them starts them, the others use them, and the first one leaves last:
servers die with the process that started them.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from zapisano.stack.postgres import Postgres
from zapisano.stack.servers import embedded_postgres, embedded_valkey

# Nothing here has to survive a power cut.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@dataclass(frozen=True)
class Servers:
    postgres: Postgres
    valkey_url: str


@contextmanager
def started(record: Path) -> Generator[Servers]:
    """Start both in a new folder that PostgreSQL's account can reach, and write down where."""
    folder = Path(tempfile.mkdtemp(prefix="zapisano-tests-"))
    folder.chmod(0o711)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        postgres = stack.enter_context(embedded_postgres(folder, FAST))
        valkey = stack.enter_context(embedded_valkey(folder, "no"))
        address = {
            "home": str(postgres.home),
            "programs": str(postgres.programs),
            "port": postgres.port,
            "superuser_password": postgres.superuser_password,
            "owner_password": postgres.owner_password,
            "valkey_url": valkey.url,
        }
        record.write_text(json.dumps(address))
        yield Servers(postgres, valkey.url)


def found(record: Path) -> Servers:
    """The servers that another worker started."""
    address = json.loads(record.read_text())
    postgres = Postgres(
        home=Path(address["home"]),
        programs=Path(address["programs"]),
        account=None,
        port=address["port"],
        superuser_password=address["superuser_password"],
        owner_password=address["owner_password"],
    )
    return Servers(postgres, address["valkey_url"])


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Servers]:
    """Both servers. Who enters holds `users` shared; the owner waits at the end for all to leave.

    `door` is held while one decides or leaves, so that nobody enters a house being closed.
    """
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    record = folder / "servers.json"
    with (folder / "door").open("w") as door, (folder / "users").open("w") as users:
        fcntl.flock(door, fcntl.LOCK_EX)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(users, fcntl.LOCK_SH)
            fcntl.flock(door, fcntl.LOCK_UN)
            yield found(record)
            return
        with started(record) as ours:
            fcntl.flock(users, fcntl.LOCK_SH)
            fcntl.flock(door, fcntl.LOCK_UN)
            yield ours
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_EX)


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> Postgres:
    """PostgreSQL: `.dsn(database, user=…)` for `postgres` (superuser) and `booking_user`."""
    return servers.postgres


@pytest.fixture(scope="session")
def valkey_url(servers: Servers) -> str:
    """The address of Valkey's database 0."""
    return servers.valkey_url
