"""Credits over HTTP for a test: the app on the test's own database, and sessions of its users."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.jwk import OctKey

from own_settings import settings_for
from zapisano.app import create_credits
from zapisano.credits import keys
from zapisano.credits.keys import Scope
from zapisano.db import Database, open_alone
from zapisano.settings import Settings

SECRET = "the-web-app-seals-its-sessions-with-this"
MIGRATION = "doctor-opus-migration-2026-YOUR-RANDOM-STRING"
TESTER = "test@doctor-opus.ru"
ANNA = "anna@example.com"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
COOKIE = "next-auth.session-token"


def session(claims: dict[str, Any], now: datetime = NOON, secret: str = SECRET) -> str:
    """Seal a session as next-auth 4 does."""
    label = b"NextAuth.js Generated Encryption Key"
    key = HKDF(SHA256(), 32, b"", label).derive(secret.encode())
    seconds = int(now.timestamp())
    whole = {"iat": seconds, "exp": seconds + 30 * 24 * 3600, **claims}
    header = {"alg": "dir", "enc": "A256GCM"}
    return jwe.encrypt_compact(header, json.dumps(whole), OctKey.import_key(key))


@dataclass
class Api:
    """The app, at an hour that the test sets."""

    settings: Settings
    database: Database
    client: httpx.AsyncClient = field(init=False)
    now: datetime = NOON

    def cookie(self, email: str = ANNA) -> dict[str, str]:
        """The header of somebody who is signed in."""
        return {"Cookie": f"{COOKIE}={session({'email': email}, self.now)}"}

    async def key(self, *scopes: Scope, **limits: Any) -> dict[str, str]:
        """The header of a back end."""
        async with self.database.owner() as conn:
            made = await keys.create(
                conn, name="back end", scopes=scopes or tuple(Scope), now=self.now, **limits
            )
        return {"Authorization": f"Bearer {made.whole}"}

    async def get(self, path: str, headers: dict[str, str], **query: Any) -> httpx.Response:
        return await self.client.get(path, headers=headers, params=query)

    async def post(
        self, path: str, headers: dict[str, str], body: object, *, key: str | None = None
    ) -> httpx.Response:
        more = {"Idempotency-Key": key} if key else {}
        return await self.client.post(path, headers={**headers, **more}, json=body)

    async def migrate(self, secret: str = MIGRATION) -> httpx.Response:
        return await self.post("/api/admin/migrate", {}, {"secret": secret})

    async def balance(self, email: str = ANNA) -> Decimal:
        shown = exact(await self.get("/api/billing/balance", self.cookie(email)))
        return Decimal(shown["balance"])


def exact(answer: httpx.Response) -> Any:
    """Read an answer's numbers as they are written."""
    return json.loads(answer.text, parse_float=Decimal)


@asynccontextmanager
async def opened(
    settings: Settings, create: Any = create_credits, database: Database | None = None
) -> AsyncGenerator[Api]:
    """Open an app of some settings: credits alone, unless it is said otherwise."""
    database = database or open_alone(settings)
    api = Api(settings, database)
    app = create(settings, database, now=lambda: api.now)
    try:
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(app=app), base_url="http://credits"
            ) as client,
        ):
            api.client = client
            yield api
    finally:
        await database.close()


@pytest.fixture
def credits_settings(dsn: str, tmp_path: Path) -> Settings:
    return settings_for(
        dsn, tmp_path, NEXTAUTH_SECRET=SECRET, MIGRATION_SECRET=MIGRATION, ZAPISANO_DEMO="true"
    )


@pytest.fixture
async def bare(credits_settings: Settings) -> AsyncGenerator[Api]:
    """Credits that nobody has installed yet."""
    async with opened(credits_settings) as api:
        yield api


@pytest.fixture
def api(with_ledger: None, bare: Api) -> Api:
    """Credits, installed."""
    return bare
