"""Schemathesis reads our OpenAPI document and sends what it allows, and what it does not.

No answer is a 5xx, and none is other than documented: its status, its media type, its body.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from hypothesis import strategies as st
from parts import Part
from product import KEPT, free_ports
from schemathesis import Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from own_settings import SECRET_KEY
from zapisano.clock import utc_now
from zapisano.credits import keys
from zapisano.credits.keys import Scope
from zapisano.credits.sessions import seal
from zapisano.db import OwnerConnection, open_alone
from zapisano.db import ledger as chain
from zapisano.settings import Settings

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "25"))
OPERATIONS = (
    ("get", "/api/admin/migrate"),
    ("get", "/api/billing/balance"),
    ("post", "/api/billing/deduct"),
    ("get", "/api/billing/prices"),
    ("get", "/api/billing/transactions"),
    ("post", "/api/billing/topup"),
    ("get", "/api/billing/topup/{order_id}"),
    ("post", "/api/billing/holds"),
    ("get", "/api/billing/holds/{hold_id}"),
    ("post", "/api/billing/holds/{hold_id}/settle"),
    ("post", "/api/billing/holds/{hold_id}/release"),
    ("post", "/api/billing/holds/{hold_id}/renew"),
    ("post", "/api/billing/refunds"),
    ("post", "/api/billing/batch"),
    ("post", "/api/admin/migrate"),
    ("get", "/api/admin/sweep"),
)
OF_A_USER = {
    "/api/billing/balance",
    "/api/billing/deduct",
    "/api/billing/transactions",
    "/api/billing/topup",
}
# Their secrets are not known to Schemathesis, and no shop is set for the third.
NOT_TRIED = {"/api/admin/migrate", "/api/admin/sweep", "/api/billing/topup/{order_id}"}
ANNA = "anna@example.com"
SECRET = "the-web-app-seals-its-sessions-with-this"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


async def _installed(settings: Settings) -> str:
    database = open_alone(settings)
    try:
        async with chain.migrating(database) as conn:
            assert isinstance(conn, OwnerConnection)
            made = await keys.create(conn, name="all", scopes=tuple(Scope), now=utc_now())
            return made.whole
    finally:
        await database.close()


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Credits alone in a process of their own; its address, and a server key."""
    key = asyncio.run(_installed(settings))
    (port,) = free_ports(1)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment = {
        **kept,
        "POSTGRES_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_CREDITS_PORT": str(port),
        "ZAPISANO_SECRET_KEY": SECRET_KEY,
        "ZAPISANO_DATA_DIR": str(tmp_path),
        "NEXTAUTH_SECRET": SECRET,
    }
    argv = ("zapisano", "serve", "api", "--only", "credits")
    part = Part("credits", argv, environment, tmp_path / "credits.log")
    part.start()
    try:
        yield f"http://127.0.0.1:{port}", key
    finally:
        part.stop()


def test_the_document_and_the_answers_agree(served: tuple[str, str]) -> None:
    url, key = served
    schema: Any = schemathesis.openapi.from_url(f"{url}/openapi.json")
    known = {(one.ok().method, one.ok().path) for one in schema.get_all_operations()}
    assert known == set(OPERATIONS)
    user = seal(ANNA, SECRET, utc_now()).value
    hold = _hold(url, key)
    for method, path in OPERATIONS:
        bearer = user if path in OF_A_USER else key
        tried = _try(schema[path][method], f"Bearer {bearer}", hold)
        # It was understood at least now and then, and not only refused.
        assert tried & {200, 402, 409} or path in NOT_TRIED, (path, tried)


def _hold(url: str, key: str) -> str:
    made = httpx.post(
        f"{url}/api/billing/holds",
        headers={"Authorization": f"Bearer {key}"},
        json={"email": ANNA, "amount": 1, "operation": "x", "seconds": 86400},
        trust_env=False,
    )
    hold: str = made.json()["hold"]
    return hold


def _try(operation: Any, authorization: str, hold: str) -> set[int]:
    """Send what is allowed and what is not; return the answers' statuses."""
    statuses: set[int] = set()
    either = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.filter_too_much,
            hypothesis.HealthCheck.data_too_large,
        ],
    )
    @hypothesis.given(case=either, is_known=st.booleans())
    def run(case: Case[Any], is_known: bool) -> None:
        # What Schemathesis cannot know, it is told every other time.
        if is_known and "hold_id" in case.path_parameters:
            case.path_parameters["hold_id"] = hold
        if is_known and isinstance(case.body, dict) and "email" in case.body:
            case.body["email"] = ANNA
        answer = case.call(headers={"Authorization": authorization})
        case.validate_response(answer, checks=CHECKS)
        statuses.add(answer.status_code)

    run()
    return statuses
