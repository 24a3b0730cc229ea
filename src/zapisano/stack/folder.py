"""The data folder: one stack at a time, and what a running stack tells other commands."""

import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zapisano.stack.config import FOLDER
from zapisano.stack.files import opened_lock, try_lock, write_private
from zapisano.stack.refusal import Refusal

LOCK_PATIENCE_SECONDS = 0.3


@dataclass(frozen=True)
class Running:
    """What `<data>/stack.json` says of a running stack."""

    page_url: str = ""
    api_url: str = ""
    webhook_url: str = ""
    database_url: str = ""
    admin_database_url: str = ""
    redis_url: str = ""
    ports: Mapping[str, int] = field(default_factory=dict[str, int])
    pids: Mapping[str, int] = field(default_factory=dict[str, int])
    settings: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@contextmanager
def writing(folder: Path) -> Generator[None]:
    """Turn an error of the file system into one line that names the setting.

    Raises:
        Refusal: unwritable, full, not a folder: whatever the system says.
    """
    try:
        yield
    except OSError as error:
        raise Refusal(f"{FOLDER}: {folder} can't be used ({error.strerror})") from error


@contextmanager
def held(folder: Path, command: str) -> Generator[None]:
    """Make the folder if needed and hold it for this process.

    Raises:
        Refusal: it can't be written, or another stack runs in it.
    """
    with ExitStack() as stack:
        with writing(folder):
            _make(folder)
            lock = stack.enter_context(opened_lock(folder / "lock"))
            _take(lock, folder)
            # What a killed stack has told is no longer so.
            _record(folder).unlink(missing_ok=True)
            write_private(folder / "holder.json", json.dumps(_holder(command)))
        stack.callback(_record(folder).unlink, missing_ok=True)
        yield


def _make(folder: Path) -> None:
    # Root's stack runs PostgreSQL as somebody else, who must walk through to his own part.
    mode = 0o711 if os.geteuid() == 0 else 0o700
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(mode)
    for part in ("logs", "run"):
        (folder / part).mkdir(mode=0o700, exist_ok=True)


def _take(lock: int, folder: Path) -> None:
    deadline = time.monotonic() + LOCK_PATIENCE_SECONDS
    while not try_lock(lock):
        # `zapisano psql` looks at the lock for an instant; a stack keeps it.
        if time.monotonic() > deadline:
            raise Refusal(f"{FOLDER}: {folder} is in use by {_who(folder)}; stop it first")
        time.sleep(0.02)


def _holder(command: str) -> dict[str, Any]:
    return {"command": command, "pid": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _who(folder: Path) -> str:
    try:
        holder = json.loads((folder / "holder.json").read_text())
    except (OSError, ValueError):
        return "another zapisano"
    page = f"; its page: {url}" if (url := _page(folder)) else ""
    return f"`{holder['command']}` (process {holder['pid']}, since {holder['since']}{page})"


def _page(folder: Path) -> str:
    """The page of the demo that runs here; empty while it starts, and for `up`, which has none."""
    try:
        return str(json.loads(_record(folder).read_text())["page_url"])
    except (OSError, ValueError, KeyError):
        return ""


def _record(folder: Path) -> Path:
    return folder / "stack.json"


def tell(folder: Path, running: Running) -> None:
    """Write what runs; called when everything is ready and after each restart of a part."""
    write_private(_record(folder), json.dumps(asdict(running), indent=1))


def find_running(folder: Path) -> Running | None:
    """What runs in this folder now; a record left by a killed stack does not count."""
    try:
        with opened_lock(folder / "lock") as lock:
            if try_lock(lock):
                return None
        return Running(**json.loads(_record(folder).read_text()))
    except FileNotFoundError:
        return None
