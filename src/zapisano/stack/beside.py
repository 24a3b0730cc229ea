"""Commands typed beside a running stack: they see the servers, keys and world that it has made."""

import os
from collections.abc import Mapping
from pathlib import Path

from zapisano.errors import BrokenSetting
from zapisano.settings import Settings, load
from zapisano.stack.addresses import nothing_runs
from zapisano.stack.config import FOLDER, SESSIONS, known
from zapisano.stack.folder import Running, find_running
from zapisano.stack.keys import secret_key_for
from zapisano.stack.refusal import Refusal

SECRET_KEY = "ZAPISANO_SECRET_KEY"  # noqa: S105 # the setting's name


def settings_here(*, alone: bool = False) -> Settings:
    """The settings, completed by what the stack in the data folder has made for itself.

    With no database set everything is the running stack's. With one set that `zapisano up` runs
    on, it has made the rest: what is not set comes from it, or, when it is stopped, its secret key
    from the folder.

    With `alone` a command has something to do beside no stack, too.

    Raises:
        BrokenSetting: a setting is wrong, or nothing runs here and no database is set.
    """
    given = known()
    folder = Path(given[FOLDER]).expanduser().absolute()
    running = _running(folder)
    database = given.get("DATABASE_URL")
    if not database:
        if running is None and not alone:
            raise BrokenSetting(nothing_runs("DATABASE_URL"))
        made: Mapping[str, str] = running.settings if running else {}
        has_own = any(given.get(name) for name in SESSIONS)
        os.environ.update({name: made[name] for name in made if not (has_own and name in SESSIONS)})
    elif running is not None and running.database_url == database:
        _complete(given, running.settings)
    elif not given.get(SECRET_KEY):
        _complete(given, {SECRET_KEY: _kept(folder, database)})
    return load()


def _running(folder: Path) -> Running | None:
    try:
        return find_running(folder)
    except OSError:
        # No such folder, or another user's: nothing of ours runs there.
        return None


def _kept(folder: Path, database: str) -> str:
    try:
        return secret_key_for(folder / "secrets.json", database)
    except Refusal as refusal:
        raise BrokenSetting(str(refusal)) from refusal
    except OSError:
        return ""


def _complete(given: Mapping[str, str], made: Mapping[str, str]) -> None:
    os.environ.update({name: made[name] for name in made if made[name] and not given.get(name)})
