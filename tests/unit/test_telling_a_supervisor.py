"""What a part says to whoever started it."""

import socket
from pathlib import Path

import pytest

from zapisano.telemetry import tell_supervisor


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = str(tmp_path / "s")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    return path


def test_a_listener_hears_it(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        tell_supervisor("READY=1")
        assert listener.recv(64) == b"READY=1"


def test_a_part_goes_on_when_nobody_listens_any_more(address: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
    tell_supervisor("STOPPING=1")
    Path(address).unlink()
    tell_supervisor("STOPPING=1")
