"""Embedded servers without a supervisor: `with embedded_postgres(folder) as server:`.

For tests and one-off commands. A server started here is not started again when it dies; it
stops with the block, and dies with the process like any child of the stack.
"""

import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zapisano.stack import keys, ports
from zapisano.stack.files import opened_lock, try_lock
from zapisano.stack.launch import last_words, launch, rotate, send
from zapisano.stack.postgres import Postgres
from zapisano.stack.process import Process, Ready
from zapisano.stack.refusal import StartFailed
from zapisano.stack.valkey import Valkey

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 60.0


@contextmanager
def embedded_postgres(
    folder: Path, settings: Mapping[str, str] | None = None
) -> Generator[Postgres]:
    """PostgreSQL on the files of a data folder, made there if there are none."""
    secret = keys.load_or_make(folder / "secrets.json")
    server = Postgres.at(
        folder,
        port=ports.remembered(folder / "ports.json", "postgres"),
        superuser_password=secret.postgres_password,
        owner_password=secret.booking_password,
        settings=settings,
    )
    with running(server.process(), folder):
        yield server


@contextmanager
def embedded_valkey(folder: Path, fsync: str = "everysec") -> Generator[Valkey]:
    """Valkey on the files of a data folder, made there if there are none."""
    secret = keys.load_or_make(folder / "secrets.json")
    port = ports.remembered(folder / "ports.json", "valkey")
    server = Valkey.at(folder, port=port, password=secret.redis_password, fsync=fsync)
    with running(server.process(), folder):
        yield server


@contextmanager
def running(process: Process, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """Start a process, wait until it is up, stop it at the end of the block.

    Raises:
        StartFailed: it ended, or was not up within a minute.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    log = folder / f"{process.name}.log"
    since = rotate(log)
    with opened_lock(folder / f"{process.name}.lock") as lock:
        while not try_lock(lock):
            _wait(process, deadline, "the last one is still stopping")
        process.prepare(lock)
        started = launch(process, log=log, lock=lock, notify=None)
    try:
        while not _is_up(process):
            if started.poll() is not None:
                raise StartFailed(f"{process.name} ended:\n{last_words(log, since)}", 1)
            _wait(process, deadline, "it does not answer")
        yield started
    finally:
        _stop(process, started)


def _is_up(process: Process) -> bool:
    if isinstance(process.ready, Ready):
        raise TypeError(f"{process.name} must be asked; READY=1 needs the supervisor")
    return process.ready()


def _wait(process: Process, deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise StartFailed(f"{process.name} did not come up: {why}", 1)
    time.sleep(POLL_SECONDS)


def _stop(process: Process, started: subprocess.Popen[bytes]) -> None:
    for number in (process.stop_signal, process.kill_signal):
        send(started, number)
        try:
            started.wait(process.grace_seconds)
        except subprocess.TimeoutExpired:
            continue
        return
    started.kill()
    started.wait()
