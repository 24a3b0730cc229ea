"""What the stack itself must know before it starts anything, read from the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

from pydantic import SecretStr

from zapisano.settings import Settings, load
from zapisano.stack.refusal import Refusal

FOLDER = "ZAPISANO_DATA_DIR"
API_PORT = "ZAPISANO_API_PORT"
WEBHOOK_PORT = "ZAPISANO_WEBHOOK_PORT"
SIMULATOR_PORT = "ZAPISANO_SIMULATOR_PORT"
# Secrets that are shared with a web app; the demo, too, takes them from here.
SESSIONS = ("NEXTAUTH_SECRET", "AUTH_SECRET", "AUTH_SECRET_1", "AUTH_SECRET_2", "AUTH_SECRET_3")
WEB_APP = ("MIGRATION_SECRET", "CRON_SECRET", *SESSIONS)
DEFAULT_PORTS = {API_PORT: 8000, WEBHOOK_PORT: 8001, SIMULATOR_PORT: 8002}


@dataclass(frozen=True)
class StackConfig:
    """Where the stack lives and listens; `environment` is the operator's, handed to the parts."""

    folder: Path
    api_port: int
    webhook_port: int
    simulator_port: int
    environment: Mapping[str, str]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the four settings; every broken one is named at once.

        Raises:
            Refusal: a port is not a port, or the folder's name is empty.
        """
        problems: list[str] = []
        ports = {name: _port(name, environment, problems) for name in DEFAULT_PORTS}
        folder = environment.get(FOLDER, ".zapisano").strip()
        if not folder or "\0" in folder:
            problems.append(f"{FOLDER}: name a folder, or leave the setting out")
        if problems:
            raise Refusal("\n".join(problems))
        return cls(
            folder=Path(folder).expanduser().absolute(),
            api_port=ports[API_PORT],
            webhook_port=ports[WEBHOOK_PORT],
            simulator_port=ports[SIMULATOR_PORT],
            environment=dict(environment),
        )


def known() -> dict[str, str]:
    """The environment, completed by the `.env` files as the product reads them.

    Raises:
        BrokenSetting: one line per setting that the product could not read either.
    """
    settings = load()
    values = {
        FOLDER: str(settings.data_dir),
        API_PORT: str(settings.api_port),
        WEBHOOK_PORT: str(settings.webhook_port),
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "REDIS_URL": settings.redis,
        "REDIS_ENABLED": str(settings.redis_enabled).lower(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "MASTER_API_TOKEN": settings.master_api_token.get_secret_value(),
        **{name: getattr(settings, name.lower()).get_secret_value() for name in WEB_APP},
        **_of_credits(settings),
    }
    return {**os.environ, **{name: value for name, value in values.items() if value}}


def _of_credits(settings: Settings) -> dict[str, str]:
    """What is set of credits: the demo's ledger must go by what a service beside it goes by."""
    return {
        name.upper(): _written(getattr(settings, name))
        for name in settings.model_fields_set
        if name.startswith("credits_") and name != "credits_port"
    }


def _written(value: object) -> str:
    """Write a setting as it is given."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(cast("tuple[str, ...]", value)) if isinstance(value, tuple) else str(value)


def _port(name: str, environment: Mapping[str, str], problems: list[str]) -> int:
    text = environment.get(name, str(DEFAULT_PORTS[name])).strip()
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    problems.append(f"{name}: {text!r} is not a port; give a number from 1 to 65535")
    return 0
