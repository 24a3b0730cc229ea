"""Telegram Stars: one more way to pay an order in the sales bot, off by default."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from aiogram.types import LabeledPrice
from house import Buyer, House, found
from simulator import Json
from telegram_bots import until

from zapisano.bots.sales.buttons import Stars, button
from zapisano.bots.screens import keyboard
from zapisano.bots.stars import TelegramStars
from zapisano.payments import (
    OrderClosed,
    OrderId,
    PlanOrder,
    Poll,
    ProviderRefused,
    Settle,
    UnknownPayment,
    create_stars_order,
    refund_stars,
    retry_order,
    start_payment,
)
from zapisano.settings import Settings


@pytest.fixture
def is_on() -> bool:
    return True


@pytest.fixture
def settings(settings: Settings, is_on: bool) -> Settings:
    """The operator has switched Stars on, or has left them off."""
    return settings.model_copy(update={"telegram_stars": True}) if is_on else settings


def now() -> datetime:
    return datetime.now(UTC)


async def asks_for_invoice(buyer: Buyer, company: str = "Ромашка") -> tuple[str, Json]:
    """Go to the screen with the sum, choose Stars; return the order in roubles and the invoice."""
    order_id = await buyer.orders(company)
    return order_id, await presses_stars(buyer, company)


async def presses_stars(buyer: Buyer, company: str) -> Json:
    message, tapped = await buyer.sees("Оплатить 250 ⭐", under=company)
    await buyer.phone.press(buyer.sales, message["message_id"], tapped["callback_data"])

    async def look() -> Json | None:
        said = await buyer.phone.answers(buyer.sales)
        after = [m for m in said if m["message_id"] > message["message_id"] and m["invoice"]]
        return after[-1] if after else None

    return await found(look, "the invoice")


async def pays(buyer: Buyer, invoice: Json) -> Json:
    wish = {"message_id": invoice["message_id"]}
    return await buyer.phone.post(buyer.sales, "/payments", wish)


async def in_stars(house: House, instead_of: str) -> Json:
    row = await house.witness.fetchrow(
        """SELECT id, status, provider, currency, amount, payment_id, tenant_id, requested_at,
               refunded FROM shared.orders WHERE instead_of = $1""",
        instead_of,
    )
    assert row is not None
    return dict(row)


async def days(house: House) -> list[tuple[str, int]]:
    rows = await house.witness.fetch("SELECT tenant_id, days FROM shared.day_grants ORDER BY days")
    return [(row["tenant_id"], row["days"]) for row in rows]


async def test_an_order_is_paid_in_stars_and_becomes_a_bot(house: House, buyer: Buyer) -> None:
    base, invoice = await asks_for_invoice(buyer)
    assert invoice["invoice"]["title"] == "1 месяц"
    assert invoice["invoice"]["total_amount"] == 250
    assert "«Ромашка», 30 дней" in invoice["invoice"]["description"]
    assert await pays(buyer, invoice) == {"ok": True, "error_message": None}
    await buyer.hears("Оплата получена")
    await buyer.offer()
    order = await in_stars(house, base)
    assert (order["status"], order["provider"], order["currency"]) == ("paid", "stars", "XTR")
    assert order["amount"] == 250
    assert order["payment_id"].startswith("stx")
    assert await days(house) == [(order["tenant_id"], 30)]
    assert await house.witness.fetchval("SELECT count(*) FROM shared.reviews") == 0
    polls = "SELECT count(*) FROM shared.due WHERE kind = 'payments.poll'"
    assert await house.witness.fetchval(polls) == 0
    with pytest.raises(OrderClosed):  # its other is paid: YooKassa is not asked
        await start_payment(house.database, house.parts.provider, OrderId(base), now())
    with pytest.raises(OrderClosed):
        await start_payment(house.database, house.parts.provider, order["id"], now())


async def test_the_button_pressed_again_is_the_same_order(house: House, buyer: Buyer) -> None:
    base, first = await asks_for_invoice(buyer)
    message, tapped = await buyer.sees("Оплатить 250 ⭐")
    await buyer.phone.press(buyer.sales, message["message_id"], tapped["callback_data"])

    async def look() -> Json | None:
        said = [m for m in await buyer.phone.answers(buyer.sales) if m["invoice"]]
        return said[1] if len(said) > 1 else None

    again = await found(look, "a second invoice")
    assert (await pays(buyer, first))["ok"]
    await buyer.hears("Оплата получена")
    refused = await pays(buyer, again)
    assert not refused["ok"]
    assert "уже оплачен" in refused["error_message"]
    await house.idle()
    assert len(await days(house)) == 1
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders") == 2
    tap = await buyer.phone.press(buyer.sales, message["message_id"], tapped["callback_data"])
    assert "уже оплачен" in tap["text"]
    assert (await in_stars(house, base))["status"] == "paid"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            "UPDATE shared.orders SET status = 'canceled' WHERE provider = 'stars'",
            "уже оплачен или закрыт",
        ),
        ("UPDATE shared.orders SET amount = 251 WHERE provider = 'stars'", "недействителен"),
        (
            "UPDATE shared.orders SET buyer_id = buyer_id + 1 WHERE provider = 'stars'",
            "недействителен",
        ),
        ("UPDATE shared.orders SET plan = '2w' WHERE provider = 'stars'", "не принимаем"),
    ],
)
async def test_what_does_not_fit_is_refused_before_any_stars_are_taken(
    house: House, buyer: Buyer, change: str, words: str
) -> None:
    base, invoice = await asks_for_invoice(buyer)
    await house.witness.execute(change)
    answer = await pays(buyer, invoice)
    assert not answer["ok"]
    assert words in answer["error_message"]
    assert "Ничего не списано" in answer["error_message"]
    await house.idle()
    assert (await in_stars(house, base))["requested_at"] is None
    assert await days(house) == []


async def test_two_tries_of_one_order_take_stars_once(house: House, buyer: Buyer) -> None:
    """The second question comes before the news of the first payment."""
    base, invoice = await asks_for_invoice(buyer)
    await house.witness.execute(
        """UPDATE shared.orders SET requested_at = now(), idempotence_key = 'stars-another'
           WHERE instead_of = $1""",
        base,
    )
    answer = await pays(buyer, invoice)
    assert not answer["ok"]
    assert "уже оплачивается" in answer["error_message"]
    await house.witness.execute(
        """UPDATE shared.orders SET requested_at = now() - interval '6 minutes'
           WHERE instead_of = $1""",
        base,
    )
    assert (await pays(buyer, invoice))["ok"]
    await buyer.hears("Оплата получена")


async def test_a_payment_told_twice_counts_once(house: House, buyer: Buyer) -> None:
    base, invoice = await asks_for_invoice(buyer)
    await pays(buyer, invoice)
    await buyer.hears("Оплата получена")
    order = await in_stars(house, base)
    await tells(house, buyer, order["payment_id"], order["id"])
    await house.idle()
    assert await days(house) == [(order["tenant_id"], 30)]
    assert await house.witness.fetchval("SELECT count(*) FROM shared.reviews") == 0


async def test_a_second_charge_of_one_order_waits_for_a_person(house: House, buyer: Buyer) -> None:
    base, invoice = await asks_for_invoice(buyer)
    await pays(buyer, invoice)
    await buyer.hears("Оплата получена")
    await tells(house, buyer, "stx-another", (await in_stars(house, base))["id"])
    await buyer.hears("Человек уже разбирается")
    row = await house.witness.fetchrow("SELECT payment_id, reason FROM shared.reviews")
    assert row is not None
    assert tuple(row) == ("stx-another", "other payment")
    assert len(await days(house)) == 1


async def tells(house: House, buyer: Buyer, charge: str, payload: object) -> None:
    """Let Telegram's word about a payment come (once more) as an update of its own."""
    row = await house.witness.fetchrow(
        "SELECT path, secret FROM shared.bots WHERE bot_id = $1", buyer.sales
    )
    assert row is not None
    person = {"id": buyer.phone.person, "is_bot": False, "first_name": "Вера"}
    paid = {
        "currency": "XTR",
        "total_amount": 250,
        "invoice_payload": str(payload),
        "telegram_payment_charge_id": charge,
        "provider_payment_charge_id": "",
    }
    chat = {"id": buyer.phone.person, "type": "private"}
    message = {"message_id": 990, "date": 1, "chat": chat, "from": person}
    update = {"update_id": 2**50, "message": message | {"successful_payment": paid}}
    answer = await buyer.phone.client.post(
        f"{house.settings.webhook_url}/telegram/{row['path']}",
        json=update,
        headers={"X-Telegram-Bot-Api-Secret-Token": row["secret"]},
    )
    assert answer.status_code == 200


async def test_lost_news_is_found_by_the_poll(house: House, buyer: Buyer) -> None:
    base, invoice = await asks_for_invoice(buyer)
    await loses_the_news(house, buyer, invoice)
    order = await in_stars(house, base)
    assert order["status"] == "created"
    due = "SELECT count(*) FROM shared.due WHERE kind = 'payments.poll' AND subject = $1"
    assert await house.witness.fetchval(due, str(order["id"])) == 1
    await house.do(Poll(str(order["id"])))
    await buyer.hears("Оплата получена")
    order = await in_stars(house, base)
    assert order["status"] == "paid"
    assert await days(house) == [(order["tenant_id"], 30)]


async def loses_the_news(house: House, buyer: Buyer, invoice: Json) -> None:
    """Pay while Telegram tells the sales bot of no message: its word never comes."""
    bot, row = await house.parts.bots.sales()
    url = f"{house.settings.webhook_url}/telegram/{row.path}"
    heard = ["callback_query", "pre_checkout_query"]
    await bot.set_webhook(url, secret_token=row.secret, allowed_updates=heard)
    assert (await pays(buyer, invoice))["ok"]
    await house.idle()


async def test_a_payment_that_never_came_is_not_asked_after_for_ever(
    house: House, buyer: Buyer
) -> None:
    base, _ = await asks_for_invoice(buyer)
    order_id = (await in_stars(house, base))["id"]
    await house.witness.execute(
        "UPDATE shared.orders SET requested_at = now() - interval '3 hours' WHERE id = $1", order_id
    )
    await house.do(Poll(str(order_id)))

    async def over() -> bool:
        return (await in_stars(house, base))["requested_at"] is None

    await until(over, "the search is over")
    due = "SELECT count(*) FROM shared.due WHERE kind = 'payments.poll'"
    assert await house.witness.fetchval(due) == 0
    assert (await in_stars(house, base))["status"] == "created"  # and may be paid again


async def test_paid_in_both_ways_counts_in_full_for_one_business(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    other, _ = await asks_for_invoice(another_buyer, "Василёк")
    base, invoice = await asks_for_invoice(buyer)
    payment_id = await house.starts(base)
    assert (await pays(buyer, invoice))["ok"]
    await buyer.hears("Оплата получена")
    await house.pays(payment_id)
    await buyer.hears("продлено до")
    tenant = (await in_stars(house, base))["tenant_id"]
    assert await days(house) == [(tenant, 30), (tenant, 30)]
    assert await house.witness.fetchval("SELECT count(*) FROM shared.tenants") == 1
    assert await house.witness.fetchval("SELECT count(*) FROM shared.reviews") == 0
    assert (await in_stars(house, other))["status"] == "created"


async def test_paid_in_stars_and_by_a_second_try_in_roubles_is_one_business(
    house: House, buyer: Buyer
) -> None:
    base, invoice = await asks_for_invoice(buyer)
    first = await house.starts(base)
    house.simulator.post(
        "/yookassa/control/fail", {"payment_id": first, "reason": "general_decline"}
    )
    await house.do(Settle(first))
    await house.idle()
    async with house.database.shared() as conn:
        again = await retry_order(conn, house.settings, OrderId(base), now())
    assert again.retry_of == base
    second = await house.starts(again.id)
    assert (await pays(buyer, invoice))["ok"]
    await buyer.hears("Оплата получена")
    await house.pays(second)
    await buyer.hears("продлено до")
    tenant = (await in_stars(house, base))["tenant_id"]
    assert await days(house) == [(tenant, 30), (tenant, 30)]
    assert await house.witness.fetchval("SELECT count(*) FROM shared.tenants") == 1


async def test_stars_are_given_back_whole_and_the_days_go(house: House, buyer: Buyer) -> None:
    base, invoice = await asks_for_invoice(buyer)
    await pays(buyer, invoice)
    await buyer.hears("Оплата получена")
    await house.idle()
    order = await in_stars(house, base)
    till = TelegramStars(house.parts.bots)
    assert await gives_back(house, order)
    assert not await gives_back(house, order)
    await house.idle()
    order = await in_stars(house, base)
    assert (order["status"], order["refunded"]) == ("paid", 250)
    taken, given = await days(house)
    assert given == (order["tenant_id"], 30)
    assert taken in {(order["tenant_id"], -29), (order["tenant_id"], -30)}  # a day begun stays
    kinds = "SELECT count(*) FROM shared.journal WHERE kind = 'refund.succeeded'"
    assert await house.witness.fetchval(kinds) == 1
    with pytest.raises(ProviderRefused):
        await till.refund(buyer.phone.person, "stx-nothing")
    charged = [one async for one in till.list_payments(now() - timedelta(hours=1), now())]
    assert order["payment_id"] in [one.id for one in charged]
    assert (await till.get_payment(order["payment_id"])).refunded == 250
    with pytest.raises(UnknownPayment):
        await till.get_payment("stx-nothing")


async def gives_back(house: House, order: Json) -> bool:
    return await refund_stars(
        house.database,
        house.settings,
        TelegramStars(house.parts.bots),
        order_id=OrderId(str(order["id"])),
        payment_id=order["payment_id"],
        by="operator",
        now=now(),
    )


async def test_stars_given_back_by_telegram_itself_take_their_days_too(
    house: House, buyer: Buyer
) -> None:
    base, invoice = await asks_for_invoice(buyer)
    await pays(buyer, invoice)
    await buyer.hears("Оплата получена")
    order = await in_stars(house, base)
    await TelegramStars(house.parts.bots).refund(buyer.phone.person, order["payment_id"])

    async def shrunk() -> bool:
        return len(await days(house)) == 2

    await until(shrunk, "the days are taken")
    assert (await in_stars(house, base))["refunded"] == 250
    said = await buyer.phone.answers(buyer.sales)
    assert not any("Что вам показать" in message["text"] for message in said)


@pytest.mark.parametrize("is_on", [False])
async def test_off_by_default_there_is_no_button_and_no_stars_are_taken(
    house: House, buyer: Buyer
) -> None:
    """What was paid all the same, just before they were switched off, is honoured."""
    base = await buyer.orders("Ромашка")
    message, _ = await buyer.sees("Оплатить 299 ₽")
    rows = message["inline_keyboard"]
    assert "⭐" not in "".join(each["text"] for row in rows for each in row)
    assert "звёзд" not in message["text"]
    bot, _row = await house.parts.bots.sales()
    old = button("Оплатить 250 ⭐", Stars(order=base))  # of a screen from before
    shown = await bot.send_message(buyer.phone.person, "…", reply_markup=keyboard([old]))
    tap = await buyer.phone.press(buyer.sales, shown.message_id, old.callback_data or "")
    assert "не принимаем звёзды" in tap["text"]
    order = await orders_as_before(house, buyer, base)
    price = [LabeledPrice(label="1 месяц", amount=250)]
    sent = await bot.send_invoice(order.buyer_id, "1 месяц", "Бот", order.id, "XTR", price)
    answer = await pays(buyer, {"message_id": sent.message_id})
    assert not answer["ok"]
    assert "не принимаем звёзды" in answer["error_message"]
    assert await days(house) == []
    await tells(house, buyer, "stx-before", order.id)
    await buyer.hears("Оплата получена")
    assert len(await days(house)) == 1


async def orders_as_before(house: House, buyer: Buyer, base: str) -> PlanOrder:
    """Make the order in Stars that was made while they were on."""
    on = house.settings.model_copy(update={"telegram_stars": True})
    async with house.database.shared() as conn:
        return await create_stars_order(
            conn,
            on,
            instead_of=base,
            order_id=OrderId(str(uuid4())),
            buyer_id=buyer.phone.person,
            now=now(),
        )
