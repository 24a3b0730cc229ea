"""The guide's door to `PrefixedRedisStorage`: step 3.2 imports it from here.

Run as a script by the system's `python3` it starts itself anew with the project's `.venv` and
says what it is; imported there, it is the product's own class.
"""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import door

    door.enter()

from zapisano.bots.storage import PrefixedRedisStorage

__all__ = ["PrefixedRedisStorage"]

if __name__ == "__main__":
    sys.stdout.write("from middlewares.redis_storage_with_prefix import PrefixedRedisStorage\n")
