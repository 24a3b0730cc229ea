"""The source document's contract, to the letter: migrate, balance, deduct."""

import asyncio
import json
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from credits_api import ANNA, COOKIE, MIGRATION, SECRET, TESTER, Api, exact, opened, session

from own_settings import settings_for

Witness = asyncpg.Connection
DEDUCT = {
    "amount": 5.5,
    "operation": "Тест анализа ЭКГ",
    "metadata": {
        "model": "anthropic/claude-opus-4.6",
        "tokens": {"input": 1000, "output": 500},
    },
}


async def test_before_after_and_again(bare: Api) -> None:
    before = await bare.client.get("/api/admin/migrate")
    assert before.json() == {
        "status": "pending",
        "existing_tables": [],
        "missing_tables": ["user_balances", "credit_transactions"],
        "message": "Missing tables: user_balances, credit_transactions",
    }
    for _ in range(2):
        done = (await bare.migrate()).json()
        assert isinstance(done.pop("execution_time_ms"), int)
        assert done == {
            "success": True,
            "message": "Migration completed successfully",
            "tables": ["credit_transactions", "user_balances"],
            "stats": {"user_balances": 2, "credit_transactions": 0},
            "test_users": ["support@doctor-opus.ru", "test@doctor-opus.ru"],
        }
    after = (await bare.client.get("/api/admin/migrate")).json()
    assert after == {
        "status": "migrated",
        "existing_tables": ["credit_transactions", "user_balances"],
        "missing_tables": [],
        "message": "All tables exist",
    }


async def test_a_half_is_partial(bare: Api, witness: Witness) -> None:
    await witness.execute("CREATE TABLE credit_transactions (id serial)")
    shown = (await bare.client.get("/api/admin/migrate")).json()
    assert (shown["status"], shown["existing_tables"], shown["missing_tables"]) == (
        "partial",
        ["credit_transactions"],
        ["user_balances"],
    )


async def test_a_table_that_no_row_could_be_added_to_is_not_taken_over(
    bare: Api, witness: Witness
) -> None:
    await witness.execute(
        """CREATE TABLE credit_transactions (id int PRIMARY KEY, email varchar(255), amount
               numeric(10,2), operation text, metadata jsonb, balance_after numeric(10,2),
               created_at timestamptz)"""
    )
    failed = await bare.migrate()
    assert (failed.status_code, failed.json()["error"]) == (500, "Migration failed")
    assert "credit_transactions" in failed.json()["details"]
    assert not await witness.fetchval("SELECT to_regclass('public.user_balances')")


async def test_at_once(bare: Api, witness: Witness) -> None:
    done = await asyncio.gather(*(bare.migrate() for _ in range(5)))
    assert [one.status_code for one in done] == [200] * 5
    assert await witness.fetchval("SELECT count(*) FROM user_balances") == 2
    assert await witness.fetchval("SELECT count(*) FROM credits.postings") == 4


@pytest.mark.parametrize("secret", ["", "wrong", MIGRATION + "x", None, 7, "ж" * 40, "\ud800"])
async def test_a_wrong_secret(bare: Api, secret: object) -> None:
    refused = await bare.client.post(
        "/api/admin/migrate",
        content=json.dumps({"secret": secret}),
        headers={"Content-Type": "application/json"},
    )
    assert (refused.status_code, refused.json()) == (
        401,
        {"success": False, "error": "Unauthorized"},
    )


async def test_no_secret_lets_nobody_in(dsn: str, tmp_path: Path) -> None:
    async with opened(settings_for(dsn, tmp_path)) as api:
        for secret in ("", MIGRATION):
            assert (await api.migrate(secret)).status_code == 401


async def test_guessing_is_slowed_down(bare: Api) -> None:
    answers = [await bare.migrate("guess") for _ in range(11)]
    assert [one.status_code for one in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert answers[-1].json()["success"] is False


async def test_no_database(tmp_path: Path) -> None:
    dsn = "postgresql://somebody:a-password@127.0.0.1:9/nothing"
    async with opened(settings_for(dsn, tmp_path, MIGRATION_SECRET=MIGRATION)) as api:
        failed = await api.migrate()
        assert failed.status_code == 500
        assert failed.json()["error"] == "Migration failed"
        assert "not answering" in failed.json()["details"]
        assert "a-password" not in failed.text
        asked = await api.client.get("/api/admin/migrate")
        assert (asked.status_code, asked.json()["success"]) == (503, False)


async def test_the_documents_walk(api: Api, witness: Witness) -> None:
    tester = api.cookie(TESTER)
    shown = await api.get("/api/billing/balance", tester)
    assert shown.text == '{"success": true, "balance": 100.00, "totalSpent": 0}'
    charged = await api.post("/api/billing/deduct", tester, DEDUCT)
    assert exact(charged) == {
        "success": True,
        "deducted": Decimal("5.5"),
        "balanceBefore": 100,
        "balanceAfter": Decimal("94.5"),
        "operation": "Тест анализа ЭКГ",
    }
    row = await witness.fetchrow(
        "SELECT email, amount, operation, metadata::text, balance_after FROM credit_transactions"
    )
    assert row
    assert tuple(row) == (
        TESTER,
        Decimal("5.50"),
        "Тест анализа ЭКГ",
        '{"model": "anthropic/claude-opus-4.6", "tokens": {"input": 1000, "output": 500}}',
        Decimal("94.50"),
    )


async def test_a_first_visit_opens_the_account_once(api: Api, witness: Witness) -> None:
    answers = await asyncio.gather(
        *(
            api.get("/api/billing/balance", api.cookie(name))
            for name in (ANNA, "ANNA@Example.com") * 10
        )
    )
    assert {one.text for one in answers} == {'{"success": true, "balance": 50.00, "totalSpent": 0}'}
    row = await witness.fetchrow(
        "SELECT count(*), sum(balance), bool_or(is_test_account) FROM user_balances"
        " WHERE lower(email) = $1",
        ANNA,
    )
    assert row
    assert tuple(row) == (1, Decimal("50.00"), False)


async def test_a_charge_may_be_the_first_visit(api: Api) -> None:
    charged = await api.post("/api/billing/deduct", api.cookie(), DEDUCT)
    assert charged.json()["balanceBefore"] == 50


async def test_the_floor(api: Api) -> None:
    assert (
        await api.post("/api/billing/deduct", api.cookie(), {"amount": 55, "operation": "x"})
    ).json()["balanceAfter"] == -5
    refused = await api.post(
        "/api/billing/deduct", api.cookie(), {"amount": 0.01, "operation": "x"}
    )
    assert (refused.status_code, exact(refused)) == (
        402,
        {
            "success": False,
            "error": "Insufficient balance",
            "balance": -5,
            "required": Decimal("0.01"),
        },
    )


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        ("0", 422),
        ("-1", 422),
        ("NaN", 400),
        ("Infinity", 400),
        ("-Infinity", 400),
        ("1e400", 422),
        ("1e-400", 422),
        ("1e9999999999999999999", 422),
        ("-1e9999999999999999999", 422),
        ('"1_0"', 422),
        ('"٥"', 422),
        ('" 5 "', 422),
        ("5.555", 422),
        ("0.001", 422),
        ('"five"', 422),
        ('"NaN"', 422),
        ("100000000", 422),
        ("1000.01", 422),
        ("true", 422),
        ("null", 422),
        ("[5]", 422),
        ("1" + "0" * 5000, 422),
        ("9" * 30_000, 422),
    ],
)
async def test_bad_amounts(api: Api, witness: Witness, amount: str, status: int) -> None:
    refused = await api.client.post(
        "/api/billing/deduct",
        headers={**api.cookie(), "Content-Type": "application/json"},
        content=f'{{"amount": {amount}, "operation": "x"}}',
    )
    assert refused.status_code == status, refused.text
    body = refused.json()
    assert (body["success"], set(body)) == (False, {"success", "error"})
    assert ("amount" in body["error"]) == (status == 422)
    assert await witness.fetchval("SELECT count(*) FROM credit_transactions") == 0


@pytest.mark.parametrize("amount", ["5.5", '"5.5"', "5.50", "5.500", "55e-1", "0.55e1"])
async def test_good_amounts(api: Api, amount: str) -> None:
    charged = await api.client.post(
        "/api/billing/deduct",
        headers={**api.cookie(), "Content-Type": "application/json"},
        content=f'{{"amount": {amount}, "operation": "x"}}',
    )
    assert exact(charged)["deducted"] == Decimal("5.5")


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"operation": ""}, "operation"),
        ({"operation": "   "}, "operation"),
        ({"operation": "x" * 201}, "operation"),
        ({"operation": "a\u0000b"}, "operation"),
        ({"operation": 7}, "operation"),
        ({"operation": None}, "operation"),
        ({"metadata": {"a": "x" * (16 * 1024 - 7)}}, "metadata"),
        ({"metadata": {"\u0000": 1}}, "metadata"),
        ({"operation": "\u200b"}, "operation"),
        ({"metadata": nested(9)}, "metadata"),
        ({"metadata": {"a": "\u0000"}}, "metadata"),
        ({"metadata": "text"}, "metadata"),
        ({"metadata": {"a": 10**400}}, "metadata"),
        ({"operation": "a\nb"}, "operation"),
        ({"amuont": 5}, "amuont"),
        ({"model": "anthropic/claude-opus-4.6"}, "one of them, not both"),
        ({"tokens": {"input": 1, "output": 1}}, "one of them, not both"),
        ({"email": "boris@example.com"}, "email"),
    ],
)
async def test_bad_fields(api: Api, change: dict[str, Any], field: str) -> None:
    refused = await api.post("/api/billing/deduct", api.cookie(), {**DEDUCT, **change})
    assert (refused.status_code, refused.json()["success"]) == (422, False)
    assert field in refused.json()["error"]


@pytest.mark.parametrize(
    "metadata", [{"a": "x" * (16 * 1024 - 8)}, {"a": [1] * 8000}, {"text": "\\u0000"}]
)
async def test_the_largest_metadata_that_is_kept(api: Api, metadata: object) -> None:
    kept = await api.post("/api/billing/deduct", api.cookie(), {**DEDUCT, "metadata": metadata})
    assert kept.status_code == 200


async def test_the_deepest_metadata_that_is_kept(api: Api, witness: Witness) -> None:
    body = {**DEDUCT, "metadata": {"deep": nested(7), "exact": 0.1, "text": "é😀"}}
    assert (await api.post("/api/billing/deduct", api.cookie(), body)).status_code == 200
    kept = await witness.fetchval("SELECT metadata ->> 'exact' FROM credit_transactions")
    assert kept == "0.1"


async def test_numbers_in_metadata_that_nobody_could_keep(api: Api) -> None:
    for number in ("1." + "1" * 15_000 + "E-300", "1e9999999999999999999", "1e-9999"):
        refused = await api.client.post(
            "/api/billing/deduct",
            headers={**api.cookie(), "Content-Type": "application/json"},
            content=f'{{"amount": 1, "operation": "x", "metadata": {{"a": {number}}}}}',
        )
        assert (refused.status_code, "metadata" in refused.json()["error"]) == (422, True)


async def test_metadata_is_measured_as_it_will_be_told(api: Api) -> None:
    """PostgreSQL writes out the zeros of `1e300`; whoever reads the history gets them all."""
    headers = {**api.cookie(), "Content-Type": "application/json"}
    told: dict[int, int] = {}
    for count in (50, 60):
        body = f'{{"amount": 1, "operation": "x", "metadata": {{"a": [{"9e300," * count}1]}}}}'
        answer = await api.client.post("/api/billing/deduct", headers=headers, content=body)
        told[count] = answer.status_code
    assert told == {50: 200, 60: 422}
    kept = await api.get("/api/billing/transactions?format=csv", api.cookie())
    assert len(kept.content) < 16 * 1024


@pytest.mark.parametrize("operation", ["Анализ\u00a0ЭКГ", "👩\u200d⚕️", "a\u200bb"])
async def test_any_text_that_people_write(api: Api, operation: str) -> None:
    charged = await api.post(
        "/api/billing/deduct", api.cookie(), {"amount": 1, "operation": operation}
    )
    assert charged.json()["operation"] == operation


async def test_before_credits_are_installed(bare: Api) -> None:
    for answer in (
        await bare.get("/api/billing/balance", bare.cookie()),
        await bare.post("/api/billing/deduct", bare.cookie(), DEDUCT),
        await bare.get("/api/billing/transactions", bare.cookie()),
    ):
        assert (answer.status_code, answer.headers["x-error-code"]) == (503, "not_installed")
        assert "/api/admin/migrate" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 10_000, b"nothing"])
async def test_what_is_no_json(api: Api, body: bytes) -> None:
    refused = await api.client.post(
        "/api/billing/deduct",
        headers={**api.cookie(), "Content-Type": "application/json"},
        content=body,
    )
    assert (refused.status_code, refused.json()["success"]) == (400, False)


async def test_who_is_not_signed_in(api: Api) -> None:
    late = session({"email": ANNA, "exp": int(api.now.timestamp()) - 15})
    for headers in (
        {},
        {"Cookie": f"{COOKIE}=nothing"},
        {"Cookie": f"{COOKIE}={late}"},
        {"Cookie": f"{COOKIE}={session({'email': ANNA}, secret='another')}"},
        {"Cookie": f"other={session({'email': ANNA})}"},
        {"Authorization": "Bearer zk_nothing"},
        {"Authorization": "Basic YTpi"},
    ):
        for answer in (
            await api.get("/api/billing/balance", headers),
            await api.post("/api/billing/deduct", headers, DEDUCT),
            await api.get("/api/billing/transactions", headers),
        ):
            assert answer.status_code == 401, headers
            assert answer.json()["success"] is False


async def test_without_an_address_nobody_is_charged(api: Api) -> None:
    for claims in ({}, {"email": None}, {"email": ""}, {"email": "no address"}):
        headers = {"Cookie": f"{COOKIE}={session(claims)}"}
        answer = await api.post("/api/billing/deduct", headers, DEDUCT)
        assert (answer.status_code, answer.json()["success"]) == (403, False)


async def test_every_way_a_session_comes(api: Api) -> None:
    token = session({"email": ANNA})
    for headers in (
        {"Cookie": f"__Secure-next-auth.session-token={token}"},
        {"Cookie": f"a=b; {COOKIE}={token}; c=d"},
        {"Cookie": f"{COOKIE}.1={token[100:]}; {COOKIE}.0={token[:100]}"},
        {"Cookie": f"authjs.session-token={token}"},
        {"Cookie": f"__Secure-authjs.session-token={token}"},
        {"Authorization": f"Bearer {token}"},
    ):
        assert (await api.get("/api/billing/balance", headers)).status_code == 200, headers


async def test_sessions_that_the_web_app_keeps(dsn: str, tmp_path: Path, witness: Witness) -> None:
    query = (
        'SELECT u.email FROM sessions s JOIN users u ON u.id = s."userId"'
        ' WHERE s."sessionToken" = $1 AND s.expires >= now()'
    )
    await witness.execute(
        """CREATE TABLE users (id serial PRIMARY KEY, email varchar(255));
           CREATE TABLE sessions (id serial, "userId" int, expires timestamptz,
               "sessionToken" varchar(255));
           CREATE TABLE others (token uuid);
           INSERT INTO users (email) VALUES ('Anna@Example.com'), (NULL);
           INSERT INTO sessions ("userId", expires, "sessionToken") VALUES
               (1, now() + interval '1 day', 'good'), (1, now() - interval '1 s', 'late'),
               (2, now() + interval '1 day', 'nobody')"""
    )
    settings = settings_for(
        dsn, tmp_path, NEXTAUTH_SECRET=SECRET, MIGRATION_SECRET=MIGRATION, AUTH_SESSION_QUERY=query
    )
    async with opened(settings) as api:
        await api.migrate()
        statuses = [
            (await api.get("/api/billing/balance", {"Cookie": f"{COOKIE}={token}"})).status_code
            for token in ("good", "late", "nobody", "other")
        ]
        assert statuses == [200, 401, 403, 401]
        for bearer, status in (("good", 200), ("a%00b", 401), ("%", 401), ("%ff", 401)):
            headers = {"Authorization": f"Bearer {bearer}"}
            assert (await api.get("/api/billing/balance", headers)).status_code == status, bearer
        # A sealed session is still read as one.
        assert (await api.get("/api/billing/balance", api.cookie())).status_code == 200


async def test_pages_of_other_sites(api: Api) -> None:
    for origin, status in (
        ("http://credits", 200),
        ("https://credits", 200),
        ("https://evil.example", 403),
        ("null", 403),
        ("http://[", 403),
        ("https://credits.evil.example", 403),
    ):
        answer = await api.post("/api/billing/deduct", {**api.cookie(), "Origin": origin}, DEDUCT)
        assert answer.status_code == status, origin
    form = await api.client.post(
        "/api/billing/deduct", headers=api.cookie(), data={"amount": "5", "operation": "x"}
    )
    assert (form.status_code, form.json()["success"]) == (415, False)


async def test_every_error_has_the_documents_shape(api: Api) -> None:
    answers = [
        await api.client.get("/api/billing/nothing"),
        await api.client.put("/api/billing/deduct"),
        await api.client.post("/api/billing/deduct", content=b"x" * 70_000),
        await api.client.delete("/api/admin/migrate"),
        await api.get("/api/billing/transactions", api.cookie(), limit=1000),
    ]
    assert [one.status_code for one in answers] == [404, 405, 413, 405, 422]
    assert [one.json()["success"] for one in answers] == [False] * 5


async def test_a_stranger_is_told_that_first(api: Api) -> None:
    for path in ("transactions?limit=x", "holds/abc", f"balance?email={'x' * 256}"):
        assert (await api.get(f"/api/billing/{path}", {})).status_code == 401, path
    foreign = {**await api.key(), "Origin": "https://evil.example"}
    assert (await api.post("/api/billing/holds/abc/settle", foreign, {})).status_code == 403


async def test_a_body_may_begin_with_a_byte_order_mark(api: Api) -> None:
    """As PowerShell writes files."""
    answer = await api.client.post(
        "/api/billing/deduct",
        headers={**api.cookie(), "Content-Type": "application/json"},
        content=json.dumps(DEDUCT).encode("utf-8-sig"),
    )
    assert answer.status_code == 200


async def test_what_holds_for_all_routes_holds_for_the_short_way(api: Api) -> None:
    async def unannounced() -> AsyncGenerator[bytes]:
        for _ in range(70):
            yield b" " * 1024

    headers = {**api.cookie(), "Content-Type": "application/json"}
    large = await api.client.post("/api/billing/deduct", headers=headers, content=unannounced())
    assert (large.status_code, large.json()["error"]) == (413, "The body is too large.")
    named = await api.post(
        "/api/billing/deduct", {**api.cookie(), "X-Request-Id": "mine"}, DEDUCT, key="k" * 255
    )
    assert (named.status_code, named.headers["X-Request-Id"]) == (200, "mine")
    for key in ("k" * 256, "two words", ""):
        spaced = await api.client.post(
            "/api/billing/deduct", headers={**headers, "Idempotency-Key": key}, json=DEDUCT
        )
        assert spaced.status_code == 422
        assert spaced.json()["error"].startswith("Idempotency-Key: must be 1 to 255 letters")
    counted = 'zapisano_http_requests_total{method="POST",route="/api/billing/deduct",status="413"}'
    assert counted in (await api.client.get("/metrics")).text


async def test_a_database_that_takes_no_changes(api: Api, witness: Witness, dsn: str) -> None:
    """As a standby does, before it is promoted."""
    name = dsn.rpartition("/")[2]
    await api.get("/api/billing/balance", api.cookie())
    await witness.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await witness.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    refused = await api.post("/api/billing/deduct", api.cookie(), DEDUCT, key="k")
    assert (refused.status_code, refused.json()["success"]) == (503, False)


async def test_what_the_database_refuses_is_told_in_the_documents_shape(
    api: Api, witness: Witness
) -> None:
    """A bug, for which nobody has words: still JSON, and the log has its traceback."""
    await witness.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '23000'; END $$;
           CREATE TRIGGER refuse BEFORE INSERT ON credit_transactions FOR EACH ROW
           WHEN (NEW.email = 'boris@example.com') EXECUTE FUNCTION refuse()"""
    )
    refused = await api.post("/api/billing/deduct", api.cookie("boris@example.com"), DEDUCT)
    assert (refused.status_code, refused.json()["success"]) == (500, False)
    key = await api.key()
    items = [
        {"email": email, "amount": 1, "operation": "x"} for email in (ANNA, "boris@example.com")
    ]
    results = (await api.post("/api/billing/batch", key, {"items": items})).json()["results"]
    assert [one["success"] for one in results] == [True, False]
