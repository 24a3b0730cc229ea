"""Strangers are limited, YooKassa never; asking YooKassa keeps to a pace; figures are told."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from integration.payments_fixtures import (
    Buyer,
    Witness,
    browsing,
    buyer,
    client_of,
    kassa,
    now,
    provider,
    queued,
    sample,
    serving,
    settings,
    shared_kassa,
    shop_settings,
)
from integration.yookassa_fixtures import Simulator, free_port
from zapisano.app import create_webhook
from zapisano.db import Database
from zapisano.errors import BrokenSetting, Conflict
from zapisano.ops.payments import webhook
from zapisano.payments import (
    Outcome,
    ProviderRefused,
    ProviderUnavailable,
    YooKassa,
    counting_errors,
    settle,
)
from zapisano.payments.partner import EVENTS
from zapisano.payments.yookassa import read_payment
from zapisano.settings import Settings, load

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]
PATH = "/webhook/yookassa"
NEWS = {"type": "notification", "event": "payment.succeeded", "object": {"id": "p-1"}}
ELSEWHERE = (ip_network("185.71.76.0/27"),)
TOKEN = "an-oauth-token-of-a-partner"


@asynccontextmanager
async def listening(
    settings: Settings, kassa: Simulator, database: Database, **changes: object
) -> AsyncGenerator[httpx.AsyncClient]:
    here = shop_settings(settings, kassa, **changes)
    async with serving(create_webhook(here, database)) as url, browsing(url) as client:
        yield client


@pytest.mark.parametrize("check", ["strict", "log"])
async def test_a_stranger_who_speaks_too_often_is_told_when_to_come_back(
    settings: Settings, kassa: Simulator, database: Database, witness: Witness, check: str
) -> None:
    changes: dict[str, object] = {
        "yookassa_networks": ELSEWHERE,
        "yookassa_sender_check": check,
        "yookassa_webhook_limit": "2/hour",
        "trusted_proxies": (ip_network("127.0.0.1"),),
    }
    async with listening(settings, kassa, database, **changes) as client:
        one, other = ({"X-Forwarded-For": f"203.0.113.{n}"} for n in (7, 8))
        answers = [await client.post(PATH, json=NEWS, headers=one) for _ in range(3)]
        heard = 403 if check == "strict" else 200
        assert [answer.status_code for answer in answers] == [heard, heard, 429]
        assert 3500 < int(answers[2].headers["retry-after"]) <= 3600
        assert answers[2].json()["code"] == "too_many"
        # Another address has a count of its own, also one that a mapped IPv6 address hides.
        mapped = {"X-Forwarded-For": "::ffff:203.0.113.7"}
        assert (await client.post(PATH, json=NEWS, headers=other)).status_code == heard
        assert (await client.post(PATH, json=NEWS, headers=mapped)).status_code == 429
        text = (await client.get("/metrics")).text
    assert 'zapisano_notifications_total{outcome="limited"}' in text
    kept = await witness.fetchval("SELECT coalesce(sum(deliveries), 0) FROM shared.notifications")
    assert kept == (0 if check == "strict" else 3)


async def test_yookassas_own_addresses_are_never_limited_and_redis_is_not_asked(
    settings: Settings, kassa: Simulator, database: Database
) -> None:
    changes: dict[str, object] = {
        "yookassa_networks": (ip_network("185.71.76.0/27"),),
        "yookassa_webhook_limit": "1/hour",
        "trusted_proxies": (ip_network("127.0.0.1"),),
        "redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}"),
    }
    async with listening(settings, kassa, database, **changes) as client:
        for address in ("185.71.76.1", "::ffff:185.71.76.1") * 3:
            headers = {"X-Forwarded-For": address, "X-Yookassa-Signature": "v1 anything"}
            assert (await client.post(PATH, json=NEWS, headers=headers)).status_code == 200


async def test_without_redis_strangers_are_counted_here(
    settings: Settings, kassa: Simulator, database: Database
) -> None:
    changes: dict[str, object] = {
        "yookassa_networks": ELSEWHERE,
        "yookassa_webhook_limit": "1/hour",
        "redis_url": SecretStr(f"redis://127.0.0.1:{free_port()}"),
    }
    async with listening(settings, kassa, database, **changes) as client:
        answers = [(await client.post(PATH, json=NEWS)).status_code for _ in range(2)]
    assert answers == [403, 429]


async def test_one_delivery_is_one_trip_to_the_database(
    buyer: Buyer, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row, job and the journal's line: without a transaction there is nothing to be half done."""
    trips: list[str] = []

    def counted(name: str) -> Any:
        true = getattr(asyncpg.Connection, name)

        async def ask(self: Witness, query: str, *args: Any, **names: Any) -> Any:
            trips.append(query)
            return await true(self, query, *args, **names)

        return ask

    async with (
        serving(create_webhook(buyer.settings, buyer.database)) as url,
        browsing(url) as client,
    ):
        await client.post(PATH, json=NEWS)  # opens the connection
        with monkeypatch.context() as patch:
            for name in ("fetchrow", "fetch", "fetchval", "execute"):
                patch.setattr(asyncpg.Connection, name, counted(name))
            await client.post(PATH, json=NEWS | {"object": {"id": "p-2"}})
    assert len(trips) == 1
    assert len(await queued(witness, "payments.settle")) == 2
    told = "SELECT count(*) FROM shared.journal WHERE kind = 'notification.received'"
    assert await witness.fetchval(told) == 2


async def test_a_pause_that_yookassa_asks_for_is_kept_by_all(buyer: Buyer) -> None:
    """One 429, and nobody asks before its time is over; then all are answered."""
    _, payment_id = await buyer.pays()
    buyer.kassa.fault("429", path="/payments/", retry_after=1200)
    refused_after = time.monotonic()
    with pytest.raises(ProviderUnavailable):
        await buyer.provider.get_payment(payment_id)
    asked_before = asked(buyer.kassa)
    found = await asyncio.gather(*(buyer.provider.get_payment(payment_id) for _ in range(5)))
    assert time.monotonic() - refused_after >= 1.2
    assert [one.status for one in found] == ["succeeded"] * 5
    assert asked(buyer.kassa) - asked_before == 5


async def test_a_long_pause_is_a_jobs_to_wait_for_and_nobody_is_asked(buyer: Buyer) -> None:
    _, payment_id = await buyer.pays()
    buyer.kassa.fault("429", path="/payments/", retry_after=60_000)
    before = asked(buyer.kassa)
    for _ in range(3):
        with pytest.raises(ProviderUnavailable) as failure:
            await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
        assert 5 < (failure.value.retry_after_seconds or 0) <= 60
    assert asked(buyer.kassa) == before + 1


async def test_the_shops_own_pace_is_kept_by_concurrent_callers(buyer: Buyer) -> None:
    _, payment_id = await buyer.pays()
    slow = shop_settings(buyer.settings, buyer.kassa, yookassa_pace="2/second")
    async with client_of(slow) as client:
        started = time.monotonic()
        await asyncio.gather(*(client.get_payment(payment_id) for _ in range(5)))
        assert time.monotonic() - started >= 1.5


def asked(kassa: Simulator) -> int:
    return len(kassa.log()["calls"])


async def test_a_refusal_is_logged_by_its_code_and_not_by_its_free_text(
    buyer: Buyer, capsys: pytest.CaptureFixture[str]
) -> None:
    """YooKassa's description may repeat what was sent: an e-mail, a telephone."""
    wrong = json.dumps({"amount": {"value": "-1", "currency": "RUB"}}).encode()
    answer = buyer.kassa.post("/payments", json.loads(wrong), "log-1").json()
    assert answer["description"]
    with pytest.raises(ProviderRefused):
        await buyer.provider.create_payment(wrong, "log-2")
    logged = capsys.readouterr().out
    assert "yookassa_refused" in logged
    assert "invalid_request" in logged
    assert answer["description"] not in logged


async def test_what_yookassa_may_add_one_day_breaks_nothing(buyer: Buyer) -> None:
    """Fields, states, methods and reasons that nobody knows yet."""
    _, payment_id = await buyer.pays()
    body: dict[str, Any] = buyer.kassa.get(f"/payments/{payment_id}").json()
    strange = body | {
        "status": "on_the_moon",
        "new": {"deep": [1, None]},
        "payment_method": {"type": "telepathy", "id": "m-1", "saved": "yes", "card": 7},
        "cancellation_details": {"party": "weather", "reason": "rain"},
        "amount": {"value": 299, "currency": None, "scale": 2},
        "metadata": ["not", "an", "object"],
    }
    payment = read_payment(strange)
    assert not payment.succeeded
    assert not payment.canceled
    assert (payment.amount, payment.metadata, payment.cancel_reason) == (None, {}, "rain")
    assert payment.method is not None
    assert (payment.method.saved, payment.method.last4) == (False, None)


async def test_rule_10_trouble_is_told_by_every_app(buyer: Buyer, witness: Witness) -> None:
    """Forged, mismatched, dead, lost notifications, errors by code: read where Prometheus reads."""
    counting = YooKassa(buyer.settings, counting_errors(buyer.database, now))
    order, payment_id = await buyer.pays()
    await witness.execute("UPDATE shared.orders SET amount = 298 WHERE id = $1", order.id)
    for one in ("never-heard-of", payment_id):
        await settle(buyer.database, counting, buyer.settings, one, now())
    _, paid = await buyer.pays()
    _, polled = await buyer.pays()
    assert await settle(buyer.database, counting, buyer.settings, paid, now()) is Outcome.PAID
    await settle(buyer.database, counting, buyer.settings, polled, now(), via="poller")
    for kind in ("429", "500"):
        buyer.kassa.fault(kind, path="/payments/", retry_after=1)
        with pytest.raises(ProviderUnavailable):
            await counting.get_payment(paid)
    await counting.close()
    gone = shop_settings(
        buyer.settings, buyer.kassa, yookassa_api_url=f"http://127.0.0.1:{free_port()}/v3"
    )
    nobody = YooKassa(gone, counting_errors(buyer.database, now))
    with pytest.raises(ProviderUnavailable):
        await nobody.get_payment(paid)
    await nobody.close()
    async with (
        serving(create_webhook(buyer.settings, buyer.database)) as url,
        browsing(url) as client,
    ):
        before = (await client.get("/metrics")).text
        await client.post(PATH, json=NEWS)
        await witness.execute("DELETE FROM shared.pgqueuer WHERE entrypoint = 'payments.settle'")
        text = (await client.get("/metrics")).text
    accepted = 'zapisano_notifications_total{outcome="accepted"}'
    assert (sample(text, accepted) or 0) - (sample(before, accepted) or 0) == 1
    assert sample(text, 'zapisano_forged_payments{reason="unknown payment"}') == 1
    assert sample(text, 'zapisano_forged_payments{reason="other order"}') == 0
    assert sample(text, 'zapisano_mismatched_payments{reason="amount"}') == 1
    assert sample(text, "zapisano_settled_by_poller_share") == 0.5
    assert sample(text, "zapisano_dead_notifications") == 1
    for code in ("too_many_requests", "internal_server_error", "no_answer"):
        assert sample(text, f'zapisano_yookassa_errors{{code="{code}"}}') == 1, code


async def test_an_ordinary_shop_is_told_what_to_enter(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    here = settings.model_copy(update={"public_url": "https://booking.example.com"})
    await webhook.register(here, replace=False)
    told = capsys.readouterr()
    assert "https://booking.example.com/webhook/yookassa" in told.out
    assert all(event in told.out for event in EVENTS)
    assert told.err.startswith("YooKassa lets no program do this")


async def test_in_the_demo_the_address_is_the_webhooks_own(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = {"public_url": "http://127.0.0.1:8000", "webhook_port": 8901}
    await webhook.register(settings.model_copy(update=demo), replace=False)
    assert "URL      http://127.0.0.1:8901/webhook/yookassa\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "url", ["", "http://booking.example.com", "https://booking.example.com:8001"]
)
async def test_an_address_that_yookassa_cannot_reach_is_named(settings: Settings, url: str) -> None:
    far = {"public_url": url, "webhook_url": "", "yookassa_api_url": "https://api.example.com/v3"}
    with pytest.raises(BrokenSetting, match=r"^ZAPISANO_PUBLIC_URL: .* 443 or 8443"):
        webhook.address(settings.model_copy(update=far))


async def test_with_a_partners_token_each_event_is_registered_once(
    settings: Settings, kassa: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    def registered() -> dict[str, str]:
        answer = httpx.get(f"{kassa.api}/webhooks", headers={"Authorization": f"Bearer {TOKEN}"})
        items = answer.json()["items"]
        assert len(items) == len({one["event"] for one in items})
        return {one["event"]: one["url"] for one in items}

    here = settings.model_copy(
        update={"yookassa_oauth_token": SecretStr(TOKEN), "public_url": "https://a.example.com"}
    )
    for _ in range(2):
        await webhook.register(here, replace=False)
    assert registered() == dict.fromkeys(EVENTS, "https://a.example.com/webhook/yookassa")
    assert capsys.readouterr().out.count("was registered") == len(EVENTS)
    moved = here.model_copy(update={"public_url": "https://b.example.com"})
    with pytest.raises(Conflict, match="goes to https://a"):
        await webhook.register(moved, replace=False)
    await webhook.register(moved, replace=True)
    assert registered() == dict.fromkeys(EVENTS, "https://b.example.com/webhook/yookassa")
    short = moved.model_copy(update={"yookassa_oauth_token": SecretStr("short")})
    with pytest.raises(ProviderRefused, match=r"^YOOKASSA_OAUTH_TOKEN: "):
        await webhook.register(short, replace=False)


def test_the_limits_in_settings_are_read_and_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, field in (
        ("YOOKASSA_WEBHOOK_LIMIT", "yookassa_webhook_limit"),
        ("YOOKASSA_PACE", "yookassa_pace"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, "often")
            with pytest.raises(BrokenSetting, match=name):
                load()
            patch.setenv(name, "7/hour")
            assert getattr(load(), field) == "7/hour"
