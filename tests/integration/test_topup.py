"""Credits for money against the simulated YooKassa: one order like others, credited once."""

import asyncio
import json
import uuid
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from integration.payments_fixtures import (
    DECLINED_CARD,
    Witness,
    browsing,
    kassa,
    now,
    provider,
    reasons,
    serving,
    settings,
    shared_kassa,
    shop_settings,
    until,
    working,
)
from integration.topup_fixtures import (
    ANNA,
    BORIS,
    Payer,
    payer,
    sums_to_zero,
    told_in_telegram,
    topups,
)
from integration.yookassa_fixtures import order
from zapisano.app import create_api, create_webhook
from zapisano.credits import keys
from zapisano.credits import ledger as credit_ledger
from zapisano.credits.keys import Scope
from zapisano.credits.model import AccountFrozen, Item, KeyReused, Rules, TooMuch, Verb
from zapisano.db import Database
from zapisano.db.chains import apply, render
from zapisano.errors import Refused
from zapisano.payments import (
    Outcome,
    ProviderUnavailable,
    Status,
    TopupsOff,
    UnknownOrder,
    create_order,
    poll,
    retry_order,
)

__all__ = ["kassa", "payer", "provider", "settings", "shared_kassa"]
FREEZE = "UPDATE public.user_balances SET frozen = $2 WHERE email = $1"


async def test_money_becomes_credits(payer: Payer, witness: Witness) -> None:
    asked = await payer.asks("500")
    assert (asked.status, asked.amount, asked.credits) == (Status.PENDING, 500, 500)
    assert asked.confirmation_url is not None
    assert asked.payment_id is not None
    assert (await payer.account()).balance == Decimal("50.00")
    payer.kassa.control("pay", {"payment_id": asked.payment_id})
    at = now()
    assert await payer.settles(asked.payment_id, at) is Outcome.PAID
    paid = await payer.status(asked.id)
    assert (paid.status, paid.paid_at) == (Status.PAID, at)
    assert (await payer.account()).balance == Decimal("550.00")
    row = await witness.fetchrow(
        """SELECT counter, amount, operation, key, metadata::text FROM credits.postings
           WHERE kind = 'topup'"""
    )
    assert row is not None
    assert tuple(row)[:4] == (-3, Decimal("500.00"), "Top-up", f"topup {asked.payment_id}")
    assert json.loads(row["metadata"]) == {
        "order": asked.id,
        "payment": asked.payment_id,
        "roubles": "500.00",
    }
    assert await sums_to_zero(witness)
    assert await told_in_telegram(witness) == 0
    assert await witness.fetchval("SELECT count(*) FROM shared.due") == 0


async def test_the_journal_tells_it_without_the_address(payer: Payer, witness: Witness) -> None:
    _, payment_id = await payer.pays()
    await payer.settles(payment_id)
    rows = await witness.fetch("SELECT kind, data::text FROM shared.journal ORDER BY id")
    assert [row["kind"] for row in rows] == ["order.created", "payment.created", "payment.settled"]
    assert json.loads(rows[-1]["data"])["credits"] == "500.00"
    assert not any(ANNA in row["data"] for row in rows)


async def test_the_frozen_request_is_what_the_provider_gets(payer: Payer) -> None:
    asked = await payer.asks("499.50", language="en")
    calls = [one for one in payer.kassa.log()["calls"] if one["key"] == asked.idempotence_key]
    assert [one["body"] for one in calls] == [asked.request_body]
    body = json.loads(asked.request_body)
    assert body["amount"] == {"value": "499.50", "currency": "RUB"}
    assert body["capture"] is True
    assert body["description"] == f"Записано: кредиты (499.50) на счёт {ANNA}"
    assert body["metadata"] == {"order_id": asked.id, "credits": "499.50"}
    assert body["confirmation"]["return_url"].endswith(f"/checkout/{asked.id}/return")
    assert body["confirmation"]["locale"] == "en_US"


async def test_everybody_at_once_is_one_credit(payer: Payer, witness: Witness) -> None:
    """Ten notifications, the poller, the return page and the app, at one instant."""
    asked, payment_id = await payer.pays()
    news = {"type": "notification", "event": "payment.succeeded", "object": {"id": payment_id}}
    async with (
        serving(create_webhook(payer.settings, payer.database)) as webhook,
        serving(create_api(payer.settings, payer.database)) as api,
        browsing(webhook) as yookassa,
        browsing(api) as browser,
        working(payer.database, payer.provider, payer.settings),
    ):
        answers = await asyncio.gather(
            browser.get(f"/checkout/{asked.id}/return"),
            *(yookassa.post("/webhook/yookassa", json=news) for _ in range(10)),
        )
        assert {answer.status_code for answer in answers} == {200}
        await asyncio.gather(
            poll(payer.database, payer.provider, payer.settings, asked.id, now()),
            *(payer.settles(payment_id) for _ in range(3)),
            *(payer.status(asked.id) for _ in range(3)),
        )
        await until(lambda: nothing_left(witness))
        late = await yookassa.post("/webhook/yookassa", json=news)
        assert late.status_code == 200
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]
    assert (await payer.account()).balance == Decimal("550.00")
    assert await told_in_telegram(witness) == 0
    assert await reasons(witness) == []


async def nothing_left(witness: Witness) -> bool:
    left: int = await witness.fetchval(
        "SELECT (SELECT count(*) FROM shared.due) + (SELECT count(*) FROM shared.pgqueuer)"
    )
    return not left


async def test_with_every_notification_lost_the_poller_credits(
    payer: Payer, witness: Witness
) -> None:
    asked, _ = await payer.pays()
    await poll(payer.database, payer.provider, payer.settings, asked.id, now())
    assert (await payer.order(asked.id)).status is Status.PAID
    await poll(payer.database, payer.provider, payer.settings, asked.id, now())
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]


async def test_different_top_ups_add_up(payer: Payer, witness: Witness) -> None:
    paid = [await payer.pays(amount) for amount in ("10", "20.5", "300.25", "4000")]
    await asyncio.gather(*(payer.settles(payment_id) for _, payment_id in paid * 3))
    assert (await payer.account()).balance == Decimal("4380.75")
    assert len(await topups(witness)) == 4
    assert await sums_to_zero(witness)


async def test_a_first_visit_that_pays_still_gets_its_opening_credits(payer: Payer) -> None:
    _, payment_id = await payer.pays(email="new@example.ru")
    await payer.settles(payment_id)
    assert (await payer.account("new@example.ru")).balance == Decimal("550.00")


async def test_the_same_key_is_the_same_payment(payer: Payer, witness: Witness) -> None:
    answers = await asyncio.gather(*(payer.asks("500", key="once") for _ in range(8)))
    assert len({(one.id, one.payment_id, one.confirmation_url) for one in answers}) == 1
    (made,) = await witness.fetch("SELECT id::text FROM shared.orders")
    assert made["id"] == answers[0].id
    theirs = [
        one for one in payer.kassa.payments() if one["metadata"].get("order_id") == made["id"]
    ]
    assert len(theirs) == 1
    await payer.pays("500.00", key="once")
    await payer.settles(theirs[0]["id"])
    after = await payer.asks("500", key="once")
    assert (after.id, after.status) == (made["id"], Status.PAID)
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]


async def test_a_key_names_one_request_of_one_address(payer: Payer) -> None:
    first = await payer.asks("500", key="once")
    with pytest.raises(KeyReused):
        await payer.asks("501", key="once")
    assert (await payer.asks("500", key="twice")).id != first.id
    assert (await payer.asks("500", email="other@example.ru", key="once")).id != first.id
    assert len({(await payer.asks("500")).id for _ in range(2)} | {first.id}) == 3


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "a\0b"])
async def test_a_key_that_cannot_be_kept_is_refused(payer: Payer, key: str) -> None:
    with pytest.raises(Refused, match=r"^Idempotency-Key: "):
        await payer.asks("500", key=key)


@pytest.mark.parametrize(
    "amount",
    ["0", "-100", "9.99", "100000.01", "10.001", "NaN", "sNaN", "Infinity", "1e400", "1e-400"],
)
async def test_a_sum_that_is_not_sold_is_refused(
    payer: Payer, witness: Witness, amount: str
) -> None:
    with pytest.raises(Refused, match=r"^amount: "):
        await payer.asks(amount)
    assert await witness.fetchval("SELECT count(*) FROM shared.orders") == 0


async def test_credits_are_rounded_down_once_and_frozen_in_the_order(
    payer: Payer, witness: Witness
) -> None:
    third = shop_settings(payer.settings, payer.kassa, credits_per_rouble=Decimal("0.3333"))
    here = Payer(payer.database, third, payer.provider, payer.kassa)
    asked, payment_id = await here.pays("10.01")
    assert asked.credits == Decimal("3.33")
    assert await payer.settles(payment_id) is Outcome.PAID  # at another rate meanwhile
    assert await topups(witness) == [(ANNA, Decimal("3.33"))]
    little = shop_settings(payer.settings, payer.kassa, credits_per_rouble=Decimal("0.0001"))
    with pytest.raises(Refused, match="buys less than"):
        await Payer(payer.database, little, payer.provider, payer.kassa).asks("10")


@pytest.mark.parametrize("fault", ["500_after_create", "reset"])
async def test_an_unknown_outcome_is_asked_again_and_is_one_payment(
    payer: Payer, fault: str
) -> None:
    payer.kassa.fault(fault, path="/payments")
    with pytest.raises(ProviderUnavailable):
        await payer.asks("500", key="once")
    asked = await payer.asks("500", key="once")
    theirs = [one for one in payer.kassa.payments() if one["metadata"].get("order_id") == asked.id]
    assert [one["id"] for one in theirs] == [asked.payment_id]


async def test_a_declined_card_credits_nothing_and_paying_again_credits_once(
    payer: Payer, witness: Witness
) -> None:
    asked = await payer.asks("500", key="once")
    payer.kassa.control("pay", {"payment_id": asked.payment_id, "card": DECLINED_CARD})
    assert asked.payment_id is not None
    for _ in range(2):
        assert await payer.settles(asked.payment_id) is Outcome.CANCELED
    told = await payer.status(asked.id)
    assert (told.status, told.cancel_reason) == (Status.CANCELED, "insufficient_funds")
    assert (await payer.asks("500", key="once")).status is Status.CANCELED
    assert (await payer.asks("500", key="another")).is_open
    assert await told_in_telegram(witness) == 0

    async with payer.database.shared() as conn:
        again = await retry_order(conn, payer.settings, asked.id, now())
    assert (again.amount, again.retry_of) == (asked.amount, asked.id)
    assert (await payer.status(asked.id)).id == again.id  # the app's own id leads on
    with pytest.raises(UnknownOrder):
        await payer.status(asked.id, email=BORIS)
    async with serving(create_api(payer.settings, payer.database)) as url, browsing(url) as client:
        assert (await client.post(f"/checkout/{asked.id}/pay")).status_code == 303
    payment_id = (await payer.order(again.id)).payment_id
    assert payment_id is not None
    payer.kassa.control("pay", {"payment_id": payment_id})
    await payer.settles(payment_id)
    assert (await payer.status(asked.id)).status is Status.PAID
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]


async def test_a_canceled_top_up_is_shown_with_nowhere_to_pay(
    payer: Payer, witness: Witness
) -> None:
    asked = await payer.asks("500")
    async with payer.database.shared() as conn:
        key = await keys.create(conn, name="app", scopes=[Scope.READ], now=now())
    of_key = {"Authorization": f"Bearer {key.whole}"}
    async with serving(create_api(payer.settings, payer.database)) as url, browsing(url) as client:
        path = f"/api/billing/topup/{asked.id}?email={ANNA}"
        before = (await client.get(path, headers=of_key)).json()
        await witness.execute("UPDATE shared.orders SET status = 'canceled'")
        after = (await client.get(path, headers=of_key)).json()
    assert (before["status"], before["confirmationUrl"]) == ("pending", asked.confirmation_url)
    assert (after["status"], after["confirmationUrl"]) == ("canceled", None)


async def test_late_money_for_a_canceled_order_is_looked_at(payer: Payer, witness: Witness) -> None:
    asked, payment_id = await payer.pays()
    await witness.execute("UPDATE shared.orders SET status = 'canceled' WHERE id = $1", asked.id)
    assert await payer.settles(payment_id) is Outcome.REVIEW
    assert await reasons(witness) == ["succeeded after canceled"]
    assert await topups(witness) == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("UPDATE shared.orders SET amount = 500.01 WHERE id = $1", "amount"),
        ("UPDATE shared.orders SET payment_id = 'other' WHERE id = $1", "other payment"),
    ],
)
async def test_a_wrong_fact_credits_nothing(
    payer: Payer, witness: Witness, spoil: str, reason: str
) -> None:
    asked, payment_id = await payer.pays()
    await witness.execute(spoil, asked.id)
    assert await payer.settles(payment_id) is Outcome.REVIEW
    assert await reasons(witness) == [reason]
    assert await topups(witness) == []
    assert (await payer.account()).balance == Decimal("50.00")


async def test_a_forgery_credits_nothing(payer: Payer, witness: Witness) -> None:
    asked = await payer.asks()
    assert await payer.settles(str(uuid.uuid4())) is Outcome.UNKNOWN
    body = order(metadata={"order_id": asked.id, "credits": "99999.00"})
    stranger: str = payer.kassa.post("/payments", body, str(uuid.uuid4())).json()["id"]
    payer.kassa.control("pay", {"payment_id": stranger})
    assert await payer.settles(stranger) is Outcome.REVIEW
    assert await topups(witness) == []
    payer.kassa.control("pay", {"payment_id": asked.payment_id})
    assert await payer.settles(asked.payment_id or "") is Outcome.PAID  # and it blocks nobody
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]


async def test_news_before_the_money_is_there_credits_nothing(
    payer: Payer, witness: Witness
) -> None:
    asked = await payer.asks()
    assert await payer.settles(asked.payment_id or "") is Outcome.WAITING
    assert await topups(witness) == []


async def test_money_order_and_posting_commit_together_or_not_at_all(
    payer: Payer, witness: Witness
) -> None:
    asked, payment_id = await payer.pays()
    await witness.execute(
        """CREATE FUNCTION shared.fail() RETURNS trigger LANGUAGE plpgsql AS $$
           BEGIN RAISE EXCEPTION 'the last step fails'; END $$;
           CREATE TRIGGER fail BEFORE INSERT ON shared.journal FOR EACH ROW
           WHEN (NEW.kind = 'payment.settled') EXECUTE FUNCTION shared.fail()"""
    )
    with pytest.raises(asyncpg.RaiseError):
        await payer.settles(payment_id)
    assert await topups(witness) == []
    assert (await payer.order(asked.id)).status is Status.PENDING
    await witness.execute("DROP TRIGGER fail ON shared.journal")
    assert await payer.settles(payment_id) is Outcome.PAID
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]


async def test_a_frozen_account_is_sold_nothing(payer: Payer, witness: Witness) -> None:
    await payer.account()
    await witness.execute(FREEZE, ANNA, "the address clashes")
    with pytest.raises(AccountFrozen):
        await payer.asks()
    assert await witness.fetchval("SELECT count(*) FROM shared.orders") == 0


async def test_money_for_an_account_frozen_meanwhile_waits_for_a_person(
    payer: Payer, witness: Witness
) -> None:
    asked, payment_id = await payer.pays()
    await witness.execute(FREEZE, ANNA, "the address clashes")
    for _ in range(2):
        assert await payer.settles(payment_id) is Outcome.REVIEW
    assert (await payer.order(asked.id)).status is Status.REVIEW
    assert await reasons(witness) == ["account is frozen"]
    assert await topups(witness) == []
    assert await witness.fetchval("SELECT count(*) FROM shared.due") == 0
    # The operator decides and asks again: the same door, and the review is closed.
    await witness.execute(FREEZE, ANNA, None)
    assert await payer.settles(payment_id) is Outcome.PAID
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]
    assert await reasons(witness) == []


async def test_money_without_a_ledger_waits_for_a_person(payer: Payer, witness: Witness) -> None:
    asked, payment_id = await payer.pays()
    await witness.execute("ALTER SCHEMA credits RENAME TO put_away")
    assert await payer.settles(payment_id) is Outcome.REVIEW
    assert await reasons(witness) == ["no ledger of credits"]
    await witness.execute("ALTER SCHEMA put_away RENAME TO credits")
    assert await payer.settles(payment_id) is Outcome.PAID
    assert (await payer.order(asked.id)).status is Status.PAID
    assert await topups(witness) == [(ANNA, Decimal("500.00"))]


async def test_an_account_that_would_hold_too_much_is_sold_nothing(
    payer: Payer, witness: Witness
) -> None:
    asked, payment_id = await payer.pays("100")
    await gives(payer, "99999949.99")
    with pytest.raises(TooMuch):
        await payer.asks("100")
    assert await payer.settles(payment_id) is Outcome.REVIEW
    assert await reasons(witness) == ["account holds too much"]
    assert (await payer.order(asked.id)).status is Status.REVIEW


async def gives(payer: Payer, amount: str, key: str | None = None) -> None:
    item = Item(ANNA, Verb.GRANT, Decimal(amount), operation="Gift", key=key)
    async with payer.database.statements() as conn:
        await credit_ledger.post(conn, Rules.of(payer.settings), item, now())


async def test_a_posting_that_has_taken_the_payments_key_is_looked_at(
    payer: Payer, witness: Witness
) -> None:
    _, payment_id = await payer.pays()
    await gives(payer, "1.00", key=f"topup {payment_id}")
    assert await payer.settles(payment_id) is Outcome.REVIEW
    assert await reasons(witness) == ["key of another posting"]
    assert await topups(witness) == []


async def test_nothing_is_sold_without_shop_ledger_or_orders(
    payer: Payer, witness: Witness
) -> None:
    shopless = shop_settings(payer.settings, payer.kassa, yookassa_shop_id="")
    with pytest.raises(TopupsOff):
        await Payer(payer.database, shopless, payer.provider, payer.kassa).asks()
    await witness.execute("ALTER SCHEMA credits RENAME TO put_away")
    with pytest.raises(TopupsOff):
        await payer.asks()
    await witness.execute("ALTER SCHEMA put_away RENAME TO credits")
    await witness.execute("ALTER TABLE shared.orders RENAME TO put_away")  # credits stand alone
    with pytest.raises(TopupsOff):
        await payer.asks()
    with pytest.raises(UnknownOrder):
        await payer.status(str(uuid.uuid4()))


async def test_the_state_is_told_to_its_own_address_only(payer: Payer, witness: Witness) -> None:
    asked = await payer.asks()
    for email, named in ((BORIS, asked.id), (ANNA, str(uuid.uuid4())), (ANNA, "1"), (ANNA, "")):
        with pytest.raises(UnknownOrder):
            await payer.status(named, email=email)
    async with payer.database.shared() as conn:
        plan = await create_order(
            conn,
            payer.settings,
            buyer_id=1,
            language="ru",
            company_name="Салон",
            plan="1m",
            now=now(),
        )
    with pytest.raises(UnknownOrder):
        await payer.status(plan.id)


async def test_asking_for_the_state_has_the_payment_looked_up_once_a_tick(
    payer: Payer, witness: Witness
) -> None:
    asked, payment_id = await payer.pays()
    for _ in range(3):
        assert (await payer.status(asked.id)).status is Status.PENDING
    due = await witness.fetch(
        "SELECT subject, payload ->> 'via' FROM shared.due WHERE kind = 'payments.settle'"
    )
    assert [tuple(row) for row in due] == [(payment_id, "status")]
    async with working(payer.database, payer.provider, payer.settings):
        await until(lambda: is_paid(payer, asked.id))
    assert (await payer.account()).balance == Decimal("550.00")


async def is_paid(payer: Payer, order_id: str) -> bool:
    return (await payer.order(order_id)).status is Status.PAID


WHOLE: dict[str, Any] = {
    "id": uuid.UUID("9b2f1f5e-64b3-4f0e-8d53-5f6c1f0e7a11"),
    "amount": Decimal("299.00"),
    "idempotence_key": "k",
    "request_body": "",
}
PLAN: dict[str, Any] = {"buyer_id": 1, "company_name": "Салон", "plan": "1m", "days": 30}
CREDITS: dict[str, Any] = {"email": ANNA, "credits": Decimal("299.00")}


@pytest.mark.parametrize("sold", [PLAN, CREDITS, CREDITS | {"request_key": "k"}])
async def test_the_table_holds_either_thing(witness: Witness, sold: dict[str, Any]) -> None:
    await keeps(witness, WHOLE | sold)


@pytest.mark.parametrize(
    "sold",
    [
        {},
        PLAN | CREDITS,
        PLAN | {"email": ANNA},
        PLAN | {"credits": Decimal(1)},
        PLAN | {"request_key": "k"},
        PLAN | {"days": None},
        PLAN | {"buyer_id": None},
        CREDITS | {"credits": None},
        CREDITS | {"credits": Decimal(0)},
        CREDITS | {"credits": Decimal("NaN")},
        CREDITS | {"email": ""},
        CREDITS | {"plan": "1m"},
        CREDITS | {"source": "legacy"},
        CREDITS | {"status": "paid"},
    ],
)
async def test_the_table_holds_nothing_half(witness: Witness, sold: dict[str, Any]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await keeps(witness, WHOLE | sold)


async def keeps(witness: Witness, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    await witness.execute(f"INSERT INTO shared.orders ({names}) VALUES ({places})", *row.values())  # noqa: S608 # names of this file


async def test_orders_from_before_stay_as_they_are(database: Database, witness: Witness) -> None:
    """The chain up to the version before, an order in it, and the rest of the chain."""
    async with database.owner() as conn:
        await conn.execute("DROP SCHEMA shared CASCADE")
        await conn.execute("CREATE SCHEMA shared")
        await apply(conn, render("shared", None, end="s0004"))
    await keeps(witness, WHOLE | PLAN | {"status": "pending", "payment_id": "p"})
    before = await witness.fetchrow("SELECT * FROM shared.orders")
    async with database.owner() as conn:
        await apply(conn, render("shared", "s0004", end="s0005"))
    after = await witness.fetchrow("SELECT * FROM shared.orders")
    assert before is not None
    assert after is not None
    assert dict(after) == dict(before) | {"email": None, "credits": None, "request_key": None}
