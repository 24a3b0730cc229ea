"""Take an update in: once, and together with the job that handles it."""

import re
from typing import Any, cast

from pydantic_core import from_json

from zapisano.bots import store
from zapisano.bots.errors import MistypedToken, WrongToken
from zapisano.bots.jobs import HandleUpdate
from zapisano.bots.model import LIKE_TOKEN, TOKEN
from zapisano.db import SharedConnection
from zapisano.db.jsonb import Unstorable, storable
from zapisano.errors import BrokenSetting, Malformed
from zapisano.jobs import enqueue
from zapisano.vault import Vault

MAX_BIGINT = 2**63 - 1
OFFSETS = {"text": "entities", "caption": "caption_entities"}
SEALED_MARK = "sealed:"
SEALED = re.compile(SEALED_MARK + r"([A-Za-z0-9_=-]{60,})")


def parse(body: bytes) -> dict[str, Any]:
    """Read an update from JSON.

    Raises:
        Malformed: it is not JSON, not an object, cannot be kept, or has no integer `update_id`.
    """
    try:
        read: object = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Malformed("body: is not valid JSON") from error
    if not isinstance(read, dict):
        raise Malformed("body: must be a JSON object")
    try:
        update = cast("dict[str, Any]", storable(read))
    except Unstorable as error:
        raise Malformed(error.detail) from error
    number = update.get("update_id")
    if type(number) is not int or not 0 <= number <= MAX_BIGINT:
        raise Malformed("update_id: must be an integer")
    return update


def without_tokens(update: dict[str, Any], vault: Vault) -> dict[str, Any]:
    """Seal bot tokens wherever an update holds text: none is ever stored in the clear.

    Mistyped ones too: what is missing of them can be guessed.

    Sealing moves the text's characters, so what pointed into it by offsets is left out.
    """
    return cast("dict[str, Any]", _sealed(update, vault))


def _sealed(value: Any, vault: Vault) -> Any:
    match value:
        case str():
            return LIKE_TOKEN.sub(lambda found: SEALED_MARK + vault.lock(found[0]).decode(), value)
        case list():
            return [_sealed(each, vault) for each in cast("list[Any]", value)]
        case dict():
            pairs = cast("dict[str, Any]", value)
            sealed = {_sealed(key, vault): _sealed(each, vault) for key, each in pairs.items()}
            for text, entities in OFFSETS.items():
                if sealed.get(text) != pairs.get(text):
                    sealed.pop(entities, None)
            return sealed
        case _:
            return value


def pasted_token(text: str, vault: Vault) -> str | None:
    """Return the token that was sealed in a text, None if there is none.

    Raises:
        WrongToken: something that looks sealed was not sealed by us.
        MistypedToken: it is no whole token.
    """
    found = SEALED.search(text)
    if found is None:
        return None
    try:
        token = vault.unlock(found.group(1).encode())
    except BrokenSetting as error:
        raise WrongToken from error
    if TOKEN.fullmatch(token) is None:
        raise MistypedToken
    return token


async def receive(
    conn: SharedConnection, vault: Vault, bot_id: int, update: dict[str, Any]
) -> bool:
    """Store an update and ask for its handling; one that is known changes nothing."""
    update_id = update["update_id"]
    if not await store.take_in(conn, bot_id, update_id, _person(update)):
        return False
    job = HandleUpdate(bot_id, without_tokens(update, vault))
    await store.note_job(conn, bot_id, update_id, await enqueue(conn, job))
    return True


def _person(update: dict[str, Any]) -> int | None:
    """Return the id of who has caused an update, None where it does not say."""
    for event in update.values():
        match event:
            case {"from": {"id": int(person)}} | {"user": {"id": int(person)}}:
                return person if 0 < person <= MAX_BIGINT else None
            case _:
                continue
    return None
