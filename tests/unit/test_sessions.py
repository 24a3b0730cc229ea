"""Sessions of NextAuth web apps: the libraries' own tokens and verdicts, and what they refuse."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey
from joserfc.util import urlsafe_b64encode

from zapisano.credits.sessions import (
    COOKIES,
    MAX_TOKEN_LENGTH,
    NoEmail,
    NoSession,
    Token,
    claims_of,
    email_of,
    find_token,
    seal,
)

VECTORS = json.loads((Path(__file__).parent / "nextauth_vectors.json").read_text())["vectors"]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "test-vector-secret-do-not-use-in-production"
PLAIN = "next-auth.session-token"


def sealed(claims: Mapping[str, Any], *, enc: str = "A256GCM", salt: str = "", **more: str) -> str:
    """Seal a token as the libraries do."""
    label = f"Auth.js Generated Encryption Key ({salt})" if salt else None
    info = (label or "NextAuth.js Generated Encryption Key").encode()
    size = 32 if enc == "A256GCM" else 64
    key = HKDF(SHA256(), size, salt.encode(), info).derive(SECRET.encode())
    header = {"alg": "dir", "enc": enc, **more}
    return jwe.encrypt_compact(
        header, json.dumps(claims), OctKey.import_key(key), algorithms=["dir", enc, "DEF"]
    )


def reason(value: str, now: datetime = NOW) -> str:
    with pytest.raises(NoSession) as refused:
        claims_of(Token(PLAIN, value), [SECRET], now)
    return refused.value.reason


def at(seconds: float) -> int:
    return int((NOW + timedelta(seconds=seconds)).timestamp())


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_the_libraries_own_verdicts(vector: dict[str, Any]) -> None:
    now = datetime.fromtimestamp(vector["now"], UTC) if "now" in vector else NOW
    token = find_token(vector["cookies"].items(), None)
    if token is None:
        assert vector["expect"] == {"ok": False, "reason": "missing"}
        return
    if vector["expect"]["ok"]:
        assert claims_of(token, vector["secrets"], now) == vector["expect"]["claims"]
        return
    with pytest.raises(NoSession) as refused:
        claims_of(token, vector["secrets"], now)
    assert refused.value.reason == vector["expect"]["reason"]


@pytest.mark.parametrize(
    "vector", [v for v in VECTORS if v["token"] and v["expect"]["ok"]], ids=lambda v: v["id"]
)
def test_a_bearer_is_as_good_as_a_cookie(vector: dict[str, Any]) -> None:
    token = find_token([], f"Bearer {vector['token']}")
    assert token is not None
    assert claims_of(token, vector["secrets"], NOW) == vector["expect"]["claims"]


def test_the_clock_may_be_fifteen_seconds_off() -> None:
    assert claims_of(Token(PLAIN, sealed({"exp": at(-14)})), [SECRET], NOW)
    assert reason(sealed({"exp": at(-15)})) == "expired"
    assert claims_of(Token(PLAIN, sealed({"exp": at(60), "nbf": at(15)})), [SECRET], NOW)
    assert reason(sealed({"exp": at(60), "nbf": at(16)})) == "not_yet"


@pytest.mark.parametrize("exp", [None, "4948962353", True, [1], math.nan, math.inf])
def test_a_session_without_an_end_is_none(exp: object) -> None:
    assert reason(sealed({"exp": exp})) == "malformed"


@pytest.mark.parametrize("salt", COOKIES)
def test_version_5_also_opens_the_old_cipher_without_a_kid(salt: str) -> None:
    token = sealed({"exp": at(60)}, salt=salt)
    assert claims_of(Token(salt, token), [SECRET], NOW)
    assert claims_of(Token("", token), [SECRET], NOW)


def test_the_oldest_secret_opens_what_it_has_sealed() -> None:
    assert claims_of(Token(PLAIN, sealed({"exp": at(60)})), ["new", "newer", SECRET], NOW)
    with pytest.raises(NoSession):
        claims_of(Token(PLAIN, sealed({"exp": at(60)})), [], NOW)


def _with_header(**header: object) -> str:
    token = sealed({"exp": at(60)})
    return urlsafe_b64encode(json.dumps(header).encode()).decode() + token[token.index(".") :]


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("", "malformed"),
        ("a.b.c", "malformed"),
        ("....", "malformed"),
        ("é....", "malformed"),
        ("A" * MAX_TOKEN_LENGTH + "....", "malformed"),
        (urlsafe_b64encode(b"[" * 40_000).decode() + "....", "malformed"),
        (urlsafe_b64encode(b"[" * 380).decode() + "....", "malformed"),
        (_with_header(alg="none", enc="A256GCM"), "algorithm"),
        (_with_header(alg="RSA-OAEP", enc="A256GCM"), "algorithm"),
        (_with_header(alg="dir", enc="A128GCM"), "algorithm"),
        (_with_header(alg="dir", enc=["A256GCM"]), "algorithm"),
        (_with_header(alg="dir", enc="A256GCM", zip="DEF"), "malformed"),
        (_with_header(alg="dir", enc="A256GCM", crit=["exp"]), "malformed"),
        (_with_header(alg="dir", enc="A256GCM", kid="another"), "decrypt"),
    ],
)
def test_what_no_library_writes_is_no_session(token: str, why: str) -> None:
    assert reason(token) == why


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_nothing_that_is_sent_breaks_it(value: str) -> None:
    with pytest.raises(NoSession):
        claims_of(Token(PLAIN, value), [SECRET], NOW)


def test_all_four_names_are_known_and_no_other() -> None:
    for name in COOKIES:
        assert find_token([(name, "t")], None) == Token(name, "t")
    for name in ("session-token", "next-auth.session-tokens", "next-auth.session-token.x"):
        assert find_token([(name, "t")], None) is None


def test_of_two_cookies_with_one_name_the_first_counts() -> None:
    assert find_token([(PLAIN, "first"), (PLAIN, "second")], None) == Token(PLAIN, "first")


@given(st.permutations([(f"{PLAIN}.{n}", f"<{n}>") for n in range(12)]))
def test_chunks_are_put_in_the_order_of_their_numbers(cookies: list[tuple[str, str]]) -> None:
    token = find_token(cookies, None)
    assert token == Token(PLAIN, "".join(f"<{n}>" for n in range(12)))


@pytest.mark.parametrize(
    "names", [("1",), ("0", "2"), ("0", "01"), ("0", "9" * 5000), ("0", "1", "3")]
)
def test_chunks_with_a_gap_are_no_token(names: tuple[str, ...]) -> None:
    assert find_token([(f"{PLAIN}.{name}", "t") for name in names], None) is None


def test_a_cookie_that_is_no_chunk_is_another_programs() -> None:
    cookies = [(f"{PLAIN}.{tail}", tail) for tail in ("csrf", "0", "1", "", "²")]
    assert find_token(cookies, None) == Token(PLAIN, "01")


def test_a_bearer_may_be_written_as_in_an_address() -> None:
    """Both libraries decode it."""
    assert find_token([], "Bearer a%2Eb%2Ec") == Token("", "a.b.c")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_bearers_scheme_has_no_case(scheme: str) -> None:
    assert find_token([], f"{scheme} t") == Token("", "t")
    assert find_token([], "Basic t") is None


def test_one_person_however_the_address_is_written() -> None:
    assert email_of({"email": " Ada@Example.COM "}) == "ada@example.com"


@pytest.mark.parametrize(
    "email", [None, "", "no-at-sign", 5, "a" * 250 + "@b.example", "a\0@b.example"]
)
def test_a_session_without_an_address_charges_nobody(email: object) -> None:
    with pytest.raises(NoEmail):
        email_of({"email": email})


def test_a_session_that_was_opened_before_still_ends() -> None:
    """Opened ones are kept, so what may change is looked at each time."""
    token = seal("anna@example.com", SECRET, NOW)
    assert claims_of(token, [SECRET], NOW) == claims_of(token, [SECRET], NOW + timedelta(days=29))
    with pytest.raises(NoSession, match="Unauthorized") as ended:
        claims_of(token, [SECRET], NOW + timedelta(days=31))
    assert ended.value.reason == "expired"
    with pytest.raises(NoSession) as rotated:
        claims_of(token, ["newer"], NOW)
    assert rotated.value.reason == "decrypt"
    altered = Token(token.cookie, f"{token.value[:-2]}{'AA' if token.value[-2:] != 'AA' else 'BB'}")
    with pytest.raises(NoSession):
        claims_of(altered, [SECRET], NOW)


def test_a_session_of_our_own_is_read_like_the_librarys() -> None:
    token = seal("anna@example.com", SECRET, NOW)
    assert token.cookie == PLAIN
    assert find_token([(PLAIN, token.value)], None) == token
    assert find_token([], f"Bearer {token.value}") == Token("", token.value)
    claims = claims_of(token, ["newer", SECRET], NOW + timedelta(days=30))
    assert email_of(claims) == "anna@example.com"
    assert claims.keys() >= {"name", "sub", "jti", "iat"}
    assert reason(token.value, NOW + timedelta(days=30, seconds=15)) == "expired"
    assert seal("anna@example.com", SECRET, NOW) != token
    key = HKDF(SHA256(), 32, b"", b"NextAuth.js Generated Encryption Key").derive(SECRET.encode())
    opened = jwe.decrypt_compact(token.value, OctKey.import_key(key), algorithms=["dir", "A256GCM"])
    assert opened.headers() == {"alg": "dir", "enc": "A256GCM"}
