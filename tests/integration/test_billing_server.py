"""What takes a server key, and what else there is: holds, refunds, batches, history, prices."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from credits_api import ANNA, MIGRATION, SECRET, Api, exact, opened

from own_settings import settings_for
from zapisano.app import create_api
from zapisano.credits.keys import NoKey, Scope
from zapisano.db import Database
from zapisano.settings import Settings

Witness = asyncpg.Connection
BORIS = "boris@example.com"
HOLD = {"email": ANNA, "amount": 20, "operation": "Расшифровка"}


async def held(api: Api, key: dict[str, str], **change: Any) -> str:
    made = await api.post("/api/billing/holds", key, {**HOLD, **change})
    assert made.status_code == 200, made.text
    hold: str = made.json()["hold"]
    return hold


async def test_a_key_charges_on_a_users_behalf(api: Api) -> None:
    key = await api.key(Scope.CHARGE, Scope.READ)
    body = {"email": "Anna@Example.com", "amount": 5, "operation": "x"}
    charged = (await api.post("/api/billing/deduct", key, body)).json()
    assert (charged["balanceAfter"], charged["id"] > 0) == (45, True)
    assert (await api.get("/api/billing/balance", key, email=ANNA)).json()["balance"] == 45
    nobody = await api.post("/api/billing/deduct", key, {"amount": 5, "operation": "x"})
    assert (nobody.status_code, "email" in nobody.json()["error"]) == (422, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/billing/holds", HOLD),
        ("/api/billing/refunds", {"email": ANNA, "id": 1, "reason": "x"}),
        ("/api/billing/batch", {"items": [{"email": ANNA, "amount": 1, "operation": "x"}]}),
        ("/api/billing/deduct", {"email": ANNA, "amount": 1, "operation": "x"}),
        ("/api/billing/topup", {"email": ANNA, "amount": 100}),
    ],
)
async def test_scopes(api: Api, path: str, body: dict[str, Any]) -> None:
    refused = await api.post(path, await api.key(Scope.READ), body)
    assert (refused.status_code, refused.json()["success"]) == (403, False)
    if "deduct" not in path and "topup" not in path:
        session = await api.post(path, api.cookie(), body)
        assert session.status_code == 403
        assert "server key" in session.json()["error"]


async def test_a_batch_is_read_only_for_who_may_charge(api: Api, witness: Witness) -> None:
    """Whoever may not is refused before any account is opened for it."""
    items = [{"email": "new@example.com", "amount": 1, "operation": "x"}] * 2
    for scope in (Scope.BATCH, Scope.CHARGE):
        answer = await api.post("/api/billing/batch", await api.key(scope), {"items": items})
        assert answer.status_code == 403
    made = "SELECT count(*) FROM user_balances WHERE email = 'new@example.com'"
    assert await witness.fetchval(made) == 0


async def test_a_key_without_its_word_is_told_how_to_send_it(api: Api) -> None:
    key = (await api.key())["Authorization"].removeprefix("Bearer ")
    for headers in ({"Authorization": key}, {"Authorization": key, **api.cookie()}):
        for refused in (
            await api.get("/api/billing/balance", headers, email=ANNA),
            await api.post("/api/billing/deduct", headers, {"amount": 1, "operation": "x"}),
        ):
            assert refused.status_code == 401
            assert refused.json()["error"] == NoKey.text


async def test_a_keys_own_limits(api: Api) -> None:
    key = await api.key(most=Decimal("2.00"), per_minute=3)
    body = {"email": ANNA, "amount": 2.01, "operation": "x"}
    assert (await api.post("/api/billing/deduct", key, body)).status_code == 403
    statuses = [
        (await api.post("/api/billing/deduct", key, {**body, "amount": 2})).status_code
        for _ in range(3)
    ]
    assert statuses == [200, 200, 429]


async def test_a_limited_key_refunds_within_its_limit_too(api: Api) -> None:
    free, limited = await api.key(), await api.key(most=Decimal("10.00"))
    body = {"email": ANNA, "amount": 40, "operation": "x"}
    number = (await api.post("/api/billing/deduct", free, body)).json()["id"]
    refund = {"email": ANNA, "id": number, "reason": "y"}
    unsaid = await api.post("/api/billing/refunds", limited, refund)
    assert unsaid.json()["error"].startswith("amount: say how much")
    for change, status in (({}, 422), ({"amount": 10.01}, 403), ({"amount": 10}, 200)):
        answer = await api.post("/api/billing/refunds", limited, {**refund, **change})
        assert answer.status_code == status
    assert await api.balance() == 20


async def test_a_user_cannot_take_a_back_ends_key(api: Api) -> None:
    body = {"amount": 1, "operation": "x"}
    assert (await api.post("/api/billing/deduct", api.cookie(), body, key="k")).status_code == 200
    other = {"email": ANNA, "amount": 5, "operation": "y"}
    charged = await api.post("/api/billing/deduct", await api.key(), other, key="k")
    assert charged.json()["balanceAfter"] == 44
    again = await api.post("/api/billing/deduct", api.cookie(), body, key="k")
    assert again.json()["balanceAfter"] == 49


async def test_a_hold_is_settled_for_less(api: Api) -> None:
    key = await api.key()
    made = (await api.post("/api/billing/holds", key, HOLD)).json()
    assert (made["balanceBefore"], made["balanceAfter"], made["held"]) == (50, 30, 20)
    assert await api.balance() == 30
    charge = {"email": ANNA, "amount": 36, "operation": "x"}
    refused = await api.post("/api/billing/deduct", key, charge)
    assert (refused.status_code, refused.json()["balance"]) == (402, 30)
    settled = await api.post(f"/api/billing/holds/{made['hold']}/settle", key, {"amount": 5.5})
    assert {
        name: exact(settled)[name] for name in ("deducted", "balanceBefore", "balanceAfter")
    } == {
        "deducted": Decimal("5.5"),
        "balanceBefore": 50,
        "balanceAfter": Decimal("44.5"),
    }
    assert settled.json()["operation"] == "Расшифровка"
    again = await api.post(f"/api/billing/holds/{made['hold']}/settle", key, {"amount": 5.5})
    assert (again.status_code, again.headers["x-error-code"]) == (409, "hold_closed")


async def test_a_hold_is_released_renewed_or_ends(api: Api) -> None:
    key = await api.key()
    released = await held(api, key)
    answer = (await api.post(f"/api/billing/holds/{released}/release", key, {})).json()
    assert (answer["released"], answer["balanceAfter"]) == (20, 50)
    renewed, ended = await held(api, key, seconds=60), await held(api, key, seconds=60)
    await api.post(f"/api/billing/holds/{renewed}/renew", key, {"seconds": 3600})
    api.now += timedelta(minutes=2)
    assert await api.balance() == 30
    states = [
        (await api.get(f"/api/billing/holds/{hold}", key)).json()["state"]
        for hold in (released, renewed, ended)
    ]
    assert states == ["released", "open", "expired"]
    late = await api.post(f"/api/billing/holds/{ended}/settle", key, {"amount": 1})
    assert (late.status_code, "expired" in late.json()["error"]) == (409, True)
    unknown = await api.post(
        "/api/billing/holds/2f1d8c0e-6a55-4c0e-9f2b-0d5f3f6f1c11/release", key, {}
    )
    assert unknown.status_code == 404


async def test_a_settlement_above_the_hold(api: Api) -> None:
    key = await api.key()
    hold = await held(api, key)
    path = f"/api/billing/holds/{hold}/settle"
    refused = await api.post(path, key, {"amount": 60})
    assert (refused.status_code, refused.json()["balance"]) == (402, 50)
    settled = (await api.post(path, key, {"amount": 60, "partial": True})).json()
    assert (settled["deducted"], settled["balanceAfter"], settled["shortfall"]) == (55, -5, 5)


async def test_the_same_key_moves_once(api: Api) -> None:
    key = await api.key()
    hold = await asyncio.gather(
        *(api.post("/api/billing/holds", key, HOLD, key="hold-1") for _ in range(5))
    )
    assert len({one.json()["hold"] for one in hold}) == 1
    path = f"/api/billing/holds/{hold[0].json()['hold']}"
    released = f"/api/billing/holds/{await held(api, key)}/release"
    for way, body in ((f"{path}/settle", {"amount": 5}), (released, {})):
        answers = [await api.post(way, key, body, key=way) for _ in range(3)]
        assert {one.text for one in answers} == {answers[0].text}
        assert answers[0].status_code == 200
    charge = {"email": ANNA, "amount": 5, "operation": "x"}
    charged = [await api.post("/api/billing/deduct", key, charge, key="c") for _ in range(3)]
    assert {one.text for one in charged} == {charged[0].text}
    refund = {"email": ANNA, "id": charged[0].json()["id"], "reason": "y"}
    refunded = [await api.post("/api/billing/refunds", key, refund, key="r") for _ in range(3)]
    assert {(one.status_code, one.text) for one in refunded} == {(200, refunded[0].text)}
    other = await api.post("/api/billing/deduct", key, {**charge, "amount": 6}, key="c")
    assert (other.status_code, other.headers["x-error-code"]) == (422, "key_reused")
    assert await api.balance() == 45


async def test_refunds_are_never_more_than_the_charge(api: Api) -> None:
    key = await api.key()
    charge = {"email": ANNA, "amount": 10, "operation": "x"}
    number = (await api.post("/api/billing/deduct", key, charge)).json()["id"]
    body = {"email": ANNA, "id": number, "reason": "ошибка"}
    part = (await api.post("/api/billing/refunds", key, {**body, "amount": 4})).json()
    assert (part["refunded"], part["balanceAfter"]) == (4, 44)
    rest = (await api.post("/api/billing/refunds", key, body)).json()
    assert (rest["refunded"], rest["balanceAfter"]) == (6, 50)
    for more in (body, {**body, "amount": 1}, {**body, "id": 10**9}, {**body, "email": BORIS}):
        assert (await api.post("/api/billing/refunds", key, more)).status_code == 409


async def test_many_at_once_have_an_answer_each(api: Api) -> None:
    key = await api.key()
    items: list[Any] = [
        {"email": ANNA, "amount": 30, "operation": "a"},
        {"email": ANNA, "amount": 30, "operation": "b"},
        {"email": BORIS, "amount": "x", "operation": "c"},
        {"email": BORIS, "amount": 1, "operation": "d"},
        7,
    ]
    sent = [await api.post("/api/billing/batch", key, {"items": items}, key="n1") for _ in range(2)]
    results = sent[0].json()["results"]
    assert [one["success"] for one in results] == [True, False, False, True, False]
    assert (results[1]["error"], results[1]["balance"]) == ("Insufficient balance", 20)
    assert "amount" in results[2]["error"]
    assert sent[1].json()["results"] == results
    assert (await api.balance(), await api.balance(BORIS)) == (20, 49)
    too_many = await api.post("/api/billing/batch", key, {"items": [items[3]] * 1001})
    assert too_many.status_code == 422


async def test_a_batchs_key_is_of_its_items_in_their_order(api: Api) -> None:
    key = await api.key()
    items = [{"email": one, "amount": 1, "operation": "x"} for one in (ANNA, BORIS)]
    path = "/api/billing/batch"
    first = await api.post(path, key, {"items": items}, key="n1")
    assert first.status_code == 200
    others = (items[::-1], items[:1], [*items, items[0]], [{**items[0], "amount": 2}, items[1]])
    for other in others:
        refused = await api.post(path, key, {"items": other}, key="n1")
        assert (refused.status_code, refused.headers["X-Error-Code"]) == (422, "key_reused")
    huge = json.dumps({"items": [*items, 0]}).replace(" 0]", ' {"amount": 1e9999999999999999999}]')
    strange = await api.client.post(
        path,
        headers={**key, "Content-Type": "application/json", "Idempotency-Key": "n2"},
        content=huge,
    )
    assert strange.status_code == 200
    assert [one["success"] for one in strange.json()["results"]] == [True, True, False]
    spelled = [dict(reversed(one.items())) for one in items]
    again = await api.post(path, key, {"items": spelled}, key="n1")
    assert again.json() == first.json()
    assert (await api.balance(), await api.balance(BORIS)) == (48, 48)


async def test_a_batch_is_done_in_its_order_also_for_somebody_new(api: Api) -> None:
    key = await api.key()
    for n in range(5):
        email = f"new{n}@example.com"
        items = [{"email": email, "amount": amount, "operation": "x"} for amount in (55, 1, 2)]
        results = (await api.post("/api/billing/batch", key, {"items": items})).json()["results"]
        assert [one["success"] for one in results] == [True, False, False]
        keyed = [
            {"email": f"k{email}", "amount": amount, "operation": "x", "key": "q"}
            for amount in (1, 1, 2)
        ]
        results = (await api.post("/api/billing/batch", key, {"items": keyed})).json()["results"]
        assert [one["success"] for one in results] == [True, True, False]
        assert results[0] == results[1]


async def test_a_repetition_may_be_spelled_differently(api: Api) -> None:
    key = await api.key()
    bodies = [
        {"email": "anna@example.com", "amount": 1, "operation": "x", "metadata": {"a": 1, "b": 2}},
        {
            "email": "Anna@Example.com",
            "amount": 1.0,
            "operation": "x",
            "metadata": {"b": 2, "a": 1},
        },
    ]
    answers = [await api.post("/api/billing/deduct", key, body, key="k") for body in bodies]
    assert [one.status_code for one in answers] == [200, 200]
    assert answers[0].text == answers[1].text


async def test_a_hold_whose_time_is_over_says_so(api: Api) -> None:
    key = await api.key()
    hold = await held(api, key, seconds=60)
    api.now += timedelta(minutes=2)
    assert (await api.get(f"/api/billing/holds/{hold}", key)).json()["state"] == "expired"


async def test_a_thousand_at_once(api: Api, witness: Witness) -> None:
    key = await api.key()
    items = [
        {"email": f"user{n % 50}@example.com", "amount": 1, "operation": f"Операция {n}" * 5}
        for n in range(1000)
    ]
    answer = (await api.post("/api/billing/batch", key, {"items": items})).json()
    assert all(one["success"] for one in answer["results"])
    assert await witness.fetchval("SELECT sum(total_spent) FROM user_balances") == 1000


async def test_a_repetition_may_name_its_tokens_in_another_order(api: Api) -> None:
    body = {"operation": "x", "model": "anthropic/claude-opus-4.6"}
    answers = [
        await api.post("/api/billing/deduct", api.cookie(), {**body, "tokens": tokens}, key="t")
        for tokens in ({"input": 1000, "output": 500}, {"output": 500, "input": 1000})
    ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()


async def test_tokens_have_their_price(api: Api, witness: Witness) -> None:
    shown = (await api.client.get("/api/billing/prices")).json()
    assert (shown["unit"], shown["success"]) == ("credits per million tokens", True)
    body = {
        "model": "anthropic/claude-opus-4.6",
        "tokens": {"input": 1000, "output": 500},
        "operation": "Анализ ЭКГ",
    }
    charged = exact(await api.post("/api/billing/deduct", api.cookie(), body))
    assert charged["deducted"] == Decimal("5.5")
    unknown = await api.post("/api/billing/deduct", api.cookie(), {**body, "model": "gpt-0"})
    assert (unknown.status_code, "model" in unknown.json()["error"]) == (422, True)
    for path, more in (("deduct", {}), ("holds", {"email": ANNA})):
        both = {**body, **more, "model": "gpt-0", "tokens": {"input": 1}}
        first = await api.post(f"/api/billing/{path}", await api.key(), {"email": ANNA, **both})
        assert first.json()["error"].startswith("model: has no price here")
    wrong = {**body, "tokens": {"input": -1, "output": 5}}
    assert (await api.post("/api/billing/deduct", api.cookie(), wrong)).status_code == 422
    worst = {**body, "email": ANNA, "tokens": {"input": 1000, "output": 500}}
    made = (await api.post("/api/billing/holds", await api.key(), worst)).json()
    assert made["held"] == 5.5
    # A cache may have forgotten what it held when the call is made.
    cached = {**worst, "tokens": {"input": 0, "output": 0, "cached_input": 1000}}
    dear = (await api.post("/api/billing/holds", await api.key(), cached)).json()
    assert dear["held"] == 1.75
    await api.post(f"/api/billing/holds/{dear['hold']}/release", await api.key(), {})
    assert await witness.fetchval("SELECT held FROM user_balances WHERE email = $1", ANNA) == (
        Decimal("5.50")
    )


async def test_history(api: Api) -> None:
    for n in range(5):
        await api.post(
            "/api/billing/deduct", api.cookie(), {"amount": 1, "operation": f"Операция {n}"}
        )
    first = (await api.get("/api/billing/transactions", api.cookie(), limit=4)).json()
    rest = await api.get(
        "/api/billing/transactions", api.cookie(), limit=4, cursor=first["nextCursor"]
    )
    names = [one["operation"] for one in first["transactions"] + rest.json()["transactions"]]
    assert names == [f"Операция {n}" for n in (4, 3, 2, 1, 0)] + ["Opening credits"]
    assert rest.json()["nextCursor"] is None
    only = (await api.get("/api/billing/transactions", api.cookie(), kind="opening")).json()
    assert [one["amount"] for one in only["transactions"]] == [50]
    file = await api.get("/api/billing/transactions", api.cookie(), format="csv")
    assert file.headers["content-type"].startswith("text/csv")
    assert file.text.count("\r\n") == 7
    other = (await api.get("/api/billing/transactions", api.cookie(BORIS))).json()
    assert [one["kind"] for one in other["transactions"]] == ["opening"]
    for query in (
        {"cursor": "x"},
        {"kind": "y"},
        {"since": "yesterday"},
        {"since": "2026"},
        {"since": "9999-12-31T23:59:59-10:00"},
        {"until": "0001-01-01T00:00:00+10:00"},
        {"page": 2},
    ):
        refused = await api.get("/api/billing/transactions", api.cookie(), **query)
        assert (refused.status_code, refused.json()["success"]) == (422, False)


async def test_the_apps_own_role_can_do_all_of_it(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    """The whole service logs in as a role that owns nothing."""
    own = settings_for(
        settings.database_url.get_secret_value(),
        tmp_path,
        NEXTAUTH_SECRET=SECRET,
        MIGRATION_SECRET=MIGRATION,
    )
    async with opened(own, create=create_api, database=database) as api:
        assert (await api.migrate()).status_code == 200
        assert database.isolated
        key = await api.key()
        hold = await held(api, key)
        await api.post(f"/api/billing/holds/{hold}/settle", key, {"amount": 1})
        assert await api.balance() == 49
        assert (await api.get("/api/billing/transactions", api.cookie())).status_code == 200
        master = await api.client.get("/api/billing/nothing")
        assert master.json()["success"] is False


async def test_sweeping_where_no_worker_runs(dsn: str, tmp_path: Path, witness: Witness) -> None:
    secret = "a-secret-for-cron-jobs-0123456789abcdef"
    settings = settings_for(
        dsn, tmp_path, NEXTAUTH_SECRET=SECRET, MIGRATION_SECRET=MIGRATION, CRON_SECRET=secret
    )
    async with opened(settings) as api:
        await api.migrate()
        await held(api, await api.key(), seconds=60)
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": secret}):
            assert (await api.get("/api/admin/sweep", headers)).status_code == 401
        api.now += timedelta(minutes=2)
        good = {"Authorization": f"Bearer {secret}"}
        ended = [(await api.get("/api/admin/sweep", good)).json()["ended"] for _ in range(2)]
        assert ended == [1, 0]
        assert await witness.fetchval("SELECT held FROM user_balances WHERE email = $1", ANNA) == 0
