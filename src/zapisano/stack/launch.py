"""Starting one process, and asking whether it is up: shared by the supervisor and the tests."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

from zapisano.stack import child
from zapisano.stack.process import Process

MAX_LOG_BYTES = 16 * 1024 * 1024
# sun_path has 108 bytes; a data folder may lie deeper than that.
MAX_SOCKET_PATH = 100
STATUS = "STATUS="


def launch(
    process: Process, *, log: Path, lock: int, notify: str | None
) -> subprocess.Popen[bytes]:
    """Start it in a session of its own; call from the main thread only (see `child`).

    `lock` is a locked descriptor that the child and all its descendants inherit: as long as one
    of them lives, the next start of the same process waits.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a child started here would die with this thread")
    env = dict(process.env)
    if notify is not None:
        env["NOTIFY_SOCKET"] = notify
    whom = (
        {} if process.account is None else {"uid": process.account.uid, "gid": process.account.gid}
    )
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own list of programs, no shell
            child.command(process.argv, death_signal=process.death_signal, **whom),
            env=env,
            cwd=process.cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=(lock,),
        )


def send(running: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a child; one that is already gone is what was wanted."""
    if number is signal.SIGKILL and running.poll() is None:
        # Its whole session: a killed process can't end its own children any more.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, number)
        return
    running.send_signal(number)


def rotate(log: Path) -> int:
    """Put a grown log aside before a start; the size from which this start's words begin."""
    if not log.exists():
        return 0
    size = log.stat().st_size
    if size < MAX_LOG_BYTES:
        return size
    log.replace(log.with_name(log.name + ".1"))
    return 0


def last_words(log: Path, since: int, lines: int = 6) -> str:
    """The end of what a process wrote since a point of its log."""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(text.strip().splitlines()[-lines:])


@dataclass(frozen=True)
class Notify:
    """A datagram socket on which a child says READY=1 or its STATUS, and its address."""

    socket: socket.socket
    path: Path
    own_folder: Path | None

    @classmethod
    def listen(cls, folder: Path, name: str) -> "Notify":
        """Listen in `folder`, or in a short temporary one where that is too deep."""
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        path, own_folder = folder / f"{name}.sock", None
        if len(os.fsencode(path)) > MAX_SOCKET_PATH:
            own_folder = Path(tempfile.mkdtemp(prefix="zapisano-", dir="/tmp"))
            path = own_folder / path.name
        path.unlink(missing_ok=True)
        made = cls(listening, path, own_folder)
        try:
            made.socket.bind(str(path))
        except OSError:
            made.close()
            raise
        made.socket.setblocking(False)
        return made

    def statuses(self) -> list[str]:
        """What was said of one's state (STATUS=) and not read yet."""
        said: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                lines = self.socket.recv(4096).decode(errors="replace").splitlines()
                said += [line.removeprefix(STATUS) for line in lines if line.startswith(STATUS)]
        return said

    def close(self) -> None:
        """Leave nothing behind."""
        self.socket.close()
        self.path.unlink(missing_ok=True)
        if self.own_folder is not None:
            self.own_folder.rmdir()


def heard_ready(datagram: bytes) -> bool:
    """Whether a message of the sd_notify protocol says that the service is up."""
    return b"READY=1" in datagram.split(b"\n")
