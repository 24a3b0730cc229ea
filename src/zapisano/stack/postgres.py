"""Embedded PostgreSQL: a cluster made once, and how to run and reach it."""

import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from zapisano.stack import account as accounts
from zapisano.stack.account import Account
from zapisano.stack.ports import LOOPBACK
from zapisano.stack.process import Process
from zapisano.stack.refusal import StartFailed

SUPERUSER = "postgres"
OWNER = "booking_user"
DATABASE = "booking_saas"
# SIGINT is PostgreSQL's fast shutdown (clients are cut off, data is flushed), SIGQUIT the
# immediate one, after which the next start recovers from the log.
FAST, IMMEDIATE = signal.SIGINT, signal.SIGQUIT

# Read as a file: its module would load the driver, which no start needs.
WALLS = Path(__file__).parents[1] / "db" / "walls.sql"

CONFIGURATION = """
# --- Written once by zapisano; yours to edit. ---
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
shared_buffers = 128MB
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %q%u@%d '
# One system call per file system instead of one per file: a recovery starts at once.
recovery_init_sync_method = syncfs
"""
ACCESS = """# Passwords for everybody, over the loopback interface only.
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class Postgres:
    """One embedded cluster: its folder, programs, account, port and passwords."""

    home: Path
    programs: Path
    account: Account | None
    port: int
    superuser_password: str = field(repr=False)
    owner_password: str = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def at(
        cls,
        folder: Path,
        *,
        port: int,
        superuser_password: str,
        owner_password: str,
        settings: Mapping[str, str] | None = None,
    ) -> "Postgres":
        """The cluster of a data folder (see `account` for where it lies when root starts it)."""
        whom = accounts.owner_of(folder / "postgres") or accounts.unprivileged()
        home = accounts.home(folder, whom)
        whom = accounts.owner_of(home) or whom
        return cls(
            home=home,
            programs=accounts.programs(whom),
            account=whom,
            port=port,
            superuser_password=superuser_password,
            owner_password=owner_password,
            settings=settings or {},
        )

    @property
    def data(self) -> Path:
        """PGDATA."""
        return self.home / "data"

    def dsn(self, database: str = DATABASE, *, user: str = OWNER) -> str:
        """The address for one of the two roles; others take it apart themselves."""
        password = self.superuser_password if user == SUPERUSER else self.owner_password
        return f"postgresql://{user}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    def process(self) -> Process:
        """The server as the supervisor runs it."""
        settings = {"port": str(self.port), **self.settings}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Process(
            name="postgres",
            argv=(str(self.programs / "postgres"), "-D", str(self.data), *options),
            env=self._environment(),
            ready=self.is_ready,
            prepare=self.prepare,
            account=self.account,
            cwd=self.home if self.account is None else Path("/"),
            stop_signal=FAST,
            kill_signal=IMMEDIATE,
            death_signal=FAST,
            grace_seconds=60.0,
            # Recovery after a crash takes as long as it takes; only its end counts.
            patience_seconds=float("inf"),
            slow_note="is recovering what the last run left; this can take minutes",
            stop_note="is writing its last checkpoint; with many tenants this takes a while",
        )

    def is_ready(self) -> bool:
        """Whether it takes connections (`pg_isready`: not yet during recovery)."""
        ask = str(self.programs / "pg_isready")
        try:
            asked = subprocess.run(  # noqa: S603 - a fixed program
                [ask, "-h", LOOPBACK, "-p", str(self.port), "-t", "2"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=False,
            )
        except OSError:
            return False  # no memory or process left to ask with; asked again soon
        return asked.returncode == 0

    def prepare(self, lock: int) -> None:
        """Make the cluster if there is none: beside its place, then renamed, all or nothing.

        One that an older program has made gets the walls of this one.
        """
        walls = WALLS.read_text(encoding="utf-8")
        known = self.home / "walls"
        digest = hashlib.sha256(walls.encode()).hexdigest()
        if not self.data.exists():
            self._make(lock, walls)
        elif not known.exists() or known.read_text() != digest:
            self._single_user(lock, self.data, DATABASE, walls, "-j")
        else:
            return
        known.write_text(digest)

    def _make(self, lock: int, walls: str) -> None:
        fresh = self.home / "new"
        if fresh.exists():
            shutil.rmtree(fresh)
        self._run(lock, "initdb", *self._initdb_options(), "-D", str(fresh))
        with (fresh / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)
        (fresh / "pg_hba.conf").write_text(ACCESS)
        # What is being made is flushed at the end, all at once.
        quick = ("-c", "fsync=off")
        self._single_user(lock, fresh, "postgres", self._roles(), *quick)
        self._single_user(lock, fresh, DATABASE, "CREATE EXTENSION btree_gist\n", *quick)
        self._single_user(lock, fresh, DATABASE, walls, "-j", *quick)
        if self.settings.get("fsync") != "off":
            self._run(lock, "initdb", "--sync-only", "-D", str(fresh))
        fresh.rename(self.data)

    def _initdb_options(self) -> tuple[str, ...]:
        """UTF-8 and the built-in C.UTF-8: the same order and case rules on every machine."""
        return (
            *("--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
            *("--no-sync", "--no-instructions"),
        )

    def _roles(self) -> str:
        """One statement per line, as single-user mode reads them; passwords are hexadecimal."""
        return (
            f"ALTER ROLE {SUPERUSER} PASSWORD '{self.superuser_password}'\n"
            f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{self.owner_password}'\n"
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}\n"
        )

    def _single_user(
        self, lock: int, data: Path, database: str, statements: str, *options: str
    ) -> None:
        """Run statements with no server and no port, so that no password is ever the default.

        Each is a line; with `-j` each ends with a semicolon and an empty line.
        """
        quiet = ("-c", "log_min_messages=fatal", "-c", "exit_on_error=on")
        line = ("--single", "-D", str(data), *quiet, *options, database)
        self._run(lock, "postgres", *line, text=statements)

    def _run(self, lock: int, program: str, *options: str, text: str = "") -> None:
        whom = self.account
        done = subprocess.run(  # noqa: S603 - a fixed program
            [str(self.programs / program), *options],
            input=text,
            text=True,
            capture_output=True,
            env=self._environment(),
            cwd="/",
            user=None if whom is None else whom.uid,
            group=None if whom is None else whom.gid,
            extra_groups=None if whom is None else [],
            pass_fds=(lock,),
            umask=0o077,
            check=False,
        )
        if done.returncode != 0:
            words = (done.stderr or done.stdout).strip()
            raise StartFailed(f"{program} can't make the database in {self.home}:\n{words}", 1)

    def _environment(self) -> dict[str, str]:
        """Nothing of the operator's: a PGDATA or PGPORT of theirs would change what we start."""
        return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}
