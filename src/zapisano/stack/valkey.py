"""Embedded Valkey: a key-value server that loses nothing over a restart."""

import os
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path

from zapisano.stack import binaries
from zapisano.stack.files import write_private
from zapisano.stack.ports import LOOPBACK
from zapisano.stack.process import Process

# `appendonly` is what keeps data: every write is in the file before its answer is sent.
CONFIGURATION = """# Written by zapisano at every start.
bind {address}
port {port}
dir "{folder}"
requirepass {password}
appendonly yes
appendfsync {fsync}
save ""
daemonize no
"""


@dataclass(frozen=True)
class Valkey:
    """One embedded server: its folder, program, port and password."""

    folder: Path
    program: Path
    port: int
    password: str = field(repr=False)
    fsync: str = "everysec"

    @classmethod
    def at(cls, folder: Path, *, port: int, password: str, fsync: str = "everysec") -> "Valkey":
        """The server of a data folder; its own files are in `<data>/valkey`."""
        return cls(folder / "valkey", binaries.valkey_server(), port, password, fsync)

    @property
    def url(self) -> str:
        """The address of database 0."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def process(self) -> Process:
        """The server as the supervisor runs it."""
        return Process(
            name="valkey",
            argv=(str(self.program), str(self.folder / "valkey.conf")),
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"},
            ready=self.is_ready,
            prepare=self.prepare,
            death_signal=signal.SIGTERM,
            patience_seconds=float("inf"),
            slow_note="is reading its file; this can take minutes",
        )

    def prepare(self, _lock: int) -> None:
        """Write its configuration; the password is in a file, not in the list of processes."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        text = CONFIGURATION.format(
            address=LOOPBACK,
            port=self.port,
            folder=str(self.folder).replace("\\", "\\\\").replace('"', '\\"'),
            password=self.password,
            fsync=self.fsync,
        )
        write_private(self.folder / "valkey.conf", text)

    def is_ready(self) -> bool:
        """Whether it answers PING with PONG: it says LOADING while it reads its file."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=2) as server:
                server.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with server.makefile("rb") as answers:
                    return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"
        except OSError:
            return False
