"""Refunds against the simulated YooKassa: asked for here, given in the cabinet, lost, forged."""

import asyncio
import json
import uuid
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from integration.payments_fixtures import (
    BUYER,
    Buyer,
    Witness,
    browsing,
    buyer,
    kassa,
    now,
    provider,
    queued,
    reasons,
    serving,
    settings,
    shared_kassa,
    until,
    working,
)
from integration.refunds_fixtures import (
    asks,
    in_cabinet,
    refund_settles,
    refunded,
    refunds,
    rows,
    settles,
)
from integration.topup_fixtures import ANNA, Payer, payer, sums_to_zero
from zapisano import subscriptions
from zapisano.app import create_webhook
from zapisano.credits import ledger as credit_ledger
from zapisano.credits.model import Item, Rules, Verb
from zapisano.errors import Busy
from zapisano.payments import (
    AlreadyRefunded,
    NotPaid,
    OrderId,
    Outcome,
    ProviderRefused,
    ProviderUnavailable,
    RefundOutcome,
    RefundTooLarge,
    Status,
    poll_refund,
    start_refund,
)
from zapisano.payments.desk import close_review
from zapisano.tenancy import TenantId, archive, provision

__all__ = ["buyer", "kassa", "payer", "provider", "settings", "shared_kassa"]
DAY = timedelta(days=1)


async def bought(buyer: Buyer, **wanted: object) -> tuple[OrderId, str, TenantId]:
    """A plan of thirty days that is paid and granted."""
    order, payment_id = await buyer.pays("1m", **wanted)
    assert await settles(buyer, payment_id) is Outcome.PAID
    tenant = (await buyer.order(order.id)).tenant_id
    assert tenant is not None
    return order.id, payment_id, tenant


async def paid_until(buyer: Buyer, tenant: TenantId) -> datetime:
    async with buyer.database.shared() as conn:
        return (await subscriptions.get(conn, tenant)).paid_until


async def test_a_part_takes_its_share_of_days_once(buyer: Buyer, witness: Witness) -> None:
    order_id, _, tenant = await bought(buyer)
    _, _, other = await bought(buyer, company_name="Другая")
    before, untouched = await paid_until(buyer, tenant), await paid_until(buyer, other)
    refund_id = await refunds(buyer, order_id, "100")
    for _ in range(3):
        assert await refund_settles(buyer, refund_id) is RefundOutcome.REFUNDED
    # 30 × 100 / 299 is 10.03.
    assert await rows(witness) == [("operator", "succeeded", 100, 10, 0)]
    assert before - await paid_until(buyer, tenant) == 10 * DAY
    assert await paid_until(buyer, other) == untouched
    assert await refunded(witness, order_id) == 100
    told = await witness.fetch(
        "SELECT tenant, data FROM shared.journal WHERE kind LIKE 'refund.s%'"
    )
    assert [row["tenant"] for row in told] == [tenant]
    data = json.loads(told[0]["data"])
    assert (data["by"], data["days"], data["before"], data["after"]) == (
        "operator", 10, "0.00", "100.00",
    )  # fmt: skip
    assert len(await queued(witness, "payments.order_refunded")) == 1
    assert await reasons(witness) == []
    assert await witness.fetchval("SELECT count(*) FROM shared.due WHERE kind ~ 'payments'") == 0


async def test_all_of_it_takes_the_rest_and_never_what_is_used(
    buyer: Buyer, witness: Witness
) -> None:
    order_id, _, tenant = await bought(buyer)
    later = now() + timedelta(days=12, hours=5)
    assert await refund_settles(buyer, await refunds(buyer, order_id), later)
    assert [row[3] for row in await rows(witness)] == [17]
    left = await paid_until(buyer, tenant) - later
    assert timedelta(0) <= left < DAY
    with pytest.raises(AlreadyRefunded):
        await asks(buyer, order_id)


async def test_what_was_bought_later_stays(buyer: Buyer, witness: Witness) -> None:
    first, _, tenant = await bought(buyer)
    _, _, same = await bought(buyer, tenant_id=tenant)
    assert same == tenant
    later = now() + timedelta(days=40)  # the first is used, of the second ten days are
    await refund_settles(buyer, await refunds(buyer, first), later)
    assert [row[3] for row in await rows(witness)] == [0]


async def test_a_refund_in_the_cabinet_does_the_same(buyer: Buyer, witness: Witness) -> None:
    order_id, payment_id, _ = await bought(buyer)
    refund_id = in_cabinet(buyer.kassa, payment_id, "299.00")
    news = {
        "type": "notification",
        "event": "refund.succeeded",
        "object": {"id": refund_id, "payment_id": payment_id, "status": "succeeded"},
    }
    async with (
        serving(create_webhook(buyer.settings, buyer.database)) as webhook,
        browsing(webhook) as yookassa,
        working(buyer.database, buyer.provider, buyer.settings),
    ):
        for _ in range(3):
            answer = await yookassa.post("/webhook/yookassa", json=news)
            assert answer.status_code == 200

        async def handled() -> object:
            return await witness.fetchval(
                "SELECT outcome FROM shared.notifications WHERE object_id = $1", refund_id
            )

        await until(handled)
    ((source, status, amount, days, _),) = await rows(witness)
    assert (source, status, amount) == ("cabinet", "succeeded", 299)
    assert days in {29, 30}
    assert await refunded(witness, order_id) == 299
    assert await handled() == "refunded"


async def test_a_refund_told_before_its_payment_gives_first_and_takes_then(
    buyer: Buyer, witness: Witness
) -> None:
    order, payment_id = await buyer.pays()
    refund_id = in_cabinet(buyer.kassa, payment_id, "299.00")
    at = now()
    assert await refund_settles(buyer, refund_id, at) is RefundOutcome.REFUNDED
    assert await settles(buyer, payment_id) is Outcome.PAID
    paid = await buyer.order(order.id)
    assert (paid.status, paid.refunded) == (Status.PAID, 299)
    assert paid.tenant_id is not None
    assert await paid_until(buyer, paid.tenant_id) == at
    assert await witness.fetchval("SELECT sum(days) FROM shared.day_grants") == 0


async def test_many_at_once_take_effect_once(buyer: Buyer, witness: Witness) -> None:
    order_id, payment_id, _ = await bought(buyer)
    ids = [in_cabinet(buyer.kassa, payment_id, sum_) for sum_ in ("100.00", "150.00", "49.00")]
    await asyncio.gather(*(refund_settles(buyer, one) for one in ids * 4))
    assert len(await rows(witness)) == 3
    assert sum(row[3] for row in await rows(witness)) in {29, 30}
    assert await refunded(witness, order_id) == 299
    assert len(await queued(witness, "payments.order_refunded")) == 3


async def test_rule_2_forged_refunds_take_nothing(buyer: Buyer, witness: Witness) -> None:
    order_id, payment_id, _ = await bought(buyer)
    for forged in (str(uuid.uuid4()), payment_id):  # a payment's id is no refund's
        assert await refund_settles(buyer, forged) is RefundOutcome.UNKNOWN
    assert await refunded(witness, order_id) == 0
    assert await reasons(witness) == ["unknown refund"] * 2


async def test_rule_7_a_pending_refund_is_polled_for_no_event_tells_of_its_end(
    buyer: Buyer, witness: Witness
) -> None:
    order_id, _, _ = await bought(buyer)
    ids: list[str] = []
    for _ in range(2):
        buyer.kassa.fault("refund_pending", path="/refunds")
        ids.append(await refunds(buyer, order_id, "100"))
        assert await refund_settles(buyer, ids[-1]) is RefundOutcome.WAITING
    assert [row[1] for row in await rows(witness)] == ["pending"] * 2
    with pytest.raises(RefundTooLarge):
        await asks(buyer, order_id, "99.01")
    buyer.kassa.control("refund", {"refund_id": ids[0], "status": "succeeded"})
    buyer.kassa.control("refund", {"refund_id": ids[1], "status": "canceled"})
    for row in await witness.fetch("SELECT id::text FROM shared.refunds"):
        await poll_refund(buyer.database, buyer.provider, buyer.settings, row["id"], now())
    assert sorted(row[1] for row in await rows(witness)) == ["canceled", "succeeded"]
    assert await refunded(witness, order_id) == 100
    assert await reasons(witness) == ["refund canceled"]
    assert await witness.fetchval("SELECT count(*) FROM shared.due WHERE kind ~ 'payments'") == 0
    assert await asks(buyer, order_id)  # what did not go back may be asked for again


async def test_rule_7_polls_come_at_their_intervals(buyer: Buyer, witness: Witness) -> None:
    order_id, _, _ = await bought(buyer)
    buyer.kassa.fault("refund_pending", path="/refunds")
    await refunds(buyer, order_id)
    id_ = await witness.fetchval("SELECT id::text FROM shared.refunds")
    pauses: list[float] = []
    for _ in range(9):
        at = now()
        await poll_refund(buyer.database, buyer.provider, buyer.settings, id_, at)
        due = await witness.fetchval("SELECT at FROM shared.due WHERE subject = $1", id_)
        pauses.append((due - at).total_seconds())
    assert pauses == [60, 120, 300, 600, 1800, 3600, 3600, 3600, 3600]


@pytest.mark.parametrize("fault", ["500_after_create", "reset"])
async def test_rule_6_an_unknown_outcome_is_asked_again_under_the_same_key(
    buyer: Buyer, witness: Witness, fault: str
) -> None:
    order_id, _, _ = await bought(buyer)
    row = await asks(buyer, order_id)
    buyer.kassa.fault(fault, path="/refunds")
    with pytest.raises(ProviderUnavailable):
        await start_refund(buyer.database, buyer.provider, row.id, now())
    (made,) = buyer.kassa.get("/refunds").json()["items"][:1]
    with pytest.raises(Busy):  # its notification is faster than our repetition
        await refund_settles(buyer, made["id"])
    await poll_refund(buyer.database, buyer.provider, buyer.settings, row.id, now())
    assert [one[:2] for one in await rows(witness)] == [("operator", "succeeded")]
    assert await refunded(witness, order_id) == 299


async def test_rule_6_after_a_day_the_list_is_searched_and_nothing_sent_again(
    buyer: Buyer, witness: Witness
) -> None:
    order_id, _, _ = await bought(buyer)
    made, lost = [await asks(buyer, order_id, "100") for _ in range(2)]
    buyer.kassa.fault("500_after_create", path="/refunds")
    with pytest.raises(ProviderUnavailable):
        await start_refund(buyer.database, buyer.provider, made.id, now())
    buyer.kassa.fault("500", path="/refunds")
    with pytest.raises(ProviderUnavailable):
        await start_refund(buyer.database, buyer.provider, lost.id, now())
    later = now() + timedelta(hours=24)
    for row in (made, lost):
        await poll_refund(buyer.database, buyer.provider, buyer.settings, row.id, later)
    assert sorted(one[1] for one in await rows(witness)) == ["review", "succeeded"]
    assert await refunded(witness, order_id) == 100
    assert await reasons(witness) == ["outcome of refund unknown"]


async def test_what_a_person_has_not_found_either_may_go_back_anew(
    buyer: Buyer, witness: Witness
) -> None:
    order_id, payment_id, _ = await bought(buyer)
    lost = await asks(buyer, order_id, "100")
    buyer.kassa.fault("500", path="/refunds")
    with pytest.raises(ProviderUnavailable):
        await start_refund(buyer.database, buyer.provider, lost.id, now())
    later = now() + timedelta(hours=24)
    await poll_refund(buyer.database, buyer.provider, buyer.settings, lost.id, later)
    with pytest.raises(RefundTooLarge):
        await asks(buyer, order_id, "299")
    review_id = await witness.fetchval("SELECT id FROM shared.reviews WHERE closed_at IS NULL")
    async with buyer.database.shared() as conn:
        await close_review(conn, review_id, "Not in the cabinet", later)
    assert [one[1] for one in await rows(witness)] == ["canceled"]
    assert await reasons(witness) == []
    # Should it be found after all, it counts as one made in the cabinet.
    assert await refund_settles(buyer, in_cabinet(buyer.kassa, payment_id, "100.00"))
    assert await refunded(witness, order_id) == 100
    assert (await asks(buyer, order_id)).amount == 199


async def test_a_refused_request_ends_the_refund(buyer: Buyer, witness: Witness) -> None:
    order_id, payment_id, _ = await bought(buyer)
    row = await asks(buyer, order_id)
    taken = in_cabinet(buyer.kassa, payment_id, "1.00")  # so there is not so much left any more
    with pytest.raises(ProviderRefused):
        await start_refund(buyer.database, buyer.provider, row.id, now())
    assert [one[1] for one in await rows(witness)] == ["canceled"]
    assert await refund_settles(buyer, taken) is RefundOutcome.REFUNDED
    assert await refunded(witness, order_id) == 1


async def test_what_was_never_paid_cannot_go_back(buyer: Buyer) -> None:
    order = await buyer.orders()
    with pytest.raises(NotPaid):
        await asks(buyer, order.id)


async def test_money_that_was_not_granted_goes_back_and_takes_nothing(
    buyer: Buyer, witness: Witness
) -> None:
    order, payment_id = await buyer.pays()
    await witness.execute("UPDATE shared.orders SET status = 'canceled' WHERE id = $1", order.id)
    assert await settles(buyer, payment_id) is Outcome.REVIEW
    await refund_settles(buyer, await refunds(buyer, order.id))
    assert [row[3] for row in await rows(witness)] == [0]
    assert await reasons(witness) == []  # it was decided
    assert await settles(buyer, payment_id) is Outcome.REVIEW
    assert await reasons(witness) == []  # and stays decided, however often one asks
    assert await witness.fetchval("SELECT count(*) FROM shared.day_grants") == 0


async def test_who_is_archived_gets_money_back_and_nobody_has_to_look(
    buyer: Buyer, witness: Witness
) -> None:
    order_id, _, tenant = await bought(buyer)
    await provision(buyer.database, tenant)
    await archive(buyer.database, buyer.settings, tenant, now=now())
    await refund_settles(buyer, await refunds(buyer, order_id))
    assert await refunded(witness, order_id) == 299
    assert await reasons(witness) == []
    assert await witness.fetchval(
        "SELECT count(*) FROM shared.journal WHERE kind = 'refund.succeeded' AND tenant = $1",
        tenant,
    )


async def test_the_receipt_of_the_order_goes_with_it_scaled(buyer: Buyer, witness: Witness) -> None:
    order_id, _, _ = await bought(buyer)
    body = json.loads(
        await witness.fetchval("SELECT request_body FROM shared.orders WHERE id = $1", order_id)
    )
    body["receipt"] = {
        "customer": {"email": "anna@example.ru"},
        "items": [
            {
                "description": "Подписка",
                "quantity": "1.00",
                "amount": {"value": "299.00", "currency": "RUB"},
                "vat_code": 1,
                "payment_subject": "service",
                "payment_mode": "full_payment",
            }
        ],
    }
    await witness.execute(
        "UPDATE shared.orders SET request_body = $2 WHERE id = $1", order_id, json.dumps(body)
    )
    refund_id = await refunds(buyer, order_id, "100.50")
    made = buyer.kassa.get(f"/refunds/{refund_id}").json()
    assert made["receipt_registration"] == "succeeded"


async def topped_up(payer: Payer) -> str:
    order, payment_id = await payer.pays("500")
    assert await payer.settles(payment_id) is Outcome.PAID
    return order.id


async def test_credits_shrink_by_the_same_share(payer: Payer, witness: Witness) -> None:
    order_id = await topped_up(payer)
    had = (await payer.account()).balance
    for sum_ in ("200", "300"):
        refund_id = await refunds(payer, order_id, sum_)
        for _ in range(2):
            await refund_settles(payer, refund_id)
    assert had - (await payer.account()).balance == 500
    assert [row[4] for row in await rows(witness)] == [200, 300]
    assert await reasons(witness) == []
    assert await sums_to_zero(witness)
    assert await queued(witness, "payments.order_refunded") == []  # nobody in Telegram


async def test_credits_that_are_spent_are_put_before_a_person(
    payer: Payer, witness: Witness
) -> None:
    order_id = await topped_up(payer)
    spent = (await payer.account()).balance - Decimal("100.00")
    async with payer.database.shared() as conn:
        item = Item(ANNA, Verb.CHARGE, spent, operation="x")
        await credit_ledger.post(conn, Rules.of(payer.settings), item, now())
    await refund_settles(payer, await refunds(payer, order_id))
    assert (await payer.account()).balance == 0
    assert [row[4] for row in await rows(witness)] == [100]
    assert await reasons(witness) == ["credits are spent"]
    assert await sums_to_zero(witness)


async def test_the_notice_names_nobody(buyer: Buyer, witness: Witness) -> None:
    order_id, _, _ = await bought(buyer)
    await refund_settles(buyer, await refunds(buyer, order_id))
    assert (await buyer.order(OrderId(order_id))).buyer_id == BUYER
    (job,) = await queued(witness, "payments.order_refunded")
    assert set(job) == {"id", "ended_autopay"}
