"""Server keys: shown once, hashed at rest, refused without a word why, revoked at once."""

import re
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256

import asyncpg
import pytest

from zapisano.credits import keys
from zapisano.credits.keys import MissingScope, NewKey, NoKey, OverKeyLimit, Scope, UnknownKey
from zapisano.db import Database
from zapisano.errors import AppError, Refused

Witness = asyncpg.Connection
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def installed(with_ledger: None, database: Database) -> Database:
    """The app's own role on a database that has the ledger."""
    return database


async def make(
    database: Database,
    name: str = "backend",
    scopes: Collection[Scope] = (Scope.CHARGE, Scope.READ),
    most: Decimal | None = None,
    per_minute: int | None = None,
) -> NewKey:
    async with database.shared() as conn:
        return await keys.create(
            conn, name=name, scopes=scopes, now=NOW, most=most, per_minute=per_minute
        )


async def enter(database: Database, header: str) -> keys.ServerKey:
    async with database.statements() as conn:
        return await keys.authenticate(conn, header)


async def test_a_key_lets_in_and_is_what_was_asked_for(installed: Database) -> None:
    made = await make(installed, most=Decimal("12.50"), per_minute=600)
    other = await make(installed, "other", [Scope.REFUND])
    assert re.fullmatch(r"zk_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", made.whole)
    assert made.key.id in made.whole
    for header in (f"Bearer {made.whole}", f"bearer  {made.whole} "):
        assert keys.is_server_key(header)
        assert await enter(installed, header) == made.key
    assert made.key == keys.ServerKey(
        id=made.key.id,
        name="backend",
        scopes=frozenset({Scope.CHARGE, Scope.READ}),
        most=Decimal("12.50"),
        per_minute=600,
        created_at=NOW,
        revoked_at=None,
    )
    assert (await enter(installed, f"Bearer {other.whole}")).scopes == {Scope.REFUND}


async def test_nothing_of_the_secret_is_kept_or_told(installed: Database, witness: Witness) -> None:
    made = await make(installed)
    secret = made.whole[-20:]
    stored = await witness.fetchval("SELECT k::text FROM credits.server_keys AS k")
    async with installed.shared() as conn:
        listed = await keys.list_keys(conn)
    for told in (stored, repr(made), repr(listed)):
        assert secret not in told
    assert await witness.fetchval("SELECT digest FROM credits.server_keys") == (
        sha256(made.whole.encode()).digest()
    )


async def test_whoever_has_no_valid_key_is_not_told_why(installed: Database) -> None:
    made, other, revoked = [await make(installed, name) for name in ("one", "two", "three")]
    async with installed.shared() as conn:
        await keys.revoke(conn, revoked.key.id, NOW)
    of_other = other.whole[len(f"zk_{other.key.id}") :]
    headers = [
        "",
        made.whole,
        f"Basic {made.whole}",
        "Bearer ",
        "Bearer zk_",
        f"Bearer {made.whole}x",
        f"Bearer {made.whole[:-1]}",
        f"Bearer {made.whole} {made.whole}",
        f"Bearer {made.whole}\n",
        f"Bearer {made.whole[:-5]}ключ!",
        f"Bearer {made.whole[:-1]}{'A' if made.whole[-1] != 'A' else 'B'}",
        f"Bearer {made.whole.swapcase()}",
        f"Bearer zk_{made.key.id}{of_other}",
        f"Bearer zk_{'0' * 16}{of_other}",
        f"Bearer {revoked.whole}",
    ]
    told: set[str] = set()
    for header in headers:
        with pytest.raises(NoKey) as caught:
            await enter(installed, header)
        told.add(caught.value.detail)
    assert told == {NoKey.text}
    assert NoKey.status == 401


async def test_revoking_works_at_once_and_for_one_key(installed: Database) -> None:
    made, other = await make(installed), await make(installed, "other")
    async with installed.shared() as conn:
        await keys.revoke(conn, made.key.id, NOW + timedelta(hours=1))
        await keys.revoke(conn, made.key.id, NOW + timedelta(hours=2))
        with pytest.raises(UnknownKey):
            await keys.revoke(conn, "0" * 16, NOW)
        listed = await keys.list_keys(conn)
    with pytest.raises(NoKey):
        await enter(installed, f"Bearer {made.whole}")
    assert (await enter(installed, f"Bearer {other.whole}")).name == "other"
    assert {one.name: one.revoked_at for one in listed} == {
        "backend": NOW + timedelta(hours=1),
        "other": None,
    }


async def test_a_key_does_what_its_scopes_and_its_limit_allow(installed: Database) -> None:
    key = (await make(installed, most=Decimal("12.50"))).key
    key.require(Scope.CHARGE)
    key.bear(Decimal("12.50"))
    with pytest.raises(MissingScope, match="refund") as missing:
        key.require(Scope.REFUND)
    with pytest.raises(OverKeyLimit, match=r"12\.50") as over:
        key.bear(Decimal("12.51"))
    assert (missing.value.status, over.value.status) == (403, 403)
    (await make(installed, "without a limit")).key.bear(Decimal("99999999.99"))


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "x" * 101}),
        ("name", {"name": "two\nlines"}),
        ("scopes", {"scopes": []}),
        ("most", {"most": Decimal(0)}),
        ("most", {"most": Decimal("NaN")}),
        ("most", {"most": Decimal("1.001")}),
        ("most", {"most": Decimal("1e30")}),
        ("per_minute", {"per_minute": 0}),
        ("per_minute", {"per_minute": 1_000_001}),
    ],
)
async def test_what_no_key_can_be_is_refused_by_name(
    field: str, given: dict[str, object], installed: Database, witness: Witness
) -> None:
    with pytest.raises(Refused) as caught:
        await make(installed, **given)  # pyright: ignore[reportArgumentType]  # wrong on purpose
    assert caught.value.detail.startswith(f"{field}: ")
    assert await witness.fetchval("SELECT count(*) FROM credits.server_keys") == 0


def test_a_session_is_no_server_key() -> None:
    for header in ("", "Bearer eyJhbGciOiJkaXIi.x.y.z.q", "Basic zk_", "Bearer of zk_1"):
        assert not keys.is_server_key(header)


def test_a_key_is_known_as_one_however_it_is_sent() -> None:
    for header in ("zk_1", "Bearer zk_1", "bearer  zk_1 zk_1"):
        assert keys.is_server_key(header)


async def test_the_app_cannot_forget_a_key(installed: Database) -> None:
    """What has been revoked stays to be seen."""
    await make(installed)
    with pytest.raises((AppError, asyncpg.InsufficientPrivilegeError)):
        async with installed.shared() as conn:
            await conn.execute("DELETE FROM credits.server_keys")
