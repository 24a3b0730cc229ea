"""Promo codes: a lower price, and uses that hold when many want the last one."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from integration.payments_fixtures import (
    BUYER,
    DECLINED_CARD,
    Buyer,
    Witness,
    buyer,
    kassa,
    now,
    provider,
    settings,
    shared_kassa,
    until,
)
from integration.waiting import somebody_waits
from integration.yookassa_fixtures import Simulator
from zapisano.errors import AppError
from zapisano.payments import AnyOrder, OrderClosed, PlanOrder, retry_order, settle, start_payment
from zapisano.payments import store as money
from zapisano.payments.promo import apply_promo, note_promo
from zapisano.payments.promo_model import (
    NoPromo,
    Promo,
    PromoLapsed,
    PromoOtherPlan,
    PromoUsedOnce,
    PromoUsedUp,
)
from zapisano.payments.store import promo as promos

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]
SUMMER = Promo("SUMMER", 20, None, None, None, None, once_per_person=False, created_at=now())


async def made(buyer: Buyer, promo: Promo = SUMMER) -> None:
    async with buyer.database.shared() as conn:
        assert await promos.insert_promo(conn, promo)


async def applied(buyer: Buyer, order: PlanOrder, code: str = "summer") -> PlanOrder:
    async with buyer.database.shared() as conn:
        return await apply_promo(conn, buyer.settings, order.id, code, now())


async def settled(buyer: Buyer, payment_id: str) -> str:
    return await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())


async def used(buyer: Buyer) -> int:
    async with buyer.database.shared() as conn:
        since = now() - timedelta(hours=24)
        return await promos.count_uses(conn, "SUMMER", unasked_since=since)


async def test_an_order_with_a_code_is_paid_at_the_lower_price(
    buyer: Buyer, witness: Witness
) -> None:
    await made(buyer)
    other = await buyer.orders(buyer_id=BUYER + 1)
    order = await buyer.orders()
    order = await applied(buyer, order)
    assert (order.amount, order.promo_code) == (Decimal("239.20"), "SUMMER")
    assert json.loads(order.request_body)["amount"]["value"] == "239.20"
    again = await applied(buyer, order)
    assert again == order
    payment_id = await buyer.starts(order)
    buyer.kassa.control("pay", {"payment_id": payment_id})
    assert await settled(buyer, payment_id) == "paid"
    row = await witness.fetchrow(
        "SELECT amount, promo_code, status FROM shared.orders WHERE id = $1", order.id
    )
    assert row is not None
    assert tuple(row) == (Decimal("239.20"), "SUMMER", "paid")
    assert (await buyer.order(other.id)).amount == Decimal("299.00")
    changes = await witness.fetch(
        "SELECT data->>'before', data->>'after' FROM shared.journal WHERE kind = 'order.repriced'"
    )
    assert [tuple(one) for one in changes] == [("299.00", "239.20")]


async def test_of_two_buyers_racing_for_the_last_use_one_has_it(
    buyer: Buyer, witness: Witness
) -> None:
    await made(buyer, replace(SUMMER, uses=3))
    orders = [await buyer.orders(buyer_id=BUYER + n) for n in range(8)]
    outcomes = await asyncio.gather(
        *(applied(buyer, order) for order in orders), return_exceptions=True
    )
    assert sum(isinstance(one, PlanOrder) for one in outcomes) == 3
    assert sum(isinstance(one, PromoUsedUp) for one in outcomes) == 5
    kept = await witness.fetch("SELECT amount FROM shared.orders WHERE promo_code = 'SUMMER'")
    assert [row["amount"] for row in kept] == [Decimal("239.20")] * 3


async def test_a_retry_and_whoever_holds_the_code_do_not_wait_for_each_other(
    buyer: Buyer, witness: Witness
) -> None:
    await made(buyer)
    order = await applied(buyer, await buyer.orders())
    payment_id = await buyer.starts(order)
    buyer.kassa.control("pay", {"payment_id": payment_id, "card": DECLINED_CARD})
    await settled(buyer, payment_id)

    async def retries() -> AnyOrder:
        async with buyer.database.shared() as conn:
            return await retry_order(conn, buyer.settings, order.id, now())

    async with buyer.database.shared() as conn:
        await promos.find_promo(conn, "SUMMER", lock=True)
        retried = asyncio.create_task(retries())
        await until(lambda: somebody_waits(witness))
        await money.get(conn, order.id, lock=True)
    assert (await retried).amount == Decimal("239.20")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"ended_at": now()}, NoPromo),
        ({"until": now() - timedelta(seconds=1)}, NoPromo),
        ({"plans": ("3m",)}, PromoOtherPlan),
    ],
)
async def test_a_code_that_does_not_fit_is_refused_by_name(
    buyer: Buyer, change: dict[str, object], refusal: type[AppError]
) -> None:
    await made(buyer, replace(SUMMER, **change))
    if "ended_at" in change:
        async with buyer.database.shared() as conn:
            await promos.end_promo(conn, "SUMMER", now())
    order = await buyer.orders()
    with pytest.raises(refusal):
        await applied(buyer, order)
    with pytest.raises(NoPromo):
        await applied(buyer, order, "winter")
    assert (await buyer.order(order.id)).amount == Decimal("299.00")


async def test_one_person_holds_one_use_and_takes_it_along(buyer: Buyer) -> None:
    """Whoever looks at another plan first does not use two of a code's uses."""
    await made(buyer, replace(SUMMER, uses=1, once_per_person=True))
    first = await applied(buyer, await buyer.orders("1m"))
    second = await applied(buyer, await buyer.orders("3m"))
    assert second.amount == Decimal("639.20")
    first = await buyer.order(first.id)
    assert (first.amount, first.promo_code) == (Decimal("299.00"), None)
    assert json.loads(first.request_body)["amount"]["value"] == "299.00"
    assert await used(buyer) == 1


async def test_once_per_person_is_once(buyer: Buyer) -> None:
    await made(buyer, replace(SUMMER, once_per_person=True))
    order = await applied(buyer, await buyer.orders())
    await buyer.starts(order)
    with pytest.raises(PromoUsedOnce):
        await applied(buyer, await buyer.orders())
    await applied(buyer, await buyer.orders(buyer_id=BUYER + 1))


async def test_a_canceled_order_gives_its_use_back_and_hands_it_to_its_successor(
    buyer: Buyer, kassa: Simulator
) -> None:
    await made(buyer, replace(SUMMER, uses=1))
    order = await applied(buyer, await buyer.orders())
    payment_id = await buyer.starts(order)
    stranger = await buyer.orders(buyer_id=BUYER + 1)
    with pytest.raises(PromoUsedUp):
        await applied(buyer, stranger)
    kassa.control("pay", {"payment_id": payment_id, "card": DECLINED_CARD})
    assert await settled(buyer, payment_id) == "canceled"
    assert await used(buyer) == 0
    async with buyer.database.shared() as conn:
        new = await retry_order(conn, buyer.settings, order.id, now())
    assert (new.amount, await used(buyer)) == (Decimal("239.20"), 1)
    with pytest.raises(PromoUsedUp):
        await applied(buyer, stranger)


async def test_what_is_before_yookassa_keeps_its_price(buyer: Buyer) -> None:
    await made(buyer)
    order = await buyer.orders()
    await buyer.starts(order)
    with pytest.raises(OrderClosed):
        await applied(buyer, order)
    assert (await buyer.order(order.id)).amount == Decimal("299.00")


async def test_an_order_that_waits_too_long_loses_its_use_to_others(
    buyer: Buyer, witness: Witness
) -> None:
    """A code with N uses is not stretched by orders that are kept for later."""
    await made(buyer, replace(SUMMER, uses=1))
    order = await applied(buyer, await buyer.orders())
    later = now() + timedelta(hours=25)
    stranger = await buyer.orders(buyer_id=BUYER + 1)
    async with buyer.database.shared() as conn:
        await apply_promo(conn, buyer.settings, stranger.id, "SUMMER", later)
    await buyer.starts(stranger)
    with pytest.raises(PromoLapsed):
        await start_payment(buyer.database, buyer.provider, order.id, later)
    assert (await buyer.order(order.id)).payment_id is None


async def test_an_old_order_holds_the_last_use_from_when_it_gets_the_code(
    buyer: Buyer, witness: Witness
) -> None:
    """The buyer was shown the lower price a minute ago: nobody else takes it away."""
    await made(buyer, replace(SUMMER, uses=1))
    order, stranger = await buyer.orders(), await buyer.orders(buyer_id=BUYER + 1)
    aged = "UPDATE shared.orders SET created_at = created_at - interval '30 hours'"
    await witness.execute(aged)
    await applied(buyer, order)
    with pytest.raises(PromoUsedUp):
        await applied(buyer, stranger)
    payment_id = await buyer.starts(order)
    buyer.kassa.control("pay", {"payment_id": payment_id})
    assert await settled(buyer, payment_id) == "paid"


async def test_an_order_that_waits_long_keeps_a_use_that_nobody_took(buyer: Buyer) -> None:
    await made(buyer, replace(SUMMER, uses=1))
    order = await applied(buyer, await buyer.orders())
    await start_payment(buyer.database, buyer.provider, order.id, now() + timedelta(hours=25))
    assert (await buyer.order(order.id)).payment_id is not None


async def test_a_late_payment_is_honoured_though_the_code_has_ended(buyer: Buyer) -> None:
    await made(buyer)
    order = await applied(buyer, await buyer.orders())
    payment_id = await buyer.starts(order)
    async with buyer.database.shared() as conn:
        await promos.end_promo(conn, "SUMMER", now())
    buyer.kassa.control("pay", {"payment_id": payment_id})
    assert await settled(buyer, payment_id) == "paid"


async def test_a_code_brought_by_a_link_is_for_one_paid_order(buyer: Buyer) -> None:
    await made(buyer, replace(SUMMER, plans=("1m",)))
    async with buyer.database.shared() as conn:
        await note_promo(conn, BUYER, "summer", now())
    assert (await buyer.orders("3m")).promo_code is None
    assert (await buyer.orders(buyer_id=BUYER + 1)).promo_code is None
    order, payment_id = await buyer.pays()
    assert order.amount == Decimal("239.20")
    assert await settled(buyer, payment_id) == "paid"
    assert (await buyer.orders()).promo_code is None
