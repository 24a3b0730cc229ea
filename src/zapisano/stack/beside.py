"""Commands typed beside a running stack: they see the servers, keys and world that it has made."""

import os
from collections.abc import Mapping
from pathlib import Path

from zapisano.errors import BrokenSetting
from zapisano.settings import Settings, load
from zapisano.stack.addresses import nothing_runs
from zapisano.stack.config import FOLDER, known
from zapisano.stack.folder import Running, find_running
from zapisano.stack.keys import kept_secret_key


def settings_here(*, alone: bool = False) -> Settings:
    """The settings, completed by what the stack in the data folder has made for itself.

    With no database set everything is the running stack's. With one set, `zapisano up` has made
    the rest: what is not set comes from it, or when it is stopped its secret key from the folder.

    With `alone` a command has something to do beside no stack, too.

    Raises:
        BrokenSetting: a setting is wrong, or nothing runs here and no database is set.
    """
    given = known()
    folder = Path(given[FOLDER]).expanduser().absolute()
    running = _running(folder)
    if "DATABASE_URL" not in given:
        if running is None and not alone:
            raise BrokenSetting(nothing_runs("DATABASE_URL"))
        os.environ.update(running.settings if running else {})
    elif running is not None and running.database_url == given["DATABASE_URL"]:
        _complete(given, running.settings)
    else:
        _complete(given, _kept(folder))
    return load()


def _running(folder: Path) -> Running | None:
    try:
        return find_running(folder)
    except OSError:
        # No such folder, or another user's: nothing of ours runs there.
        return None


def _kept(folder: Path) -> Mapping[str, str]:
    try:
        return {"ZAPISANO_SECRET_KEY": kept_secret_key(folder / "secrets.json")}
    except OSError:
        return {}


def _complete(given: Mapping[str, str], made: Mapping[str, str]) -> None:
    os.environ.update({name: made[name] for name in made if made[name] and not given.get(name)})
