"""Who is signed in: the session of a NextAuth (Auth.js) web app, read as its own library does.

Sources: next-auth 4.24 (`jwt/index.ts`, `core/lib/cookie.ts`) and @auth/core 0.41 (`jwt.ts`,
`lib/utils/cookie.ts`). The version is told by the token's header: version 5 may keep the cookie
names of version 4.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import unquote
from uuid import uuid4

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey, thumbprint
from joserfc.util import urlsafe_b64decode

from zapisano.credits.model import fold
from zapisano.errors import Refused, Unauthorized

COOKIES = (
    "__Secure-authjs.session-token",
    "authjs.session-token",
    "__Secure-next-auth.session-token",
    "next-auth.session-token",
)
BEARER = "bearer "
# What a browser keeps for a site is far less; whoever sends more wants our processor.
MAX_TOKEN_LENGTH = 64 * 1024
MAX_HEADER_LENGTH = 512
MAX_CHUNKS = 100
KEPT_SESSIONS = 4096  # opened ones, in memory
MAX_EMAIL = 255  # the column's length
CLOCK_TOLERANCE_SECONDS = 15
V4, V5 = "A256GCM", "A256CBC-HS512"
PLAIN_COOKIE = COOKIES[-1]  # of version 4, where there is no https
LIFETIME = timedelta(days=30)  # what both libraries give a session
V4_LABEL = "NextAuth.js Generated Encryption Key"
KEY_BYTES = {V4: 32, V5: 64}
HEADER_FIELDS = frozenset({"alg", "enc", "kid"})


class NoSession(Unauthorized):
    """Nobody is signed in, or the session cannot be believed; `reason` says why, for the log."""

    code, text = "no_session", "Unauthorized"

    def __init__(self, reason: str) -> None:
        """Keep the reason apart from what is shown."""
        super().__init__()
        self.reason = reason


class NoEmail(Unauthorized):
    """Somebody is signed in, and nobody can be charged for it."""

    code, status, text = "no_email", 403, "The session names no e-mail address."


@dataclass(frozen=True)
class Token:
    """A session's token as it came, and the name of the cookie that it came in."""

    cookie: str
    value: str


def find_token(cookies: Iterable[tuple[str, str]], authorization: str | None) -> Token | None:
    """Return the token of a request: of the first cookie with a known name, else the bearer's.

    `cookies` are as they were sent: of two with one name the first counts. A token that is too long
    for one cookie comes in chunks, `name.0`, `name.1`, …; chunks with a gap are no token.
    """
    sent: dict[str, str] = {}
    for name, value in cookies:
        sent.setdefault(name, value)
    for name in COOKIES:
        if value := sent.get(name) or _joined(sent, name):
            return Token(name, value)
    if authorization and authorization.lower().startswith(BEARER):
        return Token("", unquote(authorization[len(BEARER) :].strip()))
    return None


def _joined(sent: Mapping[str, str], name: str) -> str:
    if f"{name}.0" not in sent:
        return ""
    chunks: list[str] = []
    while (chunk := sent.get(f"{name}.{len(chunks)}")) and len(chunks) < MAX_CHUNKS:
        chunks.append(chunk)
    tails = (key.removeprefix(f"{name}.") for key in sent if key.startswith(f"{name}."))
    numbers = {tail for tail in tails if tail.isascii() and tail.isdigit()}
    return "".join(chunks) if numbers == {str(n) for n in range(len(chunks))} else ""


def email_of(claims: Mapping[str, Any]) -> str:
    """Return the address that is charged.

    Raises:
        NoEmail: the session names none, or none that an account can have.
    """
    email = claims.get("email")
    found = _address(email) if isinstance(email, str) else None
    if found is None:
        raise NoEmail
    return found


def address(written: str) -> str:
    """Read an address that a back end names, as a session's would be read.

    Raises:
        Refused: it is none.
    """
    if (found := _address(written)) is None:
        raise Refused("email: is no address; it looks like anna@example.com")
    return found


def _address(written: str) -> str | None:
    email = fold(written.strip())
    fits = 3 <= len(email) <= MAX_EMAIL and "@" in email and email.isprintable()
    return email if fits else None


def claims_of(token: Token, secrets: Sequence[str], now: datetime) -> Mapping[str, Any]:
    """Return what a session token says, if one of `secrets` opens it and its time has not passed.

    `secrets` has the newest first.

    Raises:
        NoSession: it is malformed, sealed with another secret, tampered with, expired, or not
            valid yet.
    """
    claims = _claims_of(token, tuple(secrets))
    _check_time(claims, now)
    return claims


@lru_cache(maxsize=KEPT_SESSIONS)
def _claims_of(token: Token, secrets: tuple[str, ...]) -> Mapping[str, Any]:
    """Open a token. It comes with each request of its user, and is what costs most of one.

    What does not open is not kept, so nobody can crowd others out by guessing.
    """
    header = _header(token.value)
    for key in _keys(token, header, secrets):
        if (claims := _opened(token.value, key, str(header["enc"]))) is not None:
            return MappingProxyType(claims)
    raise NoSession("decrypt")


def seal(email: str, secret: str, now: datetime) -> Token:
    """Return a session of `email` as NextAuth 4 seals it, good for thirty days: for a trial."""
    seconds = int(now.timestamp())
    claims = {
        "name": email.partition("@")[0],
        "email": email,
        "sub": email,
        "iat": seconds,
        "exp": seconds + int(LIFETIME.total_seconds()),
        "jti": str(uuid4()),
    }
    header = {"alg": "dir", "enc": V4}
    key = _key(secret, "", V4)
    value = jwe.encrypt_compact(header, json.dumps(claims), key, algorithms=["dir", V4])
    return Token(PLAIN_COOKIE, value)


def _header(value: str) -> Mapping[str, object]:
    """Read the header without believing it: nothing but what both libraries write is accepted."""
    written, dots = value.partition(".")[0], value.count(".")
    if len(value) > MAX_TOKEN_LENGTH or len(written) > MAX_HEADER_LENGTH or dots != 4:
        raise NoSession("malformed")
    try:
        header: object = json.loads(urlsafe_b64decode(written.encode()))
    except ValueError:
        raise NoSession("malformed") from None
    if not isinstance(header, dict):
        raise NoSession("malformed")
    fields = cast("dict[str, object]", header)
    enc = fields.get("enc")
    if fields.get("alg") != "dir" or not isinstance(enc, str) or enc not in KEY_BYTES:
        raise NoSession("algorithm")
    if not fields.keys() <= HEADER_FIELDS:
        raise NoSession("malformed")
    return fields


def _keys(token: Token, header: Mapping[str, object], secrets: Sequence[str]) -> list[OctKey]:
    """Return the keys to try: that of the header's kid, or, where it names none, each secret's.

    Version 4 names none and salts with nothing; version 5 salts with the cookie's name, which a
    bearer token does not tell.
    """
    enc, kid = str(header["enc"]), header.get("kid")
    names = (token.cookie,) if token.cookie else COOKIES
    salted = [_key(secret, name, enc) for secret in secrets for name in names]
    if kid is not None:
        return [key for key in salted if _kid(key) == kid]
    return [_key(secret, "", enc) for secret in secrets] + salted if enc == V4 else salted


@lru_cache(maxsize=64)
def _key(secret: str, salt: str, enc: str) -> OctKey:
    label = f"Auth.js Generated Encryption Key ({salt})" if salt else V4_LABEL
    derived = HKDF(SHA256(), KEY_BYTES[enc], salt.encode(), label.encode())
    return OctKey.import_key(derived.derive(secret.encode()))


def _kid(key: OctKey) -> str:
    """Return the key's RFC 7638 thumbprint; jose takes the digest as long as the key."""
    digest = "sha512" if len(key.raw_value) == hashlib.sha512().digest_size else "sha256"
    return thumbprint({"kty": "oct", "k": key.as_dict(private=True)["k"]}, digest)


def _opened(value: str, key: OctKey, enc: str) -> dict[str, Any] | None:
    try:
        opened = jwe.decrypt_compact(value, key, algorithms=["dir", enc]).plaintext
        claims: object = json.loads(opened or b"")
    except (JoseError, ValueError):
        return None
    return cast("dict[str, Any]", claims) if isinstance(claims, dict) else None


def _check_time(claims: Mapping[str, Any], now: datetime) -> None:
    """Refuse what has expired, has no end, or has not begun; whole seconds, as jose compares."""
    seconds = int(now.timestamp())
    expires, begins = _number(claims.get("exp")), _number(claims.get("nbf", 0))
    if expires is None or begins is None:
        raise NoSession("malformed")
    if expires <= seconds - CLOCK_TOLERANCE_SECONDS:
        raise NoSession("expired")
    if begins > seconds + CLOCK_TOLERANCE_SECONDS:
        raise NoSession("not_yet")


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    is_number = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return cast("float", value) if is_number else None
