"""The daily sweep against the simulated YooKassa, and the operator's two commands."""

import os
import subprocess
import sys
import uuid
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from integration.payments_fixtures import (
    Buyer,
    Witness,
    browsing,
    buyer,
    kassa,
    now,
    provider,
    queued,
    reasons,
    sample,
    serving,
    settings,
    shared_kassa,
)
from integration.refunds_fixtures import in_cabinet, refund_settles, refunded, refunds, settles
from integration.yookassa_fixtures import SECRET_KEY, SHOP_ID, Simulator, order, running
from zapisano.app import create_webhook
from zapisano.payments import Reconcile, Report, Status, reconcile
from zapisano.payments import store as money
from zapisano.payments.desk import close_review
from zapisano.payments.reconcile import sweep

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]


@pytest.fixture
def kassa(  # noqa: F811 # each test has a till of its own: the sweep sees everything in it
    tmp_path_factory: pytest.TempPathFactory,
) -> object:
    with running(tmp_path_factory.mktemp("yookassa"), "") as started:
        yield started


async def compares(buyer: Buyer) -> Report:
    at = now()
    until = at + timedelta(minutes=1)
    return await reconcile(
        buyer.database, buyer.provider, buyer.settings, at - timedelta(days=2), until, at
    )


def stranger(kassa: Simulator) -> str:
    """A payment of our shop that nobody here has asked for."""
    payment_id: str = kassa.post("/payments", order(), str(uuid.uuid4())).json()["id"]
    kassa.control("pay", {"payment_id": payment_id})
    return payment_id


async def differences(buyer: Buyer) -> int:
    async with buyer.database.shared() as conn:
        return (await money.figures(conn)).differences


async def test_what_was_never_told_is_healed(buyer: Buyer, witness: Witness) -> None:
    lost, payment_id = await buyer.pays()
    told, told_payment = await buyer.pays(company_name="Другая")
    await settles(buyer, told_payment)
    in_cabinet(buyer.kassa, payment_id, "299.00")  # and this was not told either
    in_cabinet(buyer.kassa, told_payment, "100.00")
    report = await compares(buyer)
    assert (report.payments, report.refunds, report.differences) == (2, 2, [])
    assert report.paid_there == report.paid_here == Decimal("598.00")
    assert report.refunded_there == report.refunded_here == Decimal("399.00")
    assert report.healed == 3
    assert (await buyer.order(lost.id)).status is Status.PAID
    assert await refunded(witness, lost.id) == 299
    assert await refunded(witness, told.id) == 100
    again = await compares(buyer)
    assert (again.healed, again.differences) == (0, [])
    assert await reasons(witness) == []
    assert await differences(buyer) == 0


async def test_a_strangers_payment_is_a_difference_until_it_went_back(
    buyer: Buyer, witness: Witness
) -> None:
    payment_id = stranger(buyer.kassa)
    for _ in range(2):
        report = await compares(buyer)
        assert [(one.reason, one.payment_id) for one in report.differences] == [
            ("paid at the provider only", payment_id)
        ]
        assert report.paid_there - report.paid_here == 299
    assert await differences(buyer) == 1
    assert await witness.fetchval("SELECT count(*) FROM shared.day_grants") == 0
    in_cabinet(buyer.kassa, payment_id, "1.00")
    assert [one.payment_id for one in (await compares(buyer)).differences] == [payment_id]
    in_cabinet(buyer.kassa, payment_id, "298.00")
    assert (await compares(buyer)).differences == []
    assert await differences(buyer) == 0
    assert await reasons(witness) == []


async def test_what_still_differs_after_a_person_has_closed_it_is_open_again(
    buyer: Buyer, witness: Witness
) -> None:
    payment_id = stranger(buyer.kassa)
    await compares(buyer)
    for number in await witness.fetch("SELECT id FROM shared.reviews WHERE closed_at IS NULL"):
        async with buyer.database.shared() as conn:
            await close_review(conn, number["id"], "Seen", now())
    assert await differences(buyer) == 0
    for _ in range(2):  # once, however many nights it goes on
        await compares(buyer)
        assert await differences(buyer) == 1
    assert await reasons(witness) == ["paid at the provider only", "unknown order"]
    kept = await witness.fetch(
        "SELECT note FROM shared.reviews WHERE payment_id = $1 AND reason ~ '^paid at' ORDER BY id",
        payment_id,
    )
    assert [row["note"] for row in kept] == ["Seen", None]
    async with buyer.database.shared() as conn:  # "ever" counts payments, not openings
        assert (await money.figures(conn)).reviews["unknown order"] == 1


async def test_what_only_we_call_paid_is_a_difference(buyer: Buyer, witness: Witness) -> None:
    made, payment_id = await buyer.pays()
    await settles(buyer, payment_id)
    by_hand = await buyer.orders(company_name="Другая")
    await buyer.starts(by_hand)
    await witness.execute(
        """UPDATE shared.orders SET status = 'paid', paid_at = $2,
               tenant_id = (SELECT tenant_id FROM shared.orders WHERE id = $3) WHERE id = $1""",
        by_hand.id,
        now(),
        made.id,
    )
    report = await compares(buyer)
    assert [(one.reason, one.order_id) for one in report.differences] == [
        ("paid in our ledger only", by_hand.id)
    ]
    assert report.paid_here - report.paid_there == 299
    assert await differences(buyer) == 1


async def test_sums_are_compared_to_the_kopeck(buyer: Buyer, witness: Witness) -> None:
    made, payment_id = await buyer.pays()
    await settles(buyer, payment_id)
    await refund_settles(buyer, await refunds(buyer, made.id, "100"))
    await witness.execute("UPDATE shared.orders SET amount = amount + 0.01")
    await witness.execute("UPDATE shared.refunds SET amount = amount - 0.01")
    report = await compares(buyer)
    found = ["paid sums differ", "refunded sums differ"]
    assert [one.reason for one in report.differences] == found
    assert report.paid_here - report.paid_there == Decimal("0.01")
    assert report.refunded_there - report.refunded_here == Decimal("0.01")
    assert await differences(buyer) == 2
    await compares(buyer)
    assert await reasons(witness) == found
    await witness.execute("UPDATE shared.orders SET amount = amount - 0.01")
    await witness.execute("UPDATE shared.refunds SET amount = amount + 0.01")
    assert (await compares(buyer)).differences == []
    assert await differences(buyer) == 0


async def test_a_refund_that_only_we_know_is_a_difference(buyer: Buyer, witness: Witness) -> None:
    made, payment_id = await buyer.pays()
    await settles(buyer, payment_id)
    await refund_settles(buyer, await refunds(buyer, made.id))
    await witness.execute("UPDATE shared.refunds SET refund_id = 'nowhere'")
    report = await compares(buyer)
    assert "refunded in our ledger only" in [one.reason for one in report.differences]


async def test_what_is_under_way_is_no_difference(buyer: Buyer, witness: Witness) -> None:
    _, payment_id = await buyer.pays()
    buyer.kassa.fault("500", path=f"/payments/{payment_id}")
    report = await compares(buyer)
    assert (report.put_off, report.differences) == (1, [])
    assert await reasons(witness) == []
    assert (await compares(buyer)).healed == 1


async def test_what_cannot_be_asked_now_keeps_nothing_else_waiting(
    buyer: Buyer, witness: Witness
) -> None:
    old, old_payment = await buyer.pays()
    await settles(buyer, old_payment)
    # Paid here, so it is asked after by itself; the list does not hold it, and it has no answer.
    await witness.execute("UPDATE shared.orders SET payment_id = 'not-listed'")
    buyer.kassa.fault("500", path="/payments/not-listed")
    new, _ = await buyer.pays(company_name="Другая")
    _, given_back = await buyer.pays(company_name="Третья")
    await settles(buyer, given_back)
    in_cabinet(buyer.kassa, given_back, "100.00")
    report = await compares(buyer)
    assert report.put_off == 1
    assert (await buyer.order(new.id)).status is Status.PAID
    assert report.refunded_here == 100
    assert await buyer.order(old.id)


async def test_a_whole_sweep_is_told_and_one_that_is_not_whole_is_not(
    buyer: Buyer, witness: Witness
) -> None:
    _, payment_id = await buyer.pays()
    at = now() + timedelta(hours=2)

    async def sweeps() -> tuple[float | None, float | None]:
        await sweep(buyer.database, buyer.provider, buyer.settings, Reconcile(), lambda: at)
        async with (
            serving(create_webhook(buyer.settings, buyer.database)) as url,
            browsing(url) as client,
        ):
            text = (await client.get("/metrics")).text
        return (
            sample(text, "zapisano_last_reconciliation_timestamp_seconds"),
            sample(text, "zapisano_reconciliation_difference"),
        )

    buyer.kassa.fault("500", path=f"/payments/{payment_id}")
    assert await sweeps() == (0, 0)  # one could not be asked
    told = await witness.fetchval("SELECT extract(epoch FROM now())::float8")
    stranger(buyer.kassa)
    last, differences_told = await sweeps()
    assert last is not None
    assert last >= told
    assert differences_told == 1


async def test_after_a_long_outage_the_sweep_goes_back_to_the_last_whole_one(
    buyer: Buyer, witness: Witness
) -> None:
    """Ten days in which nothing ran: longer than any sweep looks back by itself."""
    begins, ends = now(), now() + timedelta(days=10)
    await sweep(buyer.database, buyer.provider, buyer.settings, Reconcile(), lambda: begins)
    await buyer.pays()
    await sweep(buyer.database, buyer.provider, buyer.settings, Reconcile(), lambda: ends)
    assert len(await queued(witness, "payments.order_paid")) == 1


async def test_the_sweep_comes_again_tomorrow(buyer: Buyer, witness: Witness) -> None:
    at = now() + timedelta(hours=2)
    await buyer.pays()
    await sweep(buyer.database, buyer.provider, buyer.settings, Reconcile(), lambda: at)
    due = await witness.fetchval("SELECT at FROM shared.due WHERE kind = 'payments.reconcile'")
    assert due - at == timedelta(days=1)
    assert len(await queued(witness, "payments.order_paid")) == 1


def run(buyer: Buyer, arguments: Sequence[str], **more: str) -> subprocess.CompletedProcess[str]:
    """A command of the operator's, in its own process."""
    settings = buyer.settings
    env = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "ZAPISANO_DATA_DIR": str(settings.data_dir),
        "YOOKASSA_SHOP_ID": SHOP_ID,
        "YOOKASSA_SECRET_KEY": SECRET_KEY,
        "YOOKASSA_API_URL": buyer.kassa.api,
        **more,
    }
    return subprocess.run(
        [sys.executable, "-m", "zapisano", "payments", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_the_operator_gives_back_and_compares(buyer: Buyer, witness: Witness) -> None:
    made, payment_id = await buyer.pays()
    unpaid = run(buyer, ["refund", made.id, "--yes"])
    assert (unpaid.returncode, "not paid" in unpaid.stderr) == (1, True)
    await settles(buyer, payment_id)
    unasked = run(buyer, ["refund", made.id])
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    part = run(buyer, ["refund", made.id, "--amount", "100", "--reason", "Просьба", "--yes"])
    assert (part.returncode, part.stdout) == (0, "100.00 ₽ went back. 10 days went with it.\n")
    more = run(buyer, ["refund", made.id, "--amount", "199.01", "--yes"])
    assert (more.returncode, "199.00" in more.stderr) == (1, True)
    assert run(buyer, ["refund", made.id, "--yes"]).returncode == 0
    again = run(buyer, ["refund", made.id, "--yes"])
    assert (again.returncode, "refunded already" in again.stderr) == (1, True)
    assert await refunded(witness, made.id) == 299
    well = run(buyer, ["reconcile"])
    assert (well.returncode, "All is well" in well.stderr) == (0, True), well.stderr
    assert well.stdout.splitlines() == [
        "what\tnumber\tat YooKassa\tin our ledger",
        "paid\t1\t299.00\t299.00",
        "refunded\t2\t299.00\t299.00",
    ]


async def test_a_comparison_names_what_it_settled_and_what_differs(buyer: Buyer) -> None:
    lost, payment_id = await buyer.pays()
    refund_id = in_cabinet(buyer.kassa, payment_id, "100.00")
    unknown = stranger(buyer.kassa)
    odd = run(buyer, ["reconcile"])
    assert odd.returncode == 1
    _, settled, differs = odd.stdout.split("\n\n")
    _, paid, went_back = settled.splitlines()
    tenant = (await buyer.order(lost.id)).tenant_id
    assert paid == f"{payment_id}\t-\t{lost.id}\t{tenant}: plan 1m, 30 days"
    assert went_back == f"{payment_id}\t{refund_id}\t{lost.id}\t100.00 ₽ went back"
    assert differs.splitlines()[1] == f"paid at the provider only\t{unknown}\t-\t-"
    assert "All is well" not in odd.stderr


def test_a_new_till_has_nothing_to_settle(kassa: Simulator, buyer: Buyer) -> None:
    """The guides' payment is the old bot's of last month: it waits for its notification."""
    assert kassa.get("/payments/test_payment_123").json()["status"] == "succeeded"
    compared = run(buyer, ["reconcile"], LEGACY_SALES_UNTIL="2099-12-31")
    assert (compared.returncode, "test_payment_123" in compared.stdout) == (0, False)
    assert compared.stdout.splitlines()[1] == "paid\t0\t0.00\t0.00"
