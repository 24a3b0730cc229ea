"""`/api/admin`: look whether credits are installed, install them, and what a worker does else."""

import hmac
import time
from typing import ClassVar, cast

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import SecretStr

from zapisano.credits import installation
from zapisano.credits.installation import Installed
from zapisano.credits.model import Rules
from zapisano.errors import Unauthorized
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.web.billing.bodies import read_json
from zapisano.web.billing.caller import check_json, check_origin
from zapisano.web.billing.documents import (
    BUSY,
    FORBIDDEN,
    NOT_JSON,
    TOO_LARGE,
    TOO_OFTEN,
    UNREADABLE,
    answer,
    refusal,
)
from zapisano.web.plain import plain
from zapisano.web.sender import sender_of

log = get_logger("zapisano.web.billing")

ATTEMPTS = "10/minute"  # from one address; a person types the secret once
PENDING = {
    "status": "pending",
    "existing_tables": [],
    "missing_tables": ["user_balances", "credit_transactions"],
    "message": "Missing tables: user_balances, credit_transactions",
}
MIGRATED = {
    "success": True,
    "message": "Migration completed successfully",
    "execution_time_ms": 1234,
    "tables": ["credit_transactions", "user_balances"],
    "stats": {"user_balances": 2, "credit_transactions": 0},
    "test_users": ["support@doctor-opus.ru", "test@doctor-opus.ru"],
}
SECRET_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["secret"],
                    "properties": {"secret": {"type": "string"}},
                },
                "example": {"secret": "doctor-opus-migration-2026-YOUR-RANDOM-STRING"},
            }
        },
    }
}


class WrongSecret(Unauthorized):
    """The secret is wrong, or none is set."""

    code: ClassVar[str] = "wrong_secret"
    text: ClassVar[str] = "Unauthorized"


router = APIRouter(prefix="/api/admin", tags=["Migration"])


@router.get("/migrate", summary="Are credits installed?", responses={
    **answer(200, "`pending`, `partial` or `migrated`", PENDING), **BUSY,
})  # fmt: skip
async def look(request: Request) -> Response:
    """Say which tables there are, and change nothing."""
    async with request.app.state.database.statements() as conn:
        found = await installation.status(conn)
    return plain(
        {
            "status": found.state,
            "existing_tables": found.existing,
            "missing_tables": found.missing,
            "message": found.message,
        }
    )


@router.post("/migrate", summary="Install credits", openapi_extra=SECRET_BODY, responses={
    **answer(200, "Installed, or as it was", MIGRATED),
    **refusal(401, "The secret is wrong, or MIGRATION_SECRET is not set", "Unauthorized"),
    **refusal(500, "Nothing was changed", "Migration failed", details="The database of DATABASE_URL"
              " is not answering (ConnectionRefusedError)."),
    **FORBIDDEN, **UNREADABLE, **NOT_JSON, **TOO_LARGE, **TOO_OFTEN, **BUSY,
})  # fmt: skip
async def migrate(request: Request) -> Response:
    """Make the tables, take over what is in them, open the test accounts. May be repeated."""
    began = time.monotonic()
    settings: Settings = request.app.state.settings
    check_origin(request)
    check_json(request)
    sender = sender_of(request, settings.trusted_proxies)
    await request.app.state.limiter.hit("migrate", ATTEMPTS, str(sender), fail_open=False)
    body = await read_json(request)
    given = cast("dict[str, object]", body).get("secret") if isinstance(body, dict) else None
    check_secret(settings.migration_secret, given)
    done = await installation.install(request.app.state.database, Rules.of(settings))
    milliseconds = round((time.monotonic() - began) * 1000)
    log.info("credits_installed", milliseconds=milliseconds, frozen=len(done.frozen))
    return plain(_shown(done, milliseconds))


def check_secret(expected: SecretStr, given: object) -> None:
    """Compare in constant time, so that answers leak nothing of the secret.

    Raises:
        WrongSecret: it is another, or none is set.
    """
    secret = expected.get_secret_value()
    spoken = given.encode(errors="replace") if isinstance(given, str) else b""
    if not secret or not hmac.compare_digest(spoken, secret.encode()):
        raise WrongSecret


def _shown(done: Installed, milliseconds: int) -> dict[str, object]:
    frozen = [{"id": one.id, "email": one.email, "reason": one.reason} for one in done.frozen]
    return {
        "success": True,
        "message": "Migration completed successfully",
        "execution_time_ms": milliseconds,
        "tables": done.tables,
        "stats": done.stats,
        "test_users": done.test_users,
        **({"frozen": frozen} if frozen else {}),
    }
