"""When a saved method is charged, and when not any more, up to the last moment before the call."""

import asyncio
from datetime import timedelta

import pytest

from integration.autopay_fixtures import (
    SPENT,
    Owner,
    agreement,
    charges_asked,
    owner,
    settings,
)
from integration.payments_fixtures import (
    Witness,
    buyer,
    kassa,
    now,
    provider,
    shared_kassa,
    until,
)
from integration.yookassa_fixtures import Simulator
from zapisano.payments import (
    OrderClosed,
    OrderId,
    PlanOrder,
    ProviderUnavailable,
    Status,
    methods,
    poll,
    start_payment,
)
from zapisano.payments.charges import prepare
from zapisano.settings import Plan
from zapisano.subscriptions import Charge
from zapisano.tenancy import Suspension, archive, suspend

__all__ = ["agreement", "buyer", "kassa", "owner", "provider", "settings", "shared_kassa"]


async def is_prepared(owner: Owner, attempt: int = 0) -> OrderId:
    """Let an attempt come as far as its order: nobody has asked YooKassa yet."""
    paid, buyer = await owner.paid(), owner.buyer
    async with buyer.database.shared() as conn:
        job = Charge(owner.tenant, paid.paid_until, attempt)
        order_id = await prepare(conn, buyer.settings, job, now())
    assert order_id is not None
    return order_id


async def is_in_doubt(owner: Owner, kassa: Simulator) -> PlanOrder:
    """Let an attempt be asked for, with an answer that is lost, and nothing made of it."""
    kassa.fault("500", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await owner.is_charged(0)
    order = await owner.is_charged(0)
    assert order is not None
    assert order.requested_at is not None
    return order


async def unlinks(owner: Owner) -> None:
    async with owner.buyer.database.shared() as conn:
        assert await methods.end(conn, owner.tenant, "owner", by="owner", now=now())


async def becomes_unwanted(owner: Owner, how: str) -> None:
    buyer = owner.buyer
    match how:
        case "unlinked":
            await unlinks(owner)
        case "paused":
            async with buyer.database.shared() as conn:
                await suspend(conn, owner.tenant, Suspension.OPERATOR)
        case "archived":
            await archive(buyer.database, buyer.settings, owner.tenant, now=now())
        case "smaller":
            smaller = Plan("1m", {"name": "1 месяц", "days": 30, "price": "1"})
            async with buyer.database.shared() as conn:
                await methods.agree(conn, owner.tenant, smaller, by="owner", now=now())
        case _:
            await owner.buys(saves=False)


UNWANTED = pytest.mark.parametrize(
    "how", ["unlinked", "paused", "archived", "smaller", "paid by hand"]
)


@UNWANTED
async def test_a_doubt_that_is_not_wanted_any_more_is_not_repeated(
    owner: Owner, kassa: Simulator, how: str
) -> None:
    """While the key lives it is only looked for; then a person decides."""
    await owner.buys()
    waiting, buyer = await is_in_doubt(owner, kassa), owner.buyer
    await becomes_unwanted(owner, how)
    asked = charges_asked(kassa)
    for hours, status in ((1, Status.CREATED), (23, Status.CREATED), (25, Status.REVIEW)):
        at = now() + timedelta(hours=hours)
        await poll(buyer.database, buyer.provider, buyer.settings, waiting.id, at)
        assert (await buyer.order(waiting.id)).status is status
    assert charges_asked(kassa) == asked


async def test_a_doubt_is_not_repeated_where_autopay_was_switched_off(
    owner: Owner, kassa: Simulator
) -> None:
    await owner.buys()
    waiting, buyer = await is_in_doubt(owner, kassa), owner.buyer
    asked = charges_asked(kassa)
    off = buyer.settings.model_copy(update={"yookassa_autopay": False})
    await poll(buyer.database, buyer.provider, off, waiting.id, now())
    assert charges_asked(kassa) == asked
    assert (await buyer.order(waiting.id)).status is Status.CREATED
    await poll(buyer.database, buyer.provider, buyer.settings, waiting.id, now())
    assert (await buyer.order(waiting.id)).status is Status.PAID  # on again: wanted again


async def test_what_a_lost_answer_has_made_is_found_though_it_is_not_wanted_any_more(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    await owner.buys()
    buyer, before = owner.buyer, await owner.paid()
    kassa.fault("500_after_create", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await owner.is_charged(0)
    waiting = await owner.is_charged(0)
    assert waiting is not None
    await unlinks(owner)
    await poll(buyer.database, buyer.provider, buyer.settings, waiting.id, now())
    assert (await buyer.order(waiting.id)).status is Status.PAID
    assert (await owner.paid()).paid_until == before.paid_until + timedelta(days=30)
    assert await owner.method() is None
    assert await witness.fetchval("SELECT count(*) FROM shared.reviews") == 0


@UNWANTED
async def test_a_charge_that_is_not_wanted_any_more_is_not_asked_for(
    owner: Owner, kassa: Simulator, how: str
) -> None:
    """Its order is there already when that happens."""
    await owner.buys()
    order_id, buyer = await is_prepared(owner), owner.buyer
    await becomes_unwanted(owner, how)
    asked = charges_asked(kassa)
    with pytest.raises(OrderClosed):
        await start_payment(buyer.database, buyer.provider, order_id, now())
    assert charges_asked(kassa) == asked
    assert (await buyer.order(order_id)).requested_at is None


async def test_a_method_that_is_being_ended_is_not_charged(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    """The tap and the charge meet: what was committed first counts."""
    await owner.buys()
    order_id, buyer = await is_prepared(owner), owner.buyer
    asked = charges_asked(kassa)

    async def waits() -> bool:
        return bool(await witness.fetchval("SELECT 1 FROM pg_locks WHERE NOT granted"))

    async with buyer.database.shared() as conn:
        await methods.end(conn, owner.tenant, "owner", by="owner", now=now())
        started = asyncio.create_task(
            start_payment(buyer.database, buyer.provider, order_id, now())
        )
        await until(waits)
    with pytest.raises(OrderClosed):
        await started
    assert charges_asked(kassa) == asked
    assert await witness.fetchval(SPENT) == 0
