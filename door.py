"""The guides' doors at the root are typed with the system's python3: this leads into `.venv`.

It runs before our Python is chosen, so it is written for any Python 3.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"


def enter() -> None:
    """Start the running program anew under the project's Python, unless that is what runs it."""
    if Path(sys.prefix).resolve() == VENV.resolve():
        return
    python = VENV / "bin" / "python"
    if not python.exists():
        sys.exit(f"There is no .venv in {ROOT} yet: run `make demo` (or `make check`) there once.")
    typed = getattr(sys, "orig_argv", [sys.executable, *sys.argv])[1:]
    os.execv(str(python), [str(python), *typed])  # noqa: S606 # our own interpreter, no shell
