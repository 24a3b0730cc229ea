"""What reaches a log, and what a supervisor is told."""

import socket
from pathlib import Path

import pytest

from zapisano.telemetry import HIDDEN, hide_secrets, tell_supervisor

TOKEN = "100200300:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"


@pytest.mark.parametrize(
    "text",
    [
        f"POST /bot{TOKEN}/sendMessage",
        "Authorization: Bearer abcdefgh12345678",
        "authorization: basic MTAwNTAwOnRlc3Rfc2VjcmV0",
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str) -> None:
    record = hide_secrets(None, "info", {"event": text, "count": 3})
    assert HIDDEN in str(record["event"])
    assert not any(secret in str(record) for secret in (TOKEN, "abcdefgh", "MTAwNTAw"))
    assert record["count"] == 3


def test_the_supervisor_hears_when_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        tell_supervisor("READY=1")
        assert listener.recv(100) == b"READY=1"


def test_a_supervisor_that_is_gone_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    tell_supervisor("STOPPING=1")
