"""Telegram brings an update: what is taken in, what is refused, what is never lost."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator

import asyncpg
import httpx
import pytest

from zapisano.app import create_api
from zapisano.bots import store
from zapisano.bots.model import new_secret
from zapisano.db import Database
from zapisano.settings import Settings
from zapisano.tenancy import Tenant
from zapisano.vault import Vault

Witness = asyncpg.Connection
HEADER = "X-Telegram-Bot-Api-Secret-Token"
PATH, SECRET = "path-of-the-first-bot", "secret-of-the-first-bot"
BOT_ID = 7000000001
UPDATE = {
    "update_id": 10,
    "message": {
        "message_id": 1,
        "date": 1_790_000_000,
        "chat": {"id": 5, "type": "private"},
        "text": "привет",
    },
}


@pytest.fixture
async def telegram(
    settings: Settings, database: Database, tenants: tuple[Tenant, Tenant]
) -> AsyncGenerator[httpx.AsyncClient]:
    """Telegram, which knows the path and the secret of the first tenant's bot."""
    async with database.shared() as conn:
        await store.insert(
            conn,
            bot_id=BOT_ID,
            tenant_id=tenants[0].id,
            username="romashka_bot",
            token=Vault(settings).lock(f"{BOT_ID}:{'a' * 35}"),
            managed=True,
        )
        await conn.execute("UPDATE shared.bots SET path = $1, secret = $2", PATH, SECRET)
    transport = httpx.ASGITransport(create_api(settings, database))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        client.headers[HEADER] = SECRET
        yield client


async def jobs(witness: Witness) -> list[dict[str, object]]:
    rows = await witness.fetch(
        "SELECT payload FROM shared.pgqueuer WHERE entrypoint = 'bots.update' ORDER BY id"
    )
    return [json.loads(row["payload"]) for row in rows]


async def test_an_update_is_stored_with_its_job(
    telegram: httpx.AsyncClient, witness: Witness
) -> None:
    answer = await telegram.post(f"/telegram/{PATH}", json=UPDATE)
    assert (answer.status_code, answer.content) == (200, b"")
    assert await jobs(witness) == [{"bot_id": BOT_ID, "update": UPDATE}]


async def test_a_redelivered_update_is_one_update(
    telegram: httpx.AsyncClient, witness: Witness
) -> None:
    answers = await asyncio.gather(
        *(telegram.post(f"/telegram/{PATH}", json=UPDATE) for _ in range(5))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len(await jobs(witness)) == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"{}", 400),
        (b'{"update_id": "1"}', 400),
        (b'{"update_id": true}', 400),
        (b'{"update_id": 1.5}', 400),
        (b'{"update_id": -1}', 400),
        (b'{"update_id": 9223372036854775808}', 400),
        (b'{"update_id": 1, "x": NaN}', 400),
        (b'{"update_id": 1, "x": 1e999}', 400),
        (b'{"update_id": 1, "x": "\\ud800"}', 400),
        (b'{"update_id": 1, "x": ' + b"[" * 100 + b"]" * 100 + b"}", 400),
        (b"\xff\xfe", 400),
        (b'{"update_id": 1, "x": "' + b"a" * 65536 + b'"}', 413),
        (b'{"update_id": 1}', 200),
    ],
)
async def test_bad_bodies(
    telegram: httpx.AsyncClient, witness: Witness, body: bytes, status: int
) -> None:
    answer = await telegram.post(f"/telegram/{PATH}", content=body)
    assert answer.status_code == status
    assert len(await jobs(witness)) == (1 if status == 200 else 0)


async def test_a_large_body_without_a_length_is_refused_too(telegram: httpx.AsyncClient) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b" " * 4096

    answer = await telegram.post(f"/telegram/{PATH}", content=endless())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "secret", [None, b"", b"x", SECRET[:-1].encode(), "ключ".encode(), b"\xff"]
)
async def test_a_wrong_secret_is_refused(
    telegram: httpx.AsyncClient, witness: Witness, secret: bytes | None
) -> None:
    del telegram.headers[HEADER]
    headers = {} if secret is None else {HEADER.encode(): secret}
    answer = await telegram.post(f"/telegram/{PATH}", json=UPDATE, headers=headers)
    assert answer.status_code == 401
    assert await jobs(witness) == []


async def test_an_unknown_path_leads_nowhere(telegram: httpx.AsyncClient) -> None:
    assert (await telegram.post(f"/telegram/{new_secret()}", json=UPDATE)).status_code == 404


async def test_a_character_postgresql_cannot_hold_is_left_out(
    telegram: httpx.AsyncClient, witness: Witness
) -> None:
    answer = await telegram.post(
        f"/telegram/{PATH}", content=b'{"update_id": 1, "message": {"text": "a\\u0000b"}}'
    )
    assert answer.status_code == 200
    assert (await jobs(witness))[0]["update"] == {"update_id": 1, "message": {"text": "ab"}}


TOKEN = f"{BOT_ID}:{'b' * 35}"
LINES = [{"type": "code", "offset": 0, "length": len(TOKEN)}]


@pytest.mark.parametrize(
    "message",
    [
        {"text": f"Use this: {TOKEN}.", "entities": LINES},
        {"text": f"https://api.telegram.org/bot{TOKEN}/getMe", "entities": LINES},
        {"caption": TOKEN, "caption_entities": LINES},
        {"reply_to_message": {"text": TOKEN, "entities": LINES}},
        {"reply_to_message": {"caption": TOKEN, "caption_entities": LINES}},
        {"external_reply": {"link_preview_options": {"url": f"https://x/{TOKEN}"}}},
        {"quote": {"text": TOKEN, "entities": LINES, "position": 0}},
        {"text": "look", "entities": [{"type": "text_link", "url": f"https://x/bot?t={TOKEN}"}]},
        {"contact": {"first_name": TOKEN, "phone_number": "1"}},
        {"poll": {"options": [{"text": "no"}, {"text": TOKEN}]}},
        {TOKEN: 1},
    ],
)
async def test_a_token_is_stored_sealed_wherever_it_stands(
    telegram: httpx.AsyncClient, witness: Witness, message: dict[str, object]
) -> None:
    answer = await telegram.post(
        f"/telegram/{PATH}", json={"update_id": 1, "message": {"message_id": 1, **message}}
    )
    assert answer.status_code == 200
    stored = json.dumps((await jobs(witness))[0])
    assert "sealed:" in stored
    assert TOKEN not in stored
    assert LINES[0] not in [*_dicts(json.loads(stored))]


def _dicts(value: object) -> Iterator[object]:
    """Return every object of a JSON value."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _dicts(inner)


async def test_without_the_database_telegram_is_asked_to_come_again(
    telegram: httpx.AsyncClient, witness: Witness, postgres: str, dsn: str
) -> None:
    name = dsn.rpartition("/")[2]
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await admin.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = $1 AND application_name = 'zapisano'""",
        name,
    )
    answer = await telegram.post(f"/telegram/{PATH}", json=UPDATE)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await admin.close()
    assert (await telegram.post(f"/telegram/{PATH}", json=UPDATE)).status_code == 200
    assert len(await jobs(witness)) == 1
