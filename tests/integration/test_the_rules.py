"""The ten rules of receiving money: those that no other test shows whole, and that all are shown.

A rule's tests are named after it, here and beside what they are about.
"""

import json
import random
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from integration.payments_fixtures import (
    DECLINED_CARD,
    Buyer,
    Witness,
    browsing,
    buyer,
    client_of,
    granted,
    kassa,
    now,
    provider,
    reasons,
    serving,
    settings,
    shared_kassa,
    shop_settings,
)
from integration.test_receiving import sample
from zapisano.app import create_webhook
from zapisano.payments import OrderId, Outcome, ProviderUnavailable, Status, poll, receive, settle
from zapisano.payments.model import MISMATCH
from zapisano.tenancy import TenantId, provision

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]
SEED = 20261123
TESTS = Path(__file__).resolve().parents[1]


def test_each_of_the_ten_rules_has_a_test_of_its_name() -> None:
    text = "".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    named = {int(number) for number in re.findall(r"def test_rule_(\d+)_", text)}
    assert named == set(range(1, 11))


@asynccontextmanager
async def a_yookassa_that_says(buyer: Buyer, **bent: Any) -> AsyncGenerator[Buyer]:
    """The same YooKassa behind one that answers a GET with some facts changed."""
    app = FastAPI()

    @app.api_route("/v3/{path:path}", methods=["GET", "POST"])
    async def bend(path: str, request: Request) -> Response:
        async with httpx.AsyncClient(base_url=buyer.kassa.api) as client:
            names = ("authorization", "idempotence-key", "content-type")
            kept = {name: request.headers[name] for name in names if name in request.headers}
            answer = await client.request(
                request.method, f"/{path}", content=await request.body(), headers=kept
            )
        body = answer.json() | (bent if request.method == "GET" else {})
        return Response(json.dumps(body), answer.status_code, media_type="application/json")

    async with serving(app) as url:
        there = shop_settings(buyer.settings, buyer.kassa, yookassa_api_url=f"{url}/v3")
        async with client_of(there) as client:
            yield replace(buyer, settings=there, provider=client)


async def settles(buyer: Buyer, payment_id: str) -> Outcome:
    return await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())


@pytest.mark.parametrize(
    ("bent", "reason"),
    [
        ({"paid": False}, "not paid"),
        ({"paid": "true"}, "not paid"),
        ({"recipient": {"account_id": "999999"}}, "other shop"),
        ({"recipient": None}, "other shop"),
        ({"test": False}, "test flag"),
        ({"test": None}, "test flag"),
        ({"amount": {"value": "299.00", "currency": "USD"}}, "currency"),
        ({"amount": {"value": "298.99", "currency": "RUB"}}, "amount"),
        ({"amount": {"value": 299, "currency": "RUB"}}, "amount"),
        ({"metadata": {"order_id": "b0c9a0b4-6a55-4c0e-9f2b-0d5f3f6f1c11"}}, "other order"),
        ({"metadata": {}}, "other order"),
    ],
    ids=str,
)
async def test_rule_4_each_fact_that_is_wrong_grants_nothing_and_is_told(
    buyer: Buyer, witness: Witness, bent: dict[str, Any], reason: str
) -> None:
    order, payment_id = await buyer.pays()
    async with a_yookassa_that_says(buyer, **bent) as lied_to:
        assert await settles(lied_to, payment_id) is Outcome.REVIEW
    assert await reasons(witness) == [reason]
    assert await granted(witness) == (0, 0, 0)
    assert (await buyer.order(order.id)).status is Status.REVIEW
    async with (
        serving(create_webhook(buyer.settings, buyer.database)) as url,
        browsing(url) as client,
    ):
        text = (await client.get("/metrics")).text
    kind = "mismatched" if reason in set(MISMATCH) else "forged"
    assert sample(text, f'zapisano_{kind}_payments{{reason="{reason}"}}') == 1
    assert sample(text, f'zapisano_open_reviews{{reason="{reason}"}}') == 1


async def test_rule_2_what_the_body_says_is_never_believed(buyer: Buyer, witness: Witness) -> None:
    """A body that claims everything, for a payment that is pending: only the GET counts."""
    order = await buyer.orders()
    payment_id = await buyer.starts(order)
    claims = {
        "event": "payment.succeeded",
        "object": {"id": payment_id, "status": "succeeded", "paid": True},
    }
    async with buyer.database.shared() as conn:
        await receive(conn, "payment.succeeded", payment_id, claims, "185.71.76.1")
    with pytest.raises(Exception, match="not final"):
        await settles(buyer, payment_id)
    buyer.kassa.fault("500", path="/payments/")
    with pytest.raises(ProviderUnavailable):
        await settles(buyer, payment_id)
    assert (await buyer.order(order.id)).status is Status.PENDING
    assert await granted(witness) == (0, 0, 0)
    handled = "SELECT count(*) FROM shared.notifications WHERE handled_at IS NOT NULL"
    assert await witness.fetchval(handled) == 0


async def test_rule_3_news_of_a_cancel_after_the_money_changes_nothing(
    buyer: Buyer, witness: Witness
) -> None:
    order, payment_id = await buyer.pays()
    assert await settles(buyer, payment_id) is Outcome.PAID
    bent = {"status": "canceled", "paid": False}
    async with a_yookassa_that_says(buyer, **bent) as lied_to:
        assert await settles(lied_to, payment_id) is Outcome.REVIEW
    assert await reasons(witness) == ["canceled after paid"]
    assert (await buyer.order(order.id)).status is Status.PAID
    assert await granted(witness) == (1, 1, 1)


async def test_rule_5_between_paid_and_provisioned_there_is_an_alarm(
    buyer: Buyer, witness: Witness
) -> None:
    order, payment_id = await buyer.pays()
    await settles(buyer, payment_id)
    await witness.execute("UPDATE shared.orders SET paid_at = paid_at - interval '1 hour'")
    tenant = (await buyer.order(order.id)).tenant_id
    name = "zapisano_oldest_paid_not_provisioned_seconds"
    async with (
        serving(create_webhook(buyer.settings, buyer.database)) as url,
        browsing(url) as client,
    ):
        waits = sample((await client.get("/metrics")).text, name)
        assert waits is not None
        assert waits >= 3600
        await provision(buyer.database, TenantId(str(tenant)))
        assert sample((await client.get("/metrics")).text, name) == 0


async def test_rule_7_polling_alone_finishes_every_order(buyer: Buyer, witness: Witness) -> None:
    """No notification ever arrives; orders are paid, declined, or their own answer was lost.

    The clock goes from one due poll to the next; who pays when is drawn.
    """
    draw = random.Random(SEED)  # noqa: S311 # who pays when, not a secret
    began = now()
    will: dict[str, str] = {}
    for number in range(8):
        order = await buyer.orders(company_name=f"Салон {number}", buyer_id=5000 + number)
        if number % 4 == 3:
            buyer.kassa.fault("500_after_create", path="/payments")
            with pytest.raises(ProviderUnavailable):
                await buyer.starts(order)
        else:
            await buyer.starts(order)
        will[order.id] = "declined" if number % 3 == 2 else "paid"
    waiting = dict.fromkeys(will, 0) | {order_id: draw.randint(0, 8) for order_id in will}
    polls = 0
    while (at := await next_poll(witness)) is not None:
        assert at < began + timedelta(hours=12), "somebody is asked after for too long"
        for order_id in await due_by(witness, at):
            if waiting[order_id] == 0:
                await pays_or_not(buyer, order_id, will[order_id])
            waiting[order_id] -= 1
            await poll(buyer.database, buyer.provider, buyer.settings, OrderId(order_id), at)
            polls += 1
    ended = {
        str(row[0]): (row[1], row[2])
        for row in await witness.fetch("SELECT id, status, settled_via FROM shared.orders")
    }
    assert ended == {
        order_id: ("paid" if fate == "paid" else "canceled", "poller")
        for order_id, fate in will.items()
    }
    bought = list(will.values()).count("paid")
    assert await granted(witness) == (bought, bought, bought)
    assert await witness.fetchval("SELECT count(*) FROM shared.notifications") == 0
    assert polls > len(will)


async def next_poll(witness: Witness) -> datetime | None:
    at: datetime | None = await witness.fetchval(
        "SELECT min(at) FROM shared.due WHERE kind = 'payments.poll'"
    )
    return at


async def due_by(witness: Witness, at: datetime) -> list[str]:
    rows = await witness.fetch(
        "SELECT subject FROM shared.due WHERE kind = 'payments.poll' AND at <= $1", at
    )
    return [row[0] for row in rows]


async def pays_or_not(buyer: Buyer, order_id: str, fate: str) -> None:
    """The payer acts at YooKassa; the payment may be there though we were never told its id."""
    (made,) = [
        one["id"] for one in buyer.kassa.payments() if one["metadata"].get("order_id") == order_id
    ]
    card = {"card": DECLINED_CARD} if fate == "declined" else {}
    buyer.kassa.control("pay", {"payment_id": made, **card})


async def test_rule_8_nothing_is_canceled_here_before_the_provider_has_canceled_it(
    buyer: Buyer, witness: Witness
) -> None:
    order = await buyer.orders()
    payment_id = await buyer.starts(order)
    for days in (1, 7, 40):
        await poll(
            buyer.database, buyer.provider, buyer.settings, order.id, now() + timedelta(days=days)
        )
        assert (await buyer.order(order.id)).status is Status.PENDING
    bent = {"status": "canceled", "cancellation_details": {"reason": "expired_on_confirmation"}}
    async with a_yookassa_that_says(buyer, **bent) as told:
        assert await settles(told, payment_id) is Outcome.CANCELED
    ended = await buyer.order(order.id)
    assert (ended.status, ended.cancel_reason) == (Status.CANCELED, "expired_on_confirmation")
    # The money comes after all: it is not kept silently, and nothing is granted behind our back.
    buyer.kassa.control("pay", {"payment_id": payment_id})
    assert await settles(buyer, payment_id) is Outcome.REVIEW
    assert await reasons(witness) == ["succeeded after canceled"]
    assert await granted(witness) == (0, 0, 0)
