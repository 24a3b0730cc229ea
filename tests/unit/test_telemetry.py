"""What reaches a log, and what a supervisor is told."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from zapisano.telemetry import HIDDEN, hide_secrets, tell_supervisor

TOKEN = "100200300:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"


@pytest.mark.parametrize(
    "text",
    [
        f"POST /bot{TOKEN}/sendMessage",
        "Authorization: Bearer abcdefgh12345678",
        f"key zk_{'0a' * 8}_{TOKEN[10:]}",
        "authorization: basic MTAwNTAwOnRlc3Rfc2VjcmV0",
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str) -> None:
    record = hide_secrets(None, "info", {"event": text, "count": 3})
    assert HIDDEN in str(record["event"])
    assert not any(secret in str(record) for secret in (TOKEN, "abcdefgh", "MTAwNTAw"))
    assert record["count"] == 3


CLUMSY = """
import logging

import asyncpg
from pydantic import TypeAdapter
from zapisano.errors import Refused
from zapisano.telemetry import configure_logging, get_logger

configure_logging(as_json=True)

def read_phone():
    try:
        TypeAdapter(int).validate_python("Anna +79001112233")
    except ValueError as error:
        clash = asyncpg.UniqueViolationError("duplicate key")
        clash.detail, clash.constraint_name = "Key (phone)=(+79001112233)", "clients_phone"
        raise clash from error

for log in (get_logger("ours"), logging.getLogger("a library's")):
    try:
        try:
            read_phone()
        except asyncpg.UniqueViolationError as error:
            raise ExceptionGroup("+79001112233", [Refused("name: is too long")]) from error
    except ExceptionGroup:
        log.exception("job_failed")
"""


def test_a_traceback_tells_where_and_never_what_people_wrote() -> None:
    ran = subprocess.run([sys.executable, "-c", CLUMSY], capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in ran.stderr.splitlines()]
    assert [record["event"] for record in records] == ["job_failed", "job_failed"]
    for record in records:
        assert "+79001112233" not in str(record)
        told = record["exception"]
        assert "in read_phone" in told
        assert "pydantic_core._pydantic_core.ValidationError\nwhich led to:" in told
        assert "asyncpg.exceptions.UniqueViolationError: clients_phone" in told
        assert "zapisano.errors.Refused: name: is too long" in told


@pytest.mark.parametrize("name", ["n", "ivan@corp"])
def test_the_supervisor_hears_when_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / name))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / name))
        tell_supervisor("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_an_abstract_socket_is_written_with_an_at_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"zapisano@{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        tell_supervisor("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_a_supervisor_that_is_gone_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell_supervisor("STOPPING=1")


def test_a_supervisor_that_does_not_listen_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
            flood.setblocking(False)
            with pytest.raises(BlockingIOError):
                while flood.sendto(b"x", path):  # until its queue is full
                    pass
        tell_supervisor("STATUS=late")
        assert listener.recv(100) == b"x"
