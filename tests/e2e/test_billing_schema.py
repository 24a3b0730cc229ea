"""Schemathesis reads our OpenAPI document and sends what it allows, and what it does not.

The examples that the document shows are sent first, and each is understood. No answer is a 5xx,
and none is other than documented: its status, its media type, its body.
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

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
    ("get", "/api/billing/auto-topup"),
    ("delete", "/api/billing/auto-topup"),
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
    "/api/billing/topup/{order_id}",
    "/api/billing/auto-topup",
}
NAMES_AN_ACCOUNT = {"/api/billing/holds", "/api/billing/refunds"}
PRICED = {"/api/billing/deduct", "/api/billing/holds", "/api/billing/holds/{hold_id}/settle"}
# No shop is set: nobody can pay, so that there is no top-up to look at either.
NOT_SOLD_HERE = {"/api/billing/topup": 409, "/api/billing/topup/{order_id}": 404}
ANNA = "anna@example.com"
SECRET = "the-web-app-seals-its-sessions-with-this"
MIGRATION = "doctor-opus-migration-2026-YOUR-RANDOM-STRING"  # as the document's example has it
CRON = "a-secret-of-the-scheduler-0123456789"
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@dataclass(frozen=True)
class Served:
    """Credits alone in a process of their own: its address and a server key."""

    url: str
    key: str
    user: str = field(default_factory=lambda: seal(ANNA, SECRET, utc_now()).value)

    def bearer(self, path: str) -> str:
        """Who asks for this path."""
        if path in OF_A_USER:
            return self.user
        return CRON if path == "/api/admin/sweep" else self.key

    def hold(self, email: str) -> str:
        """An open hold of somebody's."""
        body = {"email": email, "amount": 7, "operation": "x", "seconds": 86400}
        hold: str = self._made("/api/billing/holds", body)["hold"]
        return hold

    def charge(self, email: str) -> int:
        """What may be refunded: the number of a charge of somebody's."""
        body = {"email": email, "amount": 7, "operation": "x"}
        movement: int = self._made("/api/billing/deduct", body)["id"]
        return movement

    def _made(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        made = httpx.post(f"{self.url}{path}", headers=headers, json=body, trust_env=False)
        assert made.status_code == 200, made.text
        return made.json()


async def _installed(settings: Settings) -> str:
    """Install credits; return a server key."""
    database = open_alone(settings)
    try:
        async with chain.migrating(database) as conn:
            assert isinstance(conn, OwnerConnection)
            made = await keys.create(conn, name="all", scopes=tuple(Scope), now=utc_now())
            return made.whole
    finally:
        await database.close()


@pytest.fixture
def served(settings: Settings, tmp_path: Path) -> Iterator[Served]:
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
        "MIGRATION_SECRET": MIGRATION,
        "CRON_SECRET": CRON,
    }
    argv = ("zapisano", "serve", "api", "--only", "credits")
    part = Part("credits", argv, environment, tmp_path / "credits.log")
    part.start()
    try:
        yield Served(f"http://127.0.0.1:{port}", key)
    finally:
        part.stop()


def test_the_document_and_the_answers_agree(served: Served) -> None:
    schema: Any = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    known = {(one.ok().method, one.ok().path) for one in schema.get_all_operations()}
    assert known == set(OPERATIONS)
    for method, path in OPERATIONS:
        shown = _send(served, _example(served, schema[path][method]))
        # What the document shows to a newcomer is understood.
        assert shown == NOT_SOLD_HERE.get(path, 200), (path, shown)
    for method, path in OPERATIONS:
        _try(served, schema[path][method])


def _send(served: Served, case: Case[Any]) -> int:
    """Send a case, and check its answer against the document; return the answer's status."""
    answer = case.call(headers={"Authorization": f"Bearer {served.bearer(case.path)}"})
    case.validate_response(answer, checks=CHECKS)
    return answer.status_code


def _example(served: Served, operation: Any) -> Case[Any]:
    """What the document shows as a request, of a hold and a charge that there are."""
    asked = operation.definition.raw
    path = {
        one["name"]: one["schema"]["examples"][0]
        for one in asked.get("parameters", [])
        if one["in"] == "path"
    }
    case: Case[Any] = operation.Case(path_parameters=path)
    if "requestBody" in asked:
        case.media_type = "application/json"
        case.body = dict(asked["requestBody"]["content"][case.media_type]["example"])
    _name_what_is_there(served, case, ANNA)
    return case


def _try(served: Served, operation: Any) -> None:
    """Send what is allowed and what is not."""
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
    @hypothesis.given(case=either, is_told=st.booleans())
    def run(case: Case[Any], is_told: bool) -> None:
        if is_told:
            # Somebody new has credits, whatever the cases before have done.
            email = ANNA if case.path in OF_A_USER else f"{uuid4().hex}@example.com"
            _name_what_is_there(served, case, email)
            _tell_what_no_schema_says(case, email)
        _send(served, case)

    run()


def _name_what_is_there(served: Served, case: Case[Any], email: str) -> None:
    """Put a hold and a charge that there are in the place of made-up ones."""
    if "hold_id" in case.path_parameters:
        case.path_parameters["hold_id"] = served.hold(email)
    if case.path == "/api/billing/refunds" and isinstance(case.body, dict) and "id" in case.body:
        case.body["id"] = served.charge(email)


def _tell_what_no_schema_says(case: Case[Any], email: str) -> None:
    """Say whose account it is, and send no made-up cookie; make a right body one understood.

    A negative case stays wrong: Schemathesis may have left out the Authorization, for which there
    is a 401, or a field.
    """
    case.cookies.clear()
    for part in (case.query, case.body):
        if isinstance(part, dict) and "email" in part:
            part["email"] = email
    assert case.meta is not None
    if case.meta.generation.mode is GenerationMode.POSITIVE and isinstance(case.body, dict):
        _make_understood(case.path, case.body, email)


def _make_understood(path: str, body: dict[str, Any], email: str) -> None:
    """Say whose account it is, one price, and texts that can be read."""
    if path in NAMES_AN_ACCOUNT:
        body["email"] = email
    if path in PRICED:
        body["amount"] = body.get("amount") or 1
        body.pop("model", None)
        body.pop("tokens", None)
    for name in body.keys() & {"operation", "reason"}:
        body[name] = "".join(filter(str.isprintable, body[name] or "")).strip() or "x"
