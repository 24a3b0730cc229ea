"""What a keeper does when its process cannot be started."""

import errno
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from zapisano.stack.keeper import Keeper, Stop
from zapisano.stack.process import Process


class Blank:
    """A screen that nobody looks at."""

    def starting(self, name: str) -> None:
        pass

    def ready(self, name: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def all_ready(self, pids: Mapping[str, int]) -> None:
        pass

    def stopping(self) -> None:
        pass


class WithoutLocks(Keeper):
    """A keeper on a file system that has no locks."""

    async def _locked(self, lock: int) -> None:  # noqa: ARG002 # the keeper hands it over
        raise OSError(errno.ENOLCK, "No locks available")


async def test_a_lock_that_cannot_be_taken_is_not_a_lock_that_is_ours(tmp_path: Path) -> None:
    for part in ("run", "logs"):
        (tmp_path / part).mkdir()
    started = tmp_path / "started"
    program = (sys.executable, "-c", f"open({str(started)!r}, 'w')")
    process = Process("part", program, env={})
    keeper = WithoutLocks(process, tmp_path, Blank(), Stop(), lambda: None)
    with pytest.raises(OSError, match="No locks available"):
        await keeper._start(first=True)
    assert not started.exists()
    assert keeper.child is None
