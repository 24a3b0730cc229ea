"""The master API: the operator's verbs over HTTP, who may use them, and what is refused."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from zapisano.app import create_api
from zapisano.db import Database
from zapisano.settings import Settings
from zapisano.tenancy import Tenant, activate, provision

Witness = asyncpg.Connection
TOKEN = "master-token-of-the-test-suite-01234567"
NEW = {"name": "Салон Ромашка", "owner_id": 100200301}
PROBLEM = "application/problem+json"


def client(settings: Settings, database: Database, token: str = TOKEN) -> httpx.AsyncClient:
    app = create_api(settings, database, now=lambda: datetime(2026, 11, 22, 12, tzinfo=UTC))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://api", headers=headers
    )


@pytest.fixture
async def api(settings: Settings, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    async with client(settings, database) as opened:
        yield opened


async def test_a_tenant_is_created_and_shown(
    api: httpx.AsyncClient, database: Database, witness: Witness
) -> None:
    made = await api.post("/api/tenants", json={**NEW, "language": "en"})
    assert (made.status_code, made.json()["state"]) == (201, "provisioning")
    tenant = made.json()["id"]
    assert made.headers["location"] == f"/api/tenants/{tenant}"
    job = "SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = 'tenancy.provision'"
    assert await witness.fetchval(job) == 1
    await provision(database, tenant)
    shown = (await api.get(f"/api/tenants/{tenant}")).json()
    assert shown["state"] == "awaiting_bot"
    assert (shown["schema_version"], shown["language"]) == ("t0001", "en")
    assert (shown["bot_username"], shown["paid_until"]) == (None, None)


async def test_what_is_paid_and_connected_is_shown(
    api: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await witness.execute(
        """INSERT INTO shared.bots (bot_id, tenant_id, username, token, path, secret, managed)
           VALUES (7, 'client_001', 'romashka_bot', 'x', 'p', 's', true)"""
    )
    await witness.execute(
        "INSERT INTO shared.subscriptions (tenant_id, plan, paid_until)"
        " VALUES ('client_001', '1m', '2026-12-22T12:00Z')"
    )
    shown = (await api.get("/api/tenants/client_001")).json()
    assert shown["bot_username"] == "romashka_bot"
    assert shown["paid_until"] == "2026-12-22T12:00:00Z"
    other = (await api.get("/api/tenants/client_002")).json()
    assert (other["bot_username"], other["paid_until"]) == (None, None)


async def test_the_same_key_makes_one_tenant(api: httpx.AsyncClient, witness: Witness) -> None:
    import asyncio

    key = {"Idempotency-Key": "order-17"}
    answers = await asyncio.gather(
        *(api.post("/api/tenants", json=NEW, headers=key) for _ in range(5))
    )
    assert {a.status_code for a in answers} == {201}
    assert len({a.json()["id"] for a in answers}) == 1
    assert await witness.fetchval("SELECT count(*) FROM shared.tenants") == 1
    other = await api.post("/api/tenants", json={**NEW, "owner_id": 5}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


async def test_tenants_are_listed_a_page_at_a_time(
    api: httpx.AsyncClient, database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await witness.execute("SELECT setval('shared.tenant_number', 998)")
    for _ in range(3):
        await api.post("/api/tenants", json=NEW)
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await api.get("/api/tenants", params={"after": after, "limit": 2})).json()
        seen.extend(tenant["id"] for tenant in page["tenants"])
        after = page["next"]
    assert seen == ["client_001", "client_002", "client_999", "client_1000", "client_1001"]
    async with database.shared() as conn:
        await activate(conn, tenants[1].id)
    active = (await api.get("/api/tenants", params={"state": "active"})).json()["tenants"]
    assert [tenant["id"] for tenant in active] == ["client_002"]


async def test_a_tenant_is_paused_and_resumed(
    api: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    for _ in range(2):
        paused = (await api.post("/api/tenants/client_001/suspend")).json()
        assert (paused["state"], paused["suspended_for"]) == ("suspended", "operator")
    for _ in range(2):
        resumed = (await api.post("/api/tenants/client_001/resume")).json()
        assert (resumed["state"], resumed["suspended_for"]) == ("awaiting_bot", None)
    assert (await api.get("/api/tenants/client_002")).json()["state"] == "awaiting_bot"


async def test_a_tenant_is_archived_and_restored(
    api: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    archived = await api.post("/api/tenants/client_001/archive")
    assert (archived.status_code, archived.json()["state"]) == (200, "archived")
    assert archived.json()["schema_version"] is None
    assert (await api.post("/api/tenants/client_001/suspend")).status_code == 409
    assert (await api.post("/api/tenants/client_001/restore")).json()["state"] == "awaiting_bot"
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1
    again = await api.post("/api/tenants/client_001/restore")
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "é"])
@pytest.mark.parametrize("path", ["/api/tenants", "/api/tenants/client_001", "/api/events"])
async def test_nobody_else_is_let_in(
    settings: Settings, database: Database, token: str, path: str
) -> None:
    async with client(settings, database, token="") as api:
        header = {b"Authorization": f"Bearer {token}".encode()} if token else {}
        answer = await api.get(path, headers=header)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == PROBLEM
    assert answer.json()["code"] == "unauthorized"


async def test_without_a_token_in_the_settings_nobody_is_let_in(
    settings: Settings, database: Database
) -> None:
    without = settings.model_copy(update={"master_api_token": SecretStr("")})
    async with client(without, database, token="anything") as api:
        answer = await api.get("/api/tenants")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_configured")
    assert "MASTER_API_TOKEN" in answer.json()["detail"]


WRONG: list[tuple[Any, int, str]] = [
    ({}, 422, "name"),
    ({"name": "", "owner_id": 1}, 422, "name"),
    ({"name": "   ", "owner_id": 1}, 422, "name"),
    ({"name": "x" * 101, "owner_id": 1}, 422, "name"),
    ({"name": "\u2060", "owner_id": 1}, 422, "name: must have 1 to 100 visible characters"),
    ({"name": "\ue000", "owner_id": 1}, 422, "name: must have"),
    ({"name": 7, "owner_id": 1}, 422, "name"),
    ({"name": "x", "owner_id": 0}, 422, "owner_id"),
    ({"name": "x", "owner_id": "1"}, 422, "owner_id"),
    ({"name": "x", "owner_id": True}, 422, "owner_id"),
    ({"name": "x", "owner_id": 2**80}, 422, "owner_id"),
    ({"name": "x", "owner_id": 1, "language": "fr"}, 422, "language"),
    ({"name": "x", "owner_id": 1, "id": "client_007"}, 422, "id"),
    ([], 422, "body"),
    ("text", 422, "body"),
]


@pytest.mark.parametrize(("body", "status", "field"), WRONG)
async def test_wrong_input_names_the_field(
    api: httpx.AsyncClient, witness: Witness, body: Any, status: int, field: str
) -> None:
    answer = await api.post("/api/tenants", json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM)
    assert field in answer.json()["detail"]
    assert await witness.fetchval("SELECT count(*) FROM shared.tenants") == 0


async def test_a_name_with_a_nul_is_refused(api: httpx.AsyncClient) -> None:
    assert (await api.post("/api/tenants", json={**NEW, "name": "a\0b"})).status_code == 422


async def test_a_name_is_kept_on_one_line(api: httpx.AsyncClient) -> None:
    made = await api.post("/api/tenants", json={**NEW, "name": " Салон \n  Ромашка "})
    assert (made.status_code, made.json()["name"]) == (201, "Салон Ромашка")


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b'{"name": "a", "owner_id": 1'])
async def test_a_broken_body_is_refused(api: httpx.AsyncClient, content: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/api/tenants", content=content, headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == PROBLEM


async def test_a_body_nested_too_deeply_is_malformed(api: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/api/tenants", content=b"[" * 60_000, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_body_is_not_read(api: httpx.AsyncClient, chunked: bool) -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    content = chunks() if chunked else b" " * 100 * 1024
    headers = {"Content-Type": "application/json"}
    answer = await api.post("/api/tenants", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM)


@pytest.mark.parametrize("name", ["client_1", "client_001;drop", "..", "%2e%2e%2fx", "public"])
async def test_a_name_is_checked(api: httpx.AsyncClient, name: str) -> None:
    for verb in ("suspend", "resume", "archive", "restore"):
        assert (await api.post(f"/api/tenants/{name}/{verb}")).status_code in {404, 405, 422}


async def test_who_is_not_there_is_not_found(api: httpx.AsyncClient) -> None:
    for verb in ("suspend", "resume", "archive", "restore"):
        answer = await api.post(f"/api/tenants/client_777/{verb}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_tenant")
    assert (await api.get("/api/tenants/client_777")).json()["code"] == "unknown_tenant"


async def test_the_api_describes_itself_with_examples_and_errors(api: httpx.AsyncClient) -> None:
    schema = (await api.get("/openapi.json")).json()
    for methods in schema["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert "401" in operation["responses"] or not operation.get("security")
            assert "example" in str(
                operation["responses"]["201" if "201" in operation["responses"] else "200"]
            )
            for answer in operation["responses"].values():
                problem = answer["content"].get("application/problem+json", {}).get("example")
                assert problem is None or problem["title"] != problem["detail"]
    page = await api.get("/docs")
    assert page.status_code == 200
    assert "<script" not in page.text
    for path in schema["paths"]:
        assert path in page.text
    for words in (
        "string, 1 to 255 characters",
        "Any text of yours that names this request",
        "integer, 1 to 500, default 50",
        "ru | en, default ru",
        "provisioning | awaiting_bot | active | suspended | archived",
        "awaiting_bot (its owner has still to create the bot)",
        "There is no tenant client_999.",
    ):
        assert words in page.text


async def test_the_errors_shown_are_the_errors_that_come(
    api: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    """Each has a title of its class, and says in its detail what has happened this time."""
    schema = (await api.get("/openapi.json")).json()
    shown = schema["paths"]["/api/tenants/{tenant_id}/restore"]["post"]["responses"]
    for answer in (
        await api.post("/api/tenants/client_999/restore"),
        await api.post("/api/tenants/client_001/restore", headers={"Authorization": "Bearer no"}),
    ):
        content = shown[str(answer.status_code)]["content"]
        assert answer.json() == content["application/problem+json"]["example"]
    wrong = (await api.post("/api/tenants/client_001/restore")).json()
    assert (wrong["title"], wrong["detail"]) == (
        "Wrong state",
        "client_001 is awaiting_bot; only an archived tenant is restored.",
    )
    lost = (await api.get("/api/nowhere")).json()
    assert (lost["title"], lost["detail"]) == ("Not Found", "There is no such page.")
