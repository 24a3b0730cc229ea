"""Settings as if from the environment, for a database of a test's own."""

from pathlib import Path

import pytest

from zapisano.settings import Settings, load

# Roles are the cluster's, and the app role's password is derived from this: one for the whole run.
SECRET_KEY = "a-secret-key-of-the-test-suite-0123456789"


def settings_for(dsn: str, folder: Path, **values: object) -> Settings:
    """Settings as if from the environment, for one database."""
    environment = {
        "DATABASE_URL": dsn,
        "ZAPISANO_SECRET_KEY": SECRET_KEY,
        "ZAPISANO_DATA_DIR": str(folder),
        "DATABASE_POOL_SIZE": "4",
        "MASTER_API_TOKEN": "master-token-of-the-test-suite-01234567",
        **{key: str(value) for key, value in values.items()},
    }
    with pytest.MonkeyPatch.context() as patch:
        for key, value in environment.items():
            patch.setenv(key, value)
        return load()
