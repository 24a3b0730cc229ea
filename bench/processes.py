"""Other programs of the benchmark: started on a free port, and ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager

PATIENCE_SECONDS = 30.0


@contextmanager
def listening(
    module: str, *words: str, environment: Mapping[str, str] | None = None
) -> Generator[int]:
    """Run `python -m module PORT words…` until the block ends; the port is taken when it begins."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    program = subprocess.Popen(
        [sys.executable, "-m", module, str(port), *words],
        env={**os.environ, **(environment or {})},
    )
    try:
        _wait_for(port, module)
        yield port
    finally:
        program.kill()
        program.wait()


def _wait_for(port: int, module: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{module} did not start")
        time.sleep(0.05)
