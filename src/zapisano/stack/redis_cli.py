"""`zapisano redis`: a small redis-cli on redis-py's connection.

Answers are read here and not by redis-py, which turns them into Python's values: what redis-cli
prints depends on the kind of the reply (RESP2, https://valkey.io/topics/protocol/).
"""

import importlib
import shlex
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, Self, TextIO, cast
from urllib.parse import urlsplit

import redis

END = ("exit", "quit")
ESCAPES = {0x5C: "\\\\", 0x22: '\\"', 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 7: "\\a", 8: "\\b"}


class Wire(Protocol):
    """What is used of redis-py's connection, whose own annotations are not complete."""

    def send_command(self, *words: str) -> None:
        """Write one command."""
        ...

    def disconnect(self) -> None:
        """Hang up."""
        ...

    def _get_socket(self) -> socket.socket | None: ...


class Pool(Protocol):
    """What is used of redis-py's pool: it reads the URL, with TLS and password."""

    @classmethod
    def from_url(cls, url: str, *, protocol: int) -> Self:
        """A pool of connections to one server."""
        ...

    def get_connection(self) -> Wire:
        """A connection that has been made."""
        ...


@dataclass(frozen=True)
class Status:
    """A short answer such as OK."""

    text: str


@dataclass(frozen=True)
class Failure:
    """An error that the server answered."""

    text: str


Reply = Status | Failure | int | bytes | None | list["Reply"]


def read(answers: BinaryIO) -> Reply:
    """One reply.

    Raises:
        redis.ConnectionError: the server hung up.
    """
    line = answers.readline()
    if not line.endswith(b"\r\n"):
        raise redis.ConnectionError("the server closed the connection")
    kind, text = line[:1], line[1:-2]
    if kind == b"+":
        return Status(text.decode(errors="replace"))
    if kind == b"-":
        return Failure(text.decode(errors="replace"))
    if kind == b":":
        return int(text)
    if int(text) < 0:
        return None
    if kind == b"$":
        return answers.read(int(text) + 2)[:-2]
    return [read(answers) for _ in range(int(text))]


def shown(reply: Reply, indent: str = "") -> str:
    """As redis-cli shows it to a person: kinds named, strings quoted, lists numbered."""
    match reply:
        case None:
            text = "(nil)"
        case int():
            text = f"(integer) {reply}"
        case bytes():
            text = f'"{"".join(map(_escaped, reply))}"'
        case Status():
            text = reply.text
        case Failure():
            text = f"(error) {reply.text}"
        case []:
            text = "(empty array)"
        case list():
            width = len(str(len(reply)))
            inner = indent + " " * (width + 2)
            numbered = enumerate(reply, 1)
            rows = (f"{number:>{width}}) {shown(each, inner)}" for number, each in numbered)
            text = f"\n{indent}".join(rows)
    return text


def _escaped(byte: int) -> str:
    if byte in ESCAPES:
        return ESCAPES[byte]
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def raw(reply: Reply) -> str:
    """As redis-cli writes it into a pipe: values alone, a line each."""
    match reply:
        case None:
            return ""
        case int():
            return str(reply)
        case bytes():
            return reply.decode(errors="surrogateescape")
        case Status(text) | Failure(text):
            return text
        case list():
            return "\n".join(raw(each) for each in reply)


class Session:
    """One connection and how its answers are written.

    Raises:
        redis.ConnectionError: there is no server, or it wants another password.
    """

    def __init__(self, url: str, output: TextIO, *, for_people: bool) -> None:
        # RESP2 on purpose: redis-cli's default, and no pushes between the answers.
        self._connection = (
            cast("type[Pool]", redis.ConnectionPool).from_url(url, protocol=2).get_connection()
        )
        # Connected and greeted: all answers have been read, so the stream is ours from here.
        # redis-py has no other door to replies before it has made Python's values of them.
        stream = self._connection._get_socket()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - see above
        if stream is None:
            raise redis.ConnectionError("no connection")
        self._answers = stream.makefile("rb")
        self._output = output
        self._show: Callable[[Reply], str] = shown if for_people else raw

    def run(self, words: Sequence[str]) -> bool:
        """Send one command and write its answer; False when that is an error."""
        self._connection.send_command(*words)
        reply = read(self._answers)
        self._output.write(self._show(reply) + "\n")
        self._output.flush()
        return not isinstance(reply, Failure)

    def run_lines(self, lines: Iterable[str]) -> None:
        """Run a line at a time until `exit`, `quit` or the end."""
        for line in lines:
            try:
                words = shlex.split(line)
            except ValueError:
                self._output.write("Invalid argument(s)\n")
                continue
            if words and words[0].lower() in END:
                return
            if words:
                self.run(words)

    def close(self) -> None:
        """Hang up."""
        self._answers.close()
        self._connection.disconnect()


def call(url: str, words: Sequence[str]) -> int:
    """One command, or lines from the terminal or a pipe; the exit code, as redis-cli's."""
    try:
        session = Session(url, sys.stdout, for_people=sys.stdout.isatty())
        try:
            if words:
                return 0 if session.run(words) else 1
            session.run_lines(_typed(url) if sys.stdin.isatty() else sys.stdin)
        finally:
            session.close()
    except redis.RedisError as error:
        sys.stderr.write(f"Could not talk to Redis: {error}\n")
        return 1
    return 0


def _typed(url: str) -> Iterable[str]:
    """What a person types, with the arrow keys at work."""
    importlib.import_module("readline")
    prompt = urlsplit(url).netloc.rpartition("@")[2] + "> "
    while True:
        try:
            yield input(prompt)
        except (EOFError, KeyboardInterrupt):
            return
