"""A charge comes on its day or not at all, ends with its consent, and forgets its method."""

import asyncio
import json
import random
from datetime import timedelta

import pytest

from integration.autopay_fixtures import (
    EXPIRED,
    NO_MONEY,
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
    queued,
    shared_kassa,
)
from integration.yookassa_fixtures import Simulator
from zapisano.errors import Conflict
from zapisano.ops import tenants
from zapisano.ops.payments import orders
from zapisano.ops.support import resend
from zapisano.payments import ProviderUnavailable, Status, methods
from zapisano.payments.charges import charge, prepare
from zapisano.subscriptions import Charge, charges_end_at

__all__ = ["agreement", "buyer", "kassa", "owner", "provider", "settings", "shared_kassa"]

SEED, ROUNDS, WORKERS = 20261124, 8, 6
AGAIN = "SELECT at FROM shared.due WHERE kind = 'subscriptions.charge'"
ASKED = """SELECT idempotence_key FROM shared.orders
    WHERE charge_key IS NOT NULL AND requested_at IS NOT NULL ORDER BY 1"""


async def test_an_attempt_that_the_schedule_has_passed_is_not_made(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    await owner.buys()
    await witness.execute("UPDATE shared.subscriptions SET charges = 2")
    before = charges_asked(kassa)
    assert await owner.is_charged(0) is None
    assert charges_asked(kassa) == before
    newest = await owner.is_charged(1)
    assert newest is not None
    assert newest.status is Status.PAID


async def test_nobody_is_charged_long_after_the_day_that_was_told(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    """A queue that stood still for weeks takes no money when it goes on."""
    await owner.buys()
    last = charges_end_at((await owner.paid()).paid_until, None)
    before = charges_asked(kassa)
    assert await owner.is_charged(at=last) is None
    assert charges_asked(kassa) == before
    assert await witness.fetch(AGAIN) == []
    # Told anew, it is on time again.
    await witness.execute("UPDATE shared.subscriptions SET announced_at = $1", last)
    charged = await owner.is_charged(at=last)
    assert charged is not None
    assert charged.status is Status.PAID


async def test_an_attempt_that_came_late_pushes_the_next_one_on(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    await owner.buys()
    await owner.changes_card(card=NO_MONEY)
    late = await owner.is_charged(0)
    assert late is not None
    paid, before, shop = await owner.paid(), charges_asked(kassa), owner.buyer
    soon = now() + timedelta(minutes=10)
    job = Charge(owner.tenant, paid.paid_until, 1)
    await charge(shop.database, shop.provider, shop.settings, job, soon)
    assert charges_asked(kassa) == before
    (again,) = [row["at"] for row in await witness.fetch(AGAIN)]
    tomorrow = now() + timedelta(days=1)
    assert tomorrow - timedelta(minutes=1) <= again < tomorrow + timedelta(hours=14)  # by day
    await charge(shop.database, shop.provider, shop.settings, job, again)
    assert len(charges_asked(kassa)) == len(before) + 1


@pytest.mark.parametrize(
    ("card", "status"),
    [(None, Status.PAID), (NO_MONEY, Status.CANCELED), (EXPIRED, Status.CANCELED)],
)
async def test_a_charge_that_is_over_does_not_know_the_method_any_more(
    owner: Owner, card: str | None, status: Status
) -> None:
    await owner.buys()
    method = await owner.method()
    assert method is not None
    if card:
        await owner.changes_card(card=card)
    order = await owner.is_charged()
    assert order is not None
    assert (order.status, order.method_id) == (status, None)
    assert str(method.method_id) not in order.request_body
    assert json.loads(order.request_body)["amount"] == {"value": "299.00", "currency": "RUB"}


async def test_a_charge_that_was_dropped_does_not_know_the_method_any_more(owner: Owner) -> None:
    await owner.buys()
    buyer, job = owner.buyer, Charge(owner.tenant, (await owner.paid()).paid_until, 0)
    async with buyer.database.shared() as conn:
        order_id = await prepare(conn, buyer.settings, job, now())
        assert order_id is not None
        assert await methods.end(conn, owner.tenant, "owner", by="owner", now=now())
        assert await prepare(conn, buyer.settings, job, now()) is None
    order = await buyer.order(order_id)
    assert (order.status, order.method_id) == (Status.CANCELED, None)
    assert "payment_method_id" not in order.request_body


async def test_a_charge_in_doubt_is_repeated_byte_for_byte(owner: Owner, kassa: Simulator) -> None:
    await owner.buys()
    kassa.fault("500", path="/payments", times=1)
    with pytest.raises(ProviderUnavailable):
        await owner.is_charged()
    waiting = await owner.is_charged()
    assert waiting is not None
    assert waiting.method_id is not None
    assert waiting.method_id in waiting.request_body


async def test_support_repeats_what_a_charge_has_come_to_while_it_holds(
    owner: Owner, witness: Witness
) -> None:
    await owner.buys()
    await owner.changes_card(card=NO_MONEY)
    poor = await owner.is_charged()
    assert poor is not None
    settings = owner.buyer.settings
    await resend(settings, poor.id, who="vera")
    told = await queued(witness, "payments.charge_declined")
    assert told == [{"order_id": poor.id, "reason": "insufficient_funds"}] * 2
    await owner.changes_card(card=EXPIRED)
    dead = await owner.is_charged(1)
    assert dead is not None
    await resend(settings, dead.id, who="vera")
    ended = await queued(witness, "payments.autopay_ended")
    assert ended == [{"tenant_id": owner.tenant, "reason": "card_expired"}] * 2
    await owner.buys()
    for order in (poor, dead):
        with pytest.raises(Conflict, match="is paid by now"):
            await resend(settings, order.id, who="vera")
    assert len(await queued(witness, "payments.charge_declined")) == 2


async def test_a_charge_that_was_declined_is_found_by_its_card(
    owner: Owner, capsys: pytest.CaptureFixture[str]
) -> None:
    await owner.buys()
    await owner.changes_card(card=NO_MONEY)
    order = await owner.is_charged()
    assert order is not None
    capsys.readouterr()
    await orders.find(owner.buyer.settings, NO_MONEY[-4:], 50, as_json=True)
    assert [one["order_id"] for one in json.loads(capsys.readouterr().out)] == [order.id]


async def test_the_operator_sees_autopay_and_what_comes_next(
    owner: Owner, witness: Witness, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = owner.buyer.settings
    await owner.buys()
    capsys.readouterr()
    await tenants.show(shop, owner.tenant)
    shown = capsys.readouterr().out
    paid = await owner.paid()
    assert "plan\t1m\n" in shown
    assert f"autopay\ton\nnext charge\t{paid.paid_until:%Y-%m-}" in shown
    assert "299.00 ₽" in shown
    await tenants.show_all(shop, None)
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[-3:-1] for row in rows] == [["plan", "autopay"], ["1m", "on"], ["-", "off"]]
    await witness.execute("UPDATE shared.saved_methods SET agreed_amount = 100")
    await tenants.show(shop, owner.tenant)
    assert "autopay\twill not charge: see history\n" in capsys.readouterr().out


async def test_a_race_of_charges_and_of_the_tap_that_ends_them(
    owner: Owner, witness: Witness, kassa: Simulator
) -> None:
    """After the tap is answered nothing is asked of YooKassa that was not before it.

    Two workers may send the same request: its key makes it one.
    """
    chance = random.Random(SEED)  # noqa: S311 - a test's dice
    before = len(charges_asked(kassa))
    for _ in range(ROUNDS):
        await owner.buys()
        asked = await _races(owner, witness, chance)
        rows = await witness.fetch(ASKED)
        assert [row[0] for row in rows] == asked
        assert await owner.method() is None
        late = await owner.is_charged()
        assert late is None or late.status is Status.CANCELED  # made, and dropped unasked
        assert set(charges_asked(kassa)[before:]) == set(asked)
    outcomes = await witness.fetchval(
        "SELECT count(*) FROM shared.orders WHERE charge_key IS NOT NULL AND status = 'paid'"
    )
    assert 0 < outcomes < ROUNDS, f"seed {SEED} shows one outcome only"


async def _races(owner: Owner, witness: Witness, chance: random.Random) -> list[str]:
    """Run the same attempt six times beside the tap; return what was asked for when it ended."""
    shop, job = owner.buyer, Charge(owner.tenant, (await owner.paid()).paid_until, 0)

    async def works(delay: float) -> None:
        await asyncio.sleep(delay)
        await charge(shop.database, shop.provider, shop.settings, job, now())

    async def taps(delay: float) -> list[str]:
        await asyncio.sleep(delay)
        async with shop.database.shared() as conn:
            await methods.end(conn, owner.tenant, "owner", by="owner", now=now())
        return [row[0] for row in await witness.fetch(ASKED)]

    tap = asyncio.create_task(taps(chance.uniform(0, 0.03)))
    await asyncio.gather(*(works(chance.uniform(0, 0.03)) for _ in range(WORKERS)))
    asked = await tap
    for row in await witness.fetch(
        "SELECT payment_id FROM shared.orders WHERE charge_key IS NOT NULL AND status = 'pending'"
    ):
        await owner.settles(row[0])
    return asked
