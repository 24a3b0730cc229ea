"""The booking guide's own blocks, typed into a shell beside a running demo."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from people import until
from product import free_ports
from workshop import SHIMS, Workshop, block, copy_doors, open_workshop

pytestmark = pytest.mark.xdist_group("guide")
RUNNING = r"INFO:     Started server process.*INFO:     Uvicorn running on http://0\.0\.0\.0:{port}"
TEST_COMPANY = "SELECT id, state FROM shared.tenants WHERE name = 'Test Company'"


@pytest.fixture(scope="module")
def shop() -> Iterator[Workshop]:
    with open_workshop() as opened:
        yield opened


@pytest.fixture
def booked(shop: Workshop) -> Iterator[None]:
    """The servers of the demo as an operator's `.env` names them."""
    words = "\n".join(f"{name}={value}" for name, value in shop.servers().items())
    (shop.root / ".env").write_text(words)
    yield
    (shop.root / ".env").unlink()


# --- 1, 2 and 5.1: PostgreSQL ---


def test_1_3_the_connection_works(shop: Workshop) -> None:
    typed = shop.type(block("1.3"))
    assert typed.code == 0, typed.err
    assert "Did not find any" in typed.out + typed.err  # `public` is empty, as our text says


def test_2_4_a_client_is_counted(shop: Workshop) -> None:
    typed = shop.type(block("2.4"))
    assert (typed.code, typed.err) == (0, "")
    assert {" client_001", " client_002"} <= {*typed.out.splitlines()}
    counts = [int(number) for number in re.findall(r"count *\n-+\n +(\d+)\n", typed.out)]
    there = shop.product.row(
        "SELECT (SELECT count(*) FROM client_001.bookings) AS bookings,"
        " (SELECT count(*) FROM client_001.services) AS services,"
        " (SELECT count(*) FROM client_001.users) AS users"
    )
    assert counts == [*there.values()]
    assert there["services"] == 1


def test_5_1_a_booking_typed_by_hand_is_a_booking(shop: Workshop) -> None:
    typed = shop.type(block("5.1"))
    assert (typed.code, typed.err) == (0, "")
    assert "INSERT 0 1" in typed.out
    assert re.search(r"123456789 \| 2026-02-20 \| 14:00:00 \| +1 ", typed.out)
    made = shop.product.row(
        "SELECT status, staff_id, duration_minutes, time_zone,"
        " lower(busy)::text AS starts FROM client_001.bookings WHERE user_id = 123456789"
    )
    assert made == {
        "status": "active",
        "staff_id": 1,
        "duration_minutes": 60,
        "time_zone": "Europe/Moscow",
        "starts": "2026-02-20 11:00:00",
    }
    assert shop.product.value("SELECT count(*) FROM client_002.bookings") == 0


# --- 3 and 5.2: Redis ---

BEFORE = """
import asyncio
import os

from aiogram import Bot, Dispatcher
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.memory import MemoryStorage
from aiogram.types import Message, Update
from redis.asyncio import Redis

from config import REDIS_ENABLED, REDIS_HOST, REDIS_PASSWORD, REDIS_PORT
"""
AFTER = """

class Form(StatesGroup):
    service = State()


@dp.message()
async def begin(message: Message, state: FSMContext) -> None:
    await state.set_state(Form.service)


async def main() -> None:
    text = {"message_id": 1, "date": 1, "text": "hi", "chat": {"id": 7, "type": "private"}}
    text["from"] = {"id": 7, "is_bot": False, "first_name": "A"}
    await dp.feed_raw_update(Bot("1234567:" + "A" * 35), {"update_id": 1, "message": text})
    await dp.storage.close()


print(type(dp.storage).__name__)
asyncio.run(main())
"""


def test_3_2_and_5_2_each_client_has_its_keys(shop: Workshop) -> None:
    for client in ("client_001", "client_002"):
        typed = shop.python(BEFORE + block("3.2") + AFTER, **shop.redis_keys(), CLIENT_ID=client)
        assert (typed.code, typed.out) == (0, "PrefixedRedisStorage\n"), typed.err
    typed = shop.type(block("5.2"))
    assert (typed.code, typed.err) == (0, "")
    keys = typed.out.split()
    assert "client_001:fsm:7:7:state" in keys
    assert "client_002:fsm:7:7:state" in keys
    assert "error" not in typed.out.lower()


def test_3_2_without_redis_conversations_are_kept_in_memory(shop: Workshop) -> None:
    typed = shop.python(BEFORE + block("3.2") + AFTER, REDIS_ENABLED="false")
    assert (typed.code, typed.out) == (0, "MemoryStorage\n"), typed.err


@pytest.mark.parametrize(
    "given", [{}, {"CLIENT_ID": "client_001", "REDIS_KEY_PREFIX": "client_001:"}]
)
def test_3_4_config_knows_the_new_names(shop: Workshop, given: dict[str, str]) -> None:
    printing = "\nprint(repr((CLIENT_ID, REDIS_KEY_PREFIX)))"
    theirs = shop.python("import os\n" + block("3.4") + printing, **given)
    ours = shop.python("from config import CLIENT_ID, REDIS_KEY_PREFIX" + printing, **given)
    assert (theirs.code, ours.code) == (0, 0), ours.err
    assert ours.out == theirs.out


# --- 4: the webhook ---


def test_4_2_4_3_4_4_the_webhook_starts(shop: Workshop, tmp_path: Path) -> None:
    copy_doors(tmp_path)
    assert shop.type(block("4.2"), tmp_path, venv=True).code == 0
    assert shop.type(block("4.3"), tmp_path).code == 0
    printing = (
        "from config import YOOKASSA_SHOP_ID, WEBHOOK_URL, MASTER_BOT_API_URL\n"
        "print(YOOKASSA_SHOP_ID, WEBHOOK_URL, MASTER_BOT_API_URL)"
    )
    typed = shop.type(f"python3 - << 'EOF'\n{printing}\nEOF", tmp_path, venv=True)
    assert typed.out == "your_shop_id https://yourdomain.com http://localhost:8000\n", typed.err
    (port,) = free_ports(1)
    started = shop.typing(
        block("4.4"),
        tmp_path / "sales_bot",
        RUNNING.format(port=port),
        **shop.servers(),
        ZAPISANO_WEBHOOK_PORT=str(port),
    )
    with started:
        health = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
        assert (health.status_code, health.json()["database"]["status"]) == (200, "ok")


def test_4_4_a_taken_port_is_named_in_one_line(shop: Workshop, booked: None) -> None:
    typed = shop.type(block("4.4"), shop.root / "sales_bot")
    assert typed.code == 2
    assert re.fullmatch(r"ZAPISANO_WEBHOOK_PORT: .+\n", typed.err), typed.err


def test_4_5_a_tunnel_leads_to_the_webhook(shop: Workshop, tmp_path: Path) -> None:
    with shop.typing(block("4.5"), tmp_path, r"Forwarding (http://\S+) ->") as said:
        inside = block("YooKassa: Webhook not working").partition("# Проверить ngrok\n")[2]
        address = "https://YOUR_NGROK_URL/health"
        line = inside.splitlines()[0]
        assert line == f"curl {address}"
        typed = shop.type(f"curl -s {said[1]}/health")
        assert json.loads(typed.out)["status"] == "ok"


def test_4_6_a_shop_may_not_register_a_webhook(shop: Workshop) -> None:
    typed = shop.type(block("4.6"))
    assert typed.code == 0
    answer = json.loads(typed.out)
    assert (answer["type"], answer["code"]) == ("error", "forbidden")


def test_4_6_a_partner_registers_a_webhook(shop: Workshop) -> None:
    text = block("4.6")
    login = "-u YOUR_SHOP_ID:YOUR_SECRET_KEY"
    assert login in text
    typed = shop.type(text.replace(login, "-H 'Authorization: Bearer a-token-of-a-partner'"))
    answer = json.loads(typed.out)
    assert answer["id"].startswith("wh_")
    assert answer["event"] == "payment.succeeded"
    assert answer["url"].endswith("/webhook/yookassa")


def test_4_7_the_unit_runs_the_webhook(shop: Workshop, booked: None) -> None:
    (port,) = free_ports(1)
    text = (
        block("4.7")
        .replace("/home/booking/new12_02", str(shop.root))
        .replace("/home/booking/venv", str(shop.root / ".venv"))
    )
    units = shop.root / "machine" / "etc" / "systemd" / "system"
    typed = shop.type(f"export ZAPISANO_WEBHOOK_PORT={port}\n{text}")
    try:
        assert typed.code == 0, typed.err
        assert "Active: active (running)" in typed.out
        journal = units / "sales_webhook.journal"
        awaited = RUNNING.format(port=port)
        until(lambda: re.search(awaited, journal.read_text(), re.DOTALL), journal.read_text)
    finally:
        os.kill(int((units / "sales_webhook.pid").read_text()), signal.SIGTERM)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="left out: no systemd here")
def test_4_7_systemd_understands_the_unit(shop: Workshop, tmp_path: Path) -> None:
    text = block("4.7").partition("<< 'EOF'\n")[2].partition("EOF\n")[0]
    unit = tmp_path / "sales_webhook.service"
    unit.write_text(text.replace("/home/booking/venv/bin", str(shop.root / ".venv" / "bin")))
    judged = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert "sales_webhook.service:" not in judged.stderr


# --- 5.3: a payment ---


def test_5_3_the_test_payment_becomes_a_tenant_once(shop: Workshop) -> None:
    text = block("5.3")
    curl, logs = text.split("# Проверить логи\n")
    answered = shop.type(curl.replace("curl ", "curl -s -w '%{http_code}' ", 1))
    assert answered.out.endswith("200"), answered
    product = shop.product
    until(lambda: [row["state"] for row in product.rows(TEST_COMPANY)] == ["awaiting_bot"])
    again = shop.type(text)
    assert again.code == 0, again.err
    received = r"notification_received .*object_id=test_payment_123"
    assert re.search(received, again.out), again.out
    until(
        lambda: (
            product.value("SELECT count(*) FROM shared.notifications WHERE handled_at IS NULL") == 0
        )
    )
    assert len(product.rows(TEST_COMPANY)) == 1
    assert re.search(received, shop.type(logs).out)


# --- Troubleshooting ---


def test_trouble_postgres_is_looked_at_and_restarted(shop: Workshop) -> None:
    before = shop.product.processes()["postgres"]
    typed = shop.type(block("PostgreSQL: Connection refused"))
    assert typed.code == 0, typed.err
    assert re.search(r"\bpostgres\b.*ready to accept connections", typed.out, re.DOTALL)
    assert shop.product.processes()["postgres"] != before
    assert shop.product.value("SELECT count(*) FROM client_001.services") == 1
    health = until(lambda: _well(shop), "a healthy webhook after PostgreSQL's restart")
    assert health["database"]["status"] == "ok"


def _well(shop: Workshop) -> dict[str, dict[str, str]] | None:
    answer = shop.product.http.get(f"{shop.product.webhook_url}/health")
    return answer.json() if answer.status_code == 200 else None


def test_trouble_keys_of_a_client(shop: Workshop) -> None:
    client = shop.root / "clients" / "client_001"
    client.mkdir(parents=True)
    (client / ".env").write_text("BOT_TOKEN=x\nCLIENT_ID=client_001\nREDIS_DB=0\n")
    assert shop.type("docker-compose exec redis-shared redis-cli SET client_001:x 1").out == "OK\n"
    typed = shop.type(block("Redis: Keys not isolated"))
    assert (typed.code, typed.err) == (0, "")
    first, *keys = typed.out.split()
    assert first == "CLIENT_ID=client_001"
    assert "client_001:x" in keys


def test_trouble_the_webhook_answers_for_itself(shop: Workshop) -> None:
    text = block("YooKassa: Webhook not working")
    text = text.replace("https://YOUR_NGROK_URL", shop.product.webhook_url)
    typed = shop.type(text)
    assert typed.code == 0, typed.err
    bodies = re.findall(r'\{"status":.*?"last_notification_at":[^}]*\}', typed.out)
    assert [json.loads(body)["status"] for body in bodies] == ["ok", "ok"]


def test_commands_beside_the_demo_need_no_settings(shop: Workshop) -> None:
    typed = shop.type("zapisano doctor && zapisano tenants list")
    assert typed.code == 0, typed.out + typed.err
    assert "client_001\tawaiting_bot\tСалон Ромашка" in typed.out


def test_the_shims_are_what_the_guide_types() -> None:
    """Every program that the blocks call is ours or the system's, and no shim is left over."""
    guide = "\n".join(block(f"{number}") for number in ("4.5", "4.7", "4.6", "5.1", "5.3"))
    guide += block("PostgreSQL: Connection refused")
    for shim in SHIMS.iterdir():
        assert shim.name == "tunnel" or re.search(rf"\b{shim.name}\b", guide), shim
