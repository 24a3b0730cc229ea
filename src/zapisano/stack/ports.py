"""Ports: proof that they are free, and free ones remembered between starts."""

import errno
import json
import secrets
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from zapisano.stack.files import write_private
from zapisano.stack.refusal import Refusal

LOOPBACK = "127.0.0.1"


def check_free(ports: Mapping[str, int]) -> None:
    """Bind every port at the same moment, so that a pair that is equal is found too.

    `ports` maps the name of a setting to its port.

    Raises:
        Refusal: one line per port that is taken or not allowed, naming its setting.
    """
    problems: list[str] = []
    with ExitStack() as sockets:
        for name, port in ports.items():
            bound = sockets.enter_context(_socket())
            try:
                bound.bind((LOOPBACK, port))
                bound.listen(1)
            except OSError as error:
                problems.append(_sentence(name, port, error, ports))
    if problems:
        raise Refusal("\n".join(problems))


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # As the servers do: a connection of the last run in TIME_WAIT does not make a port taken.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _sentence(name: str, port: int, error: OSError, ports: Mapping[str, int]) -> str:
    twins = [other for other, its_port in ports.items() if its_port == port and other != name]
    if twins:
        return f"{name}: port {port} is also {twins[0]}; give each its own"
    if error.errno == errno.EADDRINUSE:
        return f"{name}: port {port} is taken by another program; stop it or set another port"
    return f"{name}: port {port} can't be used ({error.strerror})"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with _socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def remembered(record: Path, name: str) -> int:
    """The free port kept under `name` in the file `record`; a taken one is picked anew.

    The same port every time lets an open `psql` or a bookmark survive a restart.
    """
    kept = _read(record)
    port = kept.get(name)
    if port is None or not is_free(port):
        port = next(filter(is_free, iter(_any_port, None)))
        write_private(record, json.dumps({**kept, name: port}))
    return port


def _any_port() -> int:
    """Below the range from which the system gives ports to outgoing connections (from 32768)."""
    return 15_000 + secrets.randbelow(17_000)


def _read(record: Path) -> dict[str, int]:
    try:
        kept = json.loads(record.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): port for name, port in kept.items() if isinstance(port, int)}
