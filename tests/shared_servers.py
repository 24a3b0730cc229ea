"""One PostgreSQL and one Valkey for a whole run, on however many workers.

The first worker that needs them starts them, the others use them, and the first one leaves last:
servers die with the process that started them.
"""

import fcntl
import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from zapisano.stack.postgres import Postgres
from zapisano.stack.servers import embedded_postgres, embedded_valkey

OWNER_PASSWORD = "x"
# Nothing here has to survive a power cut. A small log is written over and over, and stays small.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "256MB",
    "max_connections": "200",
}
# A database for each test is some hundred files made and removed again: on a disk that takes up to
# twenty times as long as in memory.
IN_MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30  # noqa: S108 # mkdtemp makes a folder of our own in it


@dataclass(frozen=True)
class Servers:
    postgres: Postgres
    valkey_url: str


def fastest_place() -> Path | None:
    """Memory, where there is plenty; None is where temporary files are otherwise."""
    if IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free > ROOM:
        return IN_MEMORY
    return None


@contextmanager
def started(record: Path) -> Generator[Servers]:
    """Start both in a new folder that PostgreSQL's account can reach, and write down where."""
    folder = Path(tempfile.mkdtemp(prefix="zapisano-tests-", dir=fastest_place()))
    folder.chmod(0o711)
    # A word that test modules may write into an address by hand.
    (folder / "secrets.json").write_text(json.dumps({"booking_password": OWNER_PASSWORD}))
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


@contextmanager
def shared_servers(folder: Path) -> Generator[Servers]:
    """Both servers. Who enters holds `users` shared; the owner waits at the end for all to leave.

    `folder` is the same for all workers of a run. `door` is held while one decides or leaves, so
    that nobody enters a house being closed.
    """
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
