"""Server keys: how back ends show who they are, and what they may do.

A key is `zk_<id>_<secret>`. The id is looked up; of the whole key only its SHA-256 is stored. That
is enough: the secret has 256 random bits, so there is nothing to guess and a slow hash would slow
down only us. Every request looks the key up anew, so that revoking works at once; and no request
writes, so when a key was last used is not known.
"""

import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import ClassVar

from zapisano.credits.model import CENT, LARGEST
from zapisano.credits.store import keys as store
from zapisano.credits.store.keys import StoredKey
from zapisano.db import Connection
from zapisano.errors import AppError, NotFound, Refused, Unauthorized

ID_BYTES = 8
SECRET_BYTES = 32
WHOLE = re.compile(r"zk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")
HEADER = re.compile(r"bearer +(zk_[^ ]*) *", re.IGNORECASE)
MEANT = re.compile(r"(bearer +)?zk_", re.IGNORECASE)
LONGEST_NAME = 100
MOST_PER_MINUTE = 1_000_000


class Scope(StrEnum):
    """What a key may do, for any user of the app."""

    READ = "read"
    CHARGE = "charge"
    HOLD = "hold"
    REFUND = "refund"
    BATCH = "batch"
    TOPUP = "topup"


class NoKey(Unauthorized):
    """The key is malformed, unknown or revoked; which of these is not said."""

    text: ClassVar[str] = "A valid server key is needed: send the header Authorization: Bearer zk_…"


class MissingScope(AppError):
    """The key is good, and may not do this."""

    code: ClassVar[str] = "missing_scope"
    status: ClassVar[int] = 403
    text: ClassVar[str] = "This server key may not do this."


class OverKeyLimit(AppError):
    """The key is good, and may not move so much at once."""

    code: ClassVar[str] = "over_key_limit"
    status: ClassVar[int] = 403
    text: ClassVar[str] = "This server key may not move so much at once."


class UnknownKey(NotFound):
    """No key has this id."""

    code, text = "unknown_key", "There is no such server key."


@dataclass(frozen=True)
class ServerKey:
    """A key without its secret. `most`: credits per movement; `per_minute`: requests."""

    id: str
    name: str
    scopes: frozenset[Scope]
    most: Decimal | None
    per_minute: int | None
    created_at: datetime
    revoked_at: datetime | None

    def require(self, scope: Scope) -> None:
        """Go on only if the key may do this.

        Raises:
            MissingScope: it may not.
        """
        if scope not in self.scopes:
            raise MissingScope(f"This server key needs the scope {scope} for this.")

    def bear(self, amount: Decimal) -> None:
        """Go on only if the key may move `amount` credits at once.

        Raises:
            OverKeyLimit: it may not.
        """
        if self.most is not None and amount > self.most:
            raise OverKeyLimit(f"amount: this server key moves {self.most} credits at most.")


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: `whole` is shown once and known nowhere afterwards."""

    key: ServerKey
    whole: str = field(repr=False)


def is_server_key(header: str) -> bool:
    """Say whether a header means to hold a server key and no session, also without `Bearer`."""
    return MEANT.match(header) is not None


async def authenticate(conn: Connection, header: str) -> ServerKey:
    """Return the key that an Authorization header holds.

    Raises:
        NoKey: it holds none that is valid.
    """
    given = HEADER.fullmatch(header)
    whole = WHOLE.fullmatch(given[1]) if given else None
    if whole is None:
        raise NoKey
    found = await store.find(conn, whole[1])
    # Compared in constant time: how much of a secret is right must not be measurable.
    if found is None or not hmac.compare_digest(found.digest, _digest(whole[0])):
        raise NoKey
    if found.revoked_at is not None:
        raise NoKey
    return _key(found)


async def create(
    conn: Connection,
    *,
    name: str,
    scopes: Collection[Scope],
    now: datetime,
    most: Decimal | None = None,
    per_minute: int | None = None,
) -> NewKey:
    """Make a key.

    Raises:
        Refused: the field that is wrong is named.
    """
    _check(name, scopes, most, per_minute)
    key_id = secrets.token_hex(ID_BYTES)
    whole = f"zk_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    made = StoredKey(
        id=key_id,
        digest=_digest(whole),
        name=name,
        scopes=sorted(scopes),
        most=most,
        per_minute=per_minute,
        created_at=now,
        revoked_at=None,
    )
    await store.insert(conn, made)
    return NewKey(_key(made), whole)


async def list_keys(conn: Connection) -> list[ServerKey]:
    """Return all keys, those that are revoked too, the oldest first."""
    return [_key(one) for one in await store.find_all(conn)]


async def revoke(conn: Connection, key_id: str, now: datetime) -> None:
    """Refuse a key from the commit of this on; again changes nothing.

    Raises:
        UnknownKey: there is none.
    """
    if not await store.revoke(conn, key_id, now):
        raise UnknownKey


def _check(
    name: str, scopes: Collection[Scope], most: Decimal | None, per_minute: int | None
) -> None:
    if not (1 <= len(name) <= LONGEST_NAME and name.isprintable()):
        raise Refused(f"name: must have 1 to {LONGEST_NAME} characters.")
    if not scopes:
        raise Refused(f"scopes: name at least one of {', '.join(Scope)}.")
    if most is not None and not (
        most.is_finite() and 0 < most <= LARGEST and most == most.quantize(CENT)
    ):
        raise Refused(f"most: must be above zero, at most {LARGEST}, with two decimals.")
    if per_minute is not None and not 1 <= per_minute <= MOST_PER_MINUTE:
        raise Refused(f"per_minute: must be 1 to {MOST_PER_MINUTE}.")


def _key(stored: StoredKey) -> ServerKey:
    return ServerKey(
        id=stored.id,
        name=stored.name,
        scopes=frozenset(Scope(scope) for scope in stored.scopes),
        most=stored.most,
        per_minute=stored.per_minute,
        created_at=stored.created_at,
        revoked_at=stored.revoked_at,
    )


def _digest(whole: str) -> bytes:
    return sha256(whole.encode()).digest()
