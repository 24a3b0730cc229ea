"""Commands typed beside a running stack: they see the servers, keys and world that it has made."""

import os

from zapisano.errors import BrokenSetting
from zapisano.settings import Settings, load
from zapisano.stack.addresses import nothing_runs
from zapisano.stack.folder import find_running


def settings_here(*, alone: bool = False) -> Settings:
    """The settings; with no database set, those of the stack that runs in the data folder.

    With `alone` a command has something to do beside no stack, too.

    Raises:
        BrokenSetting: a setting is wrong, or nothing runs here and no database is set.
    """
    settings = load()
    if settings.database_url.get_secret_value():
        return settings
    try:
        running = find_running(settings.data_dir.expanduser().absolute())
    except OSError:
        # No such folder, or another user's: nothing of ours runs there.
        running = None
    if running is None:
        if alone:
            return settings
        raise BrokenSetting(nothing_runs("DATABASE_URL"))
    os.environ.update(running.settings)
    return load()
