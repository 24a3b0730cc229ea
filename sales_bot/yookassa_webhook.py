"""The booking guide's webhook server: `python3 yookassa_webhook.py`, here or from the root.

The same as `zapisano serve webhook`, on all addresses and port 8001 unless the settings say
otherwise; its log is `sales_bot/logs/webhook.log`.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import door  # noqa: E402 # found by the line above, wherever we were started

if __name__ == "__main__":
    door.enter()
    os.chdir(ROOT)  # the settings' files are named from the root
    os.environ.setdefault("ZAPISANO_HOST", "0.0.0.0")  # noqa: S104 # as the guide shows it
    os.environ.setdefault("ZAPISANO_LOG_FILE", str(ROOT / "sales_bot" / "logs" / "webhook.log"))
    sys.argv[1:1] = ["serve", "webhook"]
    from zapisano.cli import main

    main()
