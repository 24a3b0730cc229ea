"""The guide's door to `PrefixedRedisStorage`: step 3.2 imports it from here.

Run as a script by the system's `python3` it starts itself anew with the project's `.venv` and
says what it is; imported there, it is the product's own class.
"""

import os
import sys
from pathlib import Path

VENV = Path(__file__).resolve().parent.parent / ".venv"

if Path(sys.prefix).resolve() != VENV.resolve() and __name__ == "__main__":
    python = VENV / "bin" / "python"
    if not python.exists():
        sys.exit("There is no .venv yet: run `make demo` (or `make check`) once.")
    os.execv(python, [str(python), *sys.argv])  # noqa: S606 # our own interpreter, no shell

from zapisano.bots.storage import PrefixedRedisStorage  # noqa: E402 # after the change of python

__all__ = ["PrefixedRedisStorage"]

if __name__ == "__main__":
    sys.stdout.write("from middlewares.redis_storage_with_prefix import PrefixedRedisStorage\n")
