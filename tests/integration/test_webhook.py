"""Port 8001: what is accepted, what is refused and how, health and metrics."""

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import date
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
    granted,
    kassa,
    now,
    provider,
    queued,
    reasons,
    serving,
    settings,
    shared_kassa,
    shop_settings,
    until,
    working,
)
from integration.yookassa_fixtures import Simulator
from zapisano.app import create_api, create_webhook
from zapisano.db import Database
from zapisano.payments import poll, settle
from zapisano.settings import Settings

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]
PATH = "/webhook/yookassa"
NEWS = {"type": "notification", "event": "payment.succeeded", "object": {"id": "p-1"}}
STRANGER = (ip_network("185.71.76.0/27"),)
# The curl of guide step 5.3, as printed.
GUIDE_HEADERS = {"Content-Type": "application/json", "X-Yookassa-Signature": "test"}
GUIDE_BODY = """{
    "event": "payment.succeeded",
    "object": {
      "id": "test_payment_123",
      "amount": {
        "value": "299.00"
      },
      "metadata": {
        "user_id": "123456789",
        "company_name": "Test Company",
        "plan": "1m",
        "days": "30"
      }
    }
  }"""


@pytest.fixture
async def webhook(settings: Settings, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(create_webhook(settings, database)) as url, browsing(url) as client:
        yield client


async def kept(witness: Witness) -> int:
    return int(await witness.fetchval("SELECT count(*) FROM shared.notifications"))


def is_problem(answer: httpx.Response, status: int, code: str) -> bool:
    """Problem JSON of this status and code, under the request's id."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code"}
    assert answer.headers["x-request-id"]
    return (answer.status_code, body["status"], body["code"]) == (status, status, code)


async def test_rule_1_the_row_and_its_job_are_committed_when_200_is_answered(
    webhook: httpx.AsyncClient, witness: Witness
) -> None:
    answer = await webhook.post(PATH, json=NEWS)
    assert answer.status_code == 200
    assert await kept(witness) == 1
    assert await queued(witness, "payments.settle") == [
        {"payment_id": "p-1", "via": "notification"}
    ]


async def test_rule_1_a_store_that_fails_is_503(settings: Settings) -> None:
    dead = "postgresql://nobody@127.0.0.1:1/nowhere"
    away = settings.model_copy(update={"database_url": SecretStr(dead)})
    database = Database(away, dsn=dead, isolated=False)
    async with serving(create_webhook(away, database)) as url, browsing(url) as client:
        answer = await client.post(PATH, json=NEWS)
        assert is_problem(answer, 503, "busy")
        assert int(answer.headers["retry-after"]) > 0
        health = await client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "down")
        assert "zapisano_database_up 0.0" in (await client.get("/metrics")).text


async def test_rule_1_a_database_under_maintenance_is_503_and_recovers(
    webhook: httpx.AsyncClient, witness: Witness, postgres: str
) -> None:
    assert (await webhook.post(PATH, json=NEWS)).status_code == 200
    name = await witness.fetchval("SELECT current_database()")
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await admin.execute(
        """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
           WHERE datname = $1 AND application_name = 'zapisano'""",
        name,
    )
    # The first may still find a connection that is being cut; each answer is the same.
    for _ in range(3):
        assert is_problem(await webhook.post(PATH, json=NEWS), 503, "busy")
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await admin.close()
    assert (await webhook.post(PATH, json=NEWS)).status_code == 200
    assert await witness.fetchval("SELECT deliveries FROM shared.notifications") == 2


async def test_rule_1_a_schema_that_is_not_there_is_503_without_details(
    webhook: httpx.AsyncClient, witness: Witness
) -> None:
    await witness.execute("ALTER TABLE shared.notifications RENAME TO lost")
    answer = await webhook.post(PATH, json=NEWS, headers={"X-Request-Id": "req-42"})
    assert is_problem(answer, 503, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert "notifications" not in answer.text
    assert answer.headers["x-request-id"] == "req-42"
    await witness.execute("ALTER TABLE shared.lost RENAME TO notifications")
    assert (await webhook.post(PATH, json=NEWS)).status_code == 200


BAD_BODIES: list[tuple[bytes, str]] = [
    (b"", "body: is not valid JSON"),
    (b"{", "body: is not valid JSON"),
    (b"\xff\xfe", "body: is not valid JSON"),
    (b'{"event": NaN}', "body: is not valid JSON"),
    (b'"\\ud800"', "body: is not valid JSON"),
    (b"[" * 30_000, "body: is not valid JSON"),
    (b"null", "body: must be a JSON object"),
    (b"[]", "body: must be a JSON object"),
    (b'{"a": ["\\u0000"]}', "body: must not contain the character U+0000"),
    (b'{"event": "payment.succeeded", "object": {"id": "p", "x": [1e999]}}', "body: A number is"),
    (b'{"x": ' + b"[" * 100 + b"]" * 100 + b"}", "body: The body is nested too deeply"),
    (b"{}", "event: must be"),
    (b'{"event": 1, "object": {"id": "p"}}', "event: must be"),
    (b'{"event": "payment succeeded", "object": {"id": "p"}}', "event: must be"),
    (b'{"event": "payment.succeeded"}', "object: must be"),
    (b'{"event": "payment.succeeded", "object": []}', "object: must be"),
    (b'{"event": "payment.succeeded", "object": {}}', "object.id: must be"),
    (b'{"event": "payment.succeeded", "object": {"id": 5}}', "object.id: must be"),
    (b'{"event": "payment.succeeded", "object": {"id": "../refunds"}}', "object.id: must be"),
    (b'{"event": "payment.succeeded", "object": {"id": "' + b"a" * 65 + b'"}}', "object.id: must"),
]


@pytest.mark.parametrize(("body", "reason"), BAD_BODIES, ids=range(len(BAD_BODIES)))
async def test_a_body_that_is_no_notification_is_400_with_the_reason(
    webhook: httpx.AsyncClient, witness: Witness, body: bytes, reason: str
) -> None:
    answer = await webhook.post(PATH, content=body)
    assert is_problem(answer, 400, "malformed_notification")
    assert answer.json()["detail"].startswith(reason)
    assert await kept(witness) == 0


def sized(size: int) -> bytes:
    """A valid notification of exactly this many bytes."""
    empty = json.dumps({**NEWS, "pad": ""}).encode()
    return empty.replace(b'"pad": ""', b'"pad": "' + b"x" * (size - len(empty)) + b'"')


async def chunks(body: bytes) -> AsyncIterator[bytes]:
    """Send without saying how long it is."""
    for start in range(0, len(body), 8192):
        yield body[start : start + 8192]


@pytest.mark.parametrize("announced", [True, False])
async def test_64_kib_are_read_and_not_a_byte_more(
    webhook: httpx.AsyncClient, witness: Witness, announced: bool
) -> None:
    for size, status in ((65_536, 200), (65_537, 413)):
        body = sized(size)
        answer = await webhook.post(PATH, content=body if announced else chunks(body))
        assert answer.status_code == status
    assert is_problem(answer, 413, "too_large")
    assert await kept(witness) == 1


async def test_other_methods_and_paths_are_problems_too(webhook: httpx.AsyncClient) -> None:
    assert is_problem(await webhook.get(PATH), 405, "http_405")
    assert is_problem(await webhook.post("/webhook"), 404, "http_404")


@pytest.mark.parametrize(
    ("changes", "headers", "status"),
    [
        ({"yookassa_networks": STRANGER}, {}, 403),
        ({"yookassa_networks": STRANGER}, {"X-Forwarded-For": "185.71.76.1"}, 403),
        (
            {"yookassa_networks": STRANGER, "trusted_proxies": (ip_network("127.0.0.1"),)},
            {"X-Forwarded-For": "203.0.113.9, 185.71.76.1"},
            200,
        ),
        (
            {"yookassa_networks": STRANGER, "trusted_proxies": (ip_network("127.0.0.1"),)},
            {"X-Forwarded-For": "185.71.76.1, 203.0.113.9"},
            403,
        ),
        ({"yookassa_networks": STRANGER, "yookassa_sender_check": "log"}, {}, 200),
    ],
)
async def test_only_yookassas_addresses_are_heard(
    settings: Settings,
    kassa: Simulator,
    database: Database,
    witness: Witness,
    changes: dict[str, object],
    headers: dict[str, str],
    status: int,
) -> None:
    here = shop_settings(settings, kassa, **changes)
    async with serving(create_webhook(here, database)) as url, browsing(url) as client:
        answer = await client.post(PATH, json=NEWS, headers=headers)
        text = (await client.get("/metrics")).text
    assert answer.status_code == status
    assert status == 200 or is_problem(answer, 403, "forbidden")
    assert await kept(witness) == (1 if status == 200 else 0)
    assert 'zapisano_notifications_total{outcome="foreign"}' in text or headers


async def test_unknown_events_are_kept_and_answered_200(
    webhook: httpx.AsyncClient, witness: Witness
) -> None:
    answer = await webhook.post(PATH, json={"event": "deal.closed", "object": {"id": "dl-1"}})
    assert answer.status_code == 200
    assert await witness.fetchval("SELECT outcome FROM shared.notifications") == "ignored"
    assert await queued(witness, "payments.settle") == []


async def test_the_curl_of_guide_step_5_3_makes_a_tenant(buyer: Buyer, witness: Witness) -> None:
    """As printed, header and missing currency and all, while the old bot's sales are honoured."""
    here = shop_settings(buyer.settings, buyer.kassa, legacy_sales_until=date(2099, 1, 1))
    async with (
        serving(create_webhook(here, buyer.database)) as url,
        browsing(url) as curl,
        working(buyer.database, buyer.provider, here),
    ):
        for _ in range(2):
            answer = await curl.post(PATH, content=GUIDE_BODY, headers=GUIDE_HEADERS)
            assert answer.status_code == 200
        await until(
            lambda: witness.fetchval(
                "SELECT 1 FROM shared.tenants WHERE state = 'awaiting_bot' AND name = $1",
                "Test Company",
            )
        )
    assert await granted(witness) == (1, 1, 1)


async def test_the_curl_of_guide_step_5_3_without_legacy_sales_goes_before_a_person(
    buyer: Buyer, witness: Witness
) -> None:
    async with (
        serving(create_webhook(buyer.settings, buyer.database)) as url,
        browsing(url) as curl,
        working(buyer.database, buyer.provider, buyer.settings),
    ):
        await curl.post(PATH, content=GUIDE_BODY, headers=GUIDE_HEADERS)
        await until(lambda: reasons(witness))
    assert await reasons(witness) == ["legacy sales are over"]
    assert await granted(witness) == (0, 0, 0)


async def test_health_tells_database_queue_and_last_notification(
    webhook: httpx.AsyncClient, witness: Witness
) -> None:
    body = (await webhook.get("/health")).json()
    assert (body["status"], body["database"]["status"]) == ("ok", "ok")
    assert body["last_notification_at"] is None
    await webhook.post(PATH, json=NEWS)
    body = (await webhook.get("/health")).json()
    assert body["queue"]["waiting"] == {"payments.settle": 1}
    assert body["last_notification_at"] is not None
    await witness.execute("UPDATE shared.pgqueuer SET execute_after = now() - interval '5 minutes'")
    answer = await webhook.get("/health")
    body = answer.json()
    assert (answer.status_code, body["status"], body["queue"]["status"]) == (
        200,
        "stalled",
        "stalled",
    )
    assert body["queue"]["oldest_waiting_seconds"] >= 300


def value(text: str, metric: str) -> float:
    """A sample of Prometheus' text; 0 where there is none."""
    lines = [line for line in text.splitlines() if line.startswith(metric + " ")]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


async def test_rule_10_the_webhook_counts_what_it_hears(webhook: httpx.AsyncClient) -> None:
    before = (await webhook.get("/metrics")).text
    for body in (NEWS, NEWS, {"event": "deal.closed", "object": {"id": "dl-1"}}, {}):
        await webhook.post(PATH, json=body)
    after = (await webhook.get("/metrics")).text

    def gained(metric: str) -> float:
        return value(after, metric) - value(before, metric)

    counted = {
        outcome: gained(f'zapisano_notifications_total{{outcome="{outcome}"}}')
        for outcome in ("received", "duplicate", "ignored", "malformed")
    }
    assert counted == {"received": 3, "duplicate": 1, "ignored": 1, "malformed": 1}
    assert gained("zapisano_notification_ack_seconds_count") == 3
    route = 'method="POST",route="/webhook/yookassa"'
    assert gained(f'zapisano_http_requests_total{{{route},status="200"}}') == 3
    assert gained(f'zapisano_http_requests_total{{{route},status="400"}}') == 1
    assert value(after, "zapisano_oldest_unhandled_notification_seconds") > 0
    assert value(after, 'zapisano_waiting_jobs{kind="payments.settle"}') == 2


async def test_rule_10_every_app_sees_what_the_worker_has_settled(buyer: Buyer) -> None:
    order, payment_id = await buyer.pays()
    await poll(buyer.database, buyer.provider, buyer.settings, order.id, now())
    args = buyer.database, buyer.provider, buyer.settings
    await settle(*args, str(uuid.uuid4()), now())
    assert payment_id
    for create in (create_api, create_webhook):
        async with serving(create(buyer.settings, buyer.database)) as url, browsing(url) as client:
            text = (await client.get("/metrics")).text
        assert value(text, 'zapisano_orders{status="paid"}') == 1
        assert value(text, 'zapisano_settled_orders{status="paid",via="poller"}') == 1
        assert value(text, 'zapisano_open_reviews{reason="unknown payment"}') == 1
        assert value(text, "zapisano_oldest_paid_not_provisioned_seconds") > 0
        assert value(text, "zapisano_database_up") == 1


async def test_a_validation_error_names_the_field(settings: Settings, database: Database) -> None:
    app = create_api(settings, database)

    @app.post("/probe")
    async def probe(wanted: dict[str, int], limit: int) -> dict[str, Any]:
        return {"wanted": wanted, "limit": limit}

    async with serving(app) as url, browsing(url) as client:
        wrong = await client.post("/probe?limit=x", json={"days": "many"})
        broken = await client.post("/probe?limit=1", content=b"{", headers=GUIDE_HEADERS)
    assert is_problem(wrong, 422, "wrong_input")
    assert {part.split(":")[0] for part in wrong.json()["detail"].split("; ")} == {"limit", "days"}
    assert is_problem(broken, 400, "malformed")
