"""Secrets that the stack makes once for itself: `<data>/secrets.json`, its owner's alone."""

import base64
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from zapisano.stack.files import write_private
from zapisano.stack.refusal import Refusal

DATABASE = "database"


def _word() -> str:
    """A password of 192 bits that needs no quoting in a URL, a shell or a configuration file."""
    return secrets.token_hex(24)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _bot_token() -> str:
    """As BotFather gives them: the bot's number, a colon and 35 characters."""
    return f"{7_000_000_000 + secrets.randbelow(1_000_000_000)}:AA{secrets.token_hex(17)[:33]}"


def _made_by(make: Callable[[], str]) -> Any:
    return field(metadata={"make": make}, repr=False)


@dataclass(frozen=True)
class Keys:
    """The passwords of the embedded servers, the product's own keys, the demo's shop and bot."""

    postgres_password: str = _made_by(_word)
    booking_password: str = _made_by(_word)
    redis_password: str = _made_by(_word)
    master_api_token: str = _made_by(_word)
    secret_key: str = _made_by(_fernet_key)
    sales_bot_token: str = _made_by(_bot_token)
    nextauth_secret: str = _made_by(_word)
    yookassa_shop_id: str = _made_by(lambda: str(100_000 + secrets.randbelow(900_000)))
    yookassa_secret_key: str = _made_by(lambda: f"test_{secrets.token_urlsafe(32)}")


def load_or_make(path: Path) -> Keys:
    """The folder's keys; missing ones are made and written before anybody uses them.

    Raises:
        Refusal: the file is there and can't be understood. It is never overwritten then: the
            databases would be locked with keys that are gone.
    """
    kept = _read(path)
    known = {key.name: kept.get(key.name) or key.metadata["make"]() for key in fields(Keys)}
    keys = Keys(**known)
    if asdict(keys) != kept:
        write_private(path, json.dumps({**kept, **asdict(keys)}, indent=1))
    return keys


def remember_database(path: Path, url: str) -> None:
    """Note beside the keys which database of the operator's they lock."""
    kept = _read(path)
    if kept.get(DATABASE) != _place(url):
        write_private(path, json.dumps({**kept, DATABASE: _place(url)}, indent=1))


def secret_key_for(path: Path, url: str) -> str:
    """The product's key that this folder has made for a database; empty if it has made none.

    Raises:
        Refusal: the file can't be understood.
    """
    kept = _read(path)
    return kept.get("secret_key", "") if kept.get(DATABASE) == _place(url) else ""


def _place(url: str) -> str:
    """Where a database is; who logs in, and how, does not matter."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def _read(path: Path) -> dict[str, str]:
    try:
        kept: object = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise Refusal(f"ZAPISANO_DATA_DIR: {path} is damaged ({error}); restore it") from error
    if not isinstance(kept, dict):
        raise Refusal(f"ZAPISANO_DATA_DIR: {path} is not a set of keys; restore it")
    return {str(name): str(value) for name, value in cast("dict[object, object]", kept).items()}
