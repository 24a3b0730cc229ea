"""`zapisano payments …`, as processes: what they print, how they end, what they leave behind."""

import asyncio
import json
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from test_cli import env, zapisano

from integration.payments_fixtures import (
    BUYER,
    Buyer,
    Witness,
    buyer,
    granted,
    kassa,
    now,
    provider,
    queued,
    reasons,
    settings,
    shared_kassa,
    until,
    working,
)
from integration.yookassa_fixtures import SECRET_KEY, SHOP_ID
from zapisano.db import Database
from zapisano.jobs import Handlers, Runner
from zapisano.ops.payments import orders
from zapisano.payments import Settle, receive, settle
from zapisano.settings import Settings
from zapisano.tenancy import Tenant

__all__ = ["buyer", "env", "kassa", "provider", "settings", "shared_kassa"]
Env = dict[str, str]


@pytest.fixture
def desk(env: Env, settings: Settings, tmp_path: Path) -> Any:
    """Type `zapisano payments …` as the operator of this shop."""
    env |= {
        "YOOKASSA_SHOP_ID": SHOP_ID,
        "YOOKASSA_SECRET_KEY": SECRET_KEY,
        "YOOKASSA_API_URL": settings.yookassa_api_url,
    }
    return partial(zapisano, env, tmp_path, "payments")


async def deliver(database: Database, object_id: str, event: str = "payment.succeeded") -> None:
    async with database.shared() as conn:
        said = {"event": event, "object": {"id": object_id}}
        await receive(conn, event, object_id, said, "185.71.76.1")


def table(printed: str) -> list[dict[str, str]]:
    """The rows of a table as it is printed for programs."""
    head, *rows = (line.split("\t") for line in printed.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


async def hold(witness: Witness, object_id: str) -> None:
    """Let the job of a notification fail for the last time, as the runner writes it."""
    job = await witness.fetchval(
        """UPDATE shared.pgqueuer SET status = 'failed', attempts = 300
           WHERE convert_from(payload, 'UTF8')::jsonb ->> 'payment_id' = $1 RETURNING id""",
        object_id,
    )
    error = {"exception_type": "RetryRequested", "exception_message": "It is not final yet."}
    await witness.execute(
        """INSERT INTO shared.pgqueuer_log (job_id, status, priority, entrypoint, traceback)
           VALUES ($1, 'failed', 0, 'payments.settle', $2::jsonb)""",
        job,
        json.dumps(error),
    )


async def test_rule_9_the_inbox_shows_what_is_dead_and_replays_it(
    desk: Any, buyer: Buyer, witness: Witness
) -> None:
    empty = desk("inbox")
    assert (empty.returncode, empty.stdout) == (0, "")
    assert empty.stderr.startswith("No notification yet.")
    _, payment_id = await buyer.pays()
    for object_id in (payment_id, payment_id, "p-waits", "p-lost"):
        await deliver(buyer.database, object_id)
    await deliver(buyer.database, "dl-1", "deal.closed")
    await witness.execute(
        """DELETE FROM shared.pgqueuer
           WHERE convert_from(payload, 'UTF8')::jsonb ->> 'payment_id' = 'p-lost'"""
    )
    await hold(witness, payment_id)
    listed = desk("inbox")
    rows = {row["object"]: row for row in table(listed.stdout)}
    assert {name: row["state"] for name, row in rows.items()} == {
        payment_id: "dead",
        "p-waits": "waiting",
        "p-lost": "dead",
        "dl-1": "handled",
    }
    assert rows[payment_id]["deliveries"] == "2"
    assert rows[payment_id]["last error"] == "It is not final yet."
    assert listed.stderr.startswith("Received: 4 (1 handled, 1 waiting, 2 dead).\n")
    dead = json.loads(desk("inbox", "--state", "dead", "--json").stdout)
    assert {one["object_id"] for one in dead["notifications"]} == {payment_id, "p-lost"}
    again = desk("replay", "--all-dead")
    assert again.stdout == f"Queued again: {rows['p-lost']['id']}, {rows[payment_id]['id']}.\n"
    assert desk("replay", "--all-dead").stderr == "No notification is dead.\n"
    async with working(buyer.database, buyer.provider, buyer.settings):
        await until(lambda: witness.fetchval("SELECT 1 FROM shared.orders WHERE status = 'paid'"))
    assert await granted(witness) == (1, 1, 1)


async def test_a_notification_that_was_handled_is_replayed_and_grants_nothing_twice(
    desk: Any, buyer: Buyer, witness: Witness
) -> None:
    _, payment_id = await buyer.pays()
    await deliver(buyer.database, payment_id)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    await witness.execute("DELETE FROM shared.pgqueuer WHERE entrypoint = 'payments.settle'")
    number = await witness.fetchval("SELECT id FROM shared.notifications")
    assert desk("replay", str(number)).stdout == f"Queued again: {number}.\n"
    assert [job["payment_id"] for job in await queued(witness, "payments.settle")] == [payment_id]
    async with working(buyer.database, buyer.provider, buyer.settings):
        await until(lambda: no_settle(witness))
    assert await granted(witness) == (1, 1, 1)
    line = await witness.fetchval(
        "SELECT data::text FROM shared.journal WHERE kind = 'notification.replayed'"
    )
    assert json.loads(line)["by"] == "operator"
    for arguments, code, said in (
        (("replay", "4000"), 1, "There is no notification 4000: see zapisano payments inbox\n"),
        (("replay",), 2, "payments replay: give the ids of notifications, or --all-dead\n"),
    ):
        done = desk(*arguments)
        assert (done.returncode, done.stderr) == (code, said)


async def no_settle(witness: Witness) -> bool:
    left = "SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = 'payments.settle'"
    return await witness.fetchval(left) == 0


async def test_rule_9_a_settle_that_fails_for_good_is_dead_and_kept_whole(
    buyer: Buyer, witness: Witness, desk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug, met as often as a job may meet one."""
    monkeypatch.setattr("zapisano.jobs.runner.ATTEMPTS_ON_A_BUG", 2)
    await deliver(buyer.database, "p-bug")
    handlers = Handlers()

    async def fails(_: Settle) -> None:
        raise ZeroDivisionError("4111111111111111")

    handlers.on(Settle, fails)
    runner = Runner(buyer.database, handlers, now)
    ready = asyncio.Event()
    task = asyncio.create_task(runner.run(ready.set))
    await until(
        lambda: witness.fetchval("SELECT 1 FROM shared.pgqueuer WHERE status::text = 'failed'")
    )
    runner.stop()
    await task
    (row,) = table(desk("inbox").stdout)
    assert (row["state"], row["last error"]) == ("dead", "ZeroDivisionError")
    kept = await witness.fetchval("SELECT body::text FROM shared.notifications")
    assert json.loads(kept) == {"event": "payment.succeeded", "object": {"id": "p-bug"}}


async def test_an_order_is_shown_with_everything_about_it(
    desk: Any, buyer: Buyer, witness: Witness
) -> None:
    order, payment_id = await buyer.pays()
    await deliver(buyer.database, payment_id)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    shown = [json.loads(desk("show", name, "--json").stdout) for name in (order.id, payment_id)]
    assert shown[0] == shown[1]
    assert shown[0]["order"]["status"] == "paid"
    assert shown[0]["order"]["card_last4"] == "4477"
    assert not {"request_body", "idempotence_key", "charge_key"} & set(shown[0]["order"])
    assert (shown[0]["yookassa"]["status"], shown[0]["yookassa"]["amount"]) == (
        "succeeded",
        "299.00",
    )
    assert [one["outcome"] for one in shown[0]["notifications"]] == ["paid"]
    kinds = [line["kind"] for line in shown[0]["journal"]]
    assert kinds[0] == "order.created"
    assert {"payment.created", "notification.received", "payment.settled"} < set(kinds)
    text = desk("show", payment_id).stdout
    assert "{" not in text
    assert " plan=1m" in text or "plan=1m " in text
    for part in (f"id\t{order.id}", "status\tsucceeded", "payment.settled"):
        assert part in text
    nobody = desk("show", "42")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert nobody.stderr == "Neither an order nor a payment is known as 42.\n"


async def test_show_tells_what_it_can_while_yookassa_is_away(desk: Any, buyer: Buyer) -> None:
    order, _ = await buyer.pays()
    buyer.kassa.fault("500", path="/payments/")
    shown = desk("show", order.id)
    assert shown.returncode == 0
    assert shown.stderr.endswith(
        "\nYooKassa could not be asked: The payment service is not answering.\n"
    )
    assert "status\tpending" in shown.stdout


async def test_orders_are_found_by_what_a_buyer_can_tell(
    desk: Any,
    buyer: Buyer,
    tenants: tuple[Tenant, Tenant],
    witness: Witness,
    capsys: pytest.CaptureFixture[str],
) -> None:
    order, payment_id = await buyer.pays(tenant_id=tenants[0].id)
    other = await buyer.orders(buyer_id=BUYER + 1)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    contact = "UPDATE shared.orders SET receipt_contact = $2 WHERE id = $1"
    await witness.execute(contact, order.id, "+79001234567")
    await witness.execute(contact, other.id, "Anna@Example.com")
    capsys.readouterr()
    for wanted in (
        "+7 900 123-45-67",
        "89001234567",
        "9001234567",
        str(BUYER),
        "4477",
        order.id,
        payment_id,
        tenants[0].id,
    ):
        await orders.find(buyer.settings, wanted, 50, as_json=True)
        found = json.loads(capsys.readouterr().out)
        assert [one["order_id"] for one in found] == [order.id], wanted
    (row,) = table(desk("find", "anna@example.COM").stdout)
    assert (row["order"], row["status"], row["amount"]) == (other.id, "created", "299.00")
    nobody = desk("find", "1111")
    assert (nobody.returncode, nobody.stderr) == (1, "No order is found by that.\n")


async def test_a_review_is_listed_mended_by_the_same_settle_or_closed_with_a_note(
    desk: Any, buyer: Buyer, witness: Witness
) -> None:
    assert desk("review").stderr == "Nothing waits for a decision.\n"
    order, payment_id = await buyer.pays()
    await witness.execute("UPDATE shared.orders SET amount = 298 WHERE id = $1", order.id)
    forged = str(uuid.uuid4())
    for one in (payment_id, forged):
        await settle(buyer.database, buyer.provider, buyer.settings, one, now())
    rows = {row["payment"]: row for row in table(desk("review").stdout)}
    assert {name: row["reason"] for name, row in rows.items()} == {
        payment_id: "amount",
        forged: "unknown payment",
    }
    still = desk("settle", payment_id)
    assert "nothing is granted" in still.stdout
    assert await granted(witness) == (0, 0, 0)
    await witness.execute("UPDATE shared.orders SET amount = 299 WHERE id = $1", order.id)
    assert desk("settle", payment_id).stdout == (
        f"{payment_id} is paid, and what was bought is granted.\n"
    )
    assert await granted(witness) == (1, 1, 1)
    assert await witness.fetchval("SELECT settled_via FROM shared.orders") == "operator"
    assert desk("settle", order.id).stdout.startswith(f"{payment_id} is paid")
    for slip in (str(uuid.uuid4()), "a/b c", "x" * 65):
        told = desk("settle", slip)
        assert (told.returncode, told.stdout) == (1, "")
    assert [row["payment"] for row in table(desk("review").stdout)] == [forged]
    number = rows[forged]["id"]
    unsaid = desk("review", "--close", number)
    assert (unsaid.returncode, unsaid.stderr) == (
        1,
        "note: say in 1 to 500 characters what was done\n",
    )
    closed = desk("review", "--close", number, "--note", "Подделка")
    assert closed.stdout == f"{number} is closed (unknown payment). Nothing was granted.\n"
    assert desk("review", "--close", number, "--note", "x").returncode == 1
    assert await reasons(witness) == []
    note, line = await witness.fetchrow(
        """SELECT (SELECT note FROM shared.reviews WHERE payment_id = $1),
                  (SELECT data::text FROM shared.journal WHERE kind = 'review.closed')""",
        forged,
    ) or (None, "")
    assert note == "Подделка"
    assert "Подделка" not in line
