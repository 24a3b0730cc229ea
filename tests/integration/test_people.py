"""The trial, promo codes, invitations and the change of plan, as people meet them in the chat."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiogram.types import InlineKeyboardButton
from house import Buyer, House, journal_kinds
from telegram_bots import until

from zapisano.bots.screens import keyboard
from zapisano.errors import Conflict
from zapisano.ops.support import hand_over
from zapisano.payments import OrderWaits
from zapisano.payments.promo_model import Promo
from zapisano.payments.store import promo as promos
from zapisano.subscriptions import (
    DaysGiven,
    Gift,
    Subscription,
    accept_invitation,
    invitation,
    may_try,
    plan_at_renewal,
)
from zapisano.subscriptions import get as subscription_of
from zapisano.tenancy import TenantId

SUMMER = Promo(
    "SUMMER", 20, None, None, None, None, once_per_person=False, created_at=datetime.now(UTC)
)
FIRST = TenantId("client_001")
SECOND = TenantId("client_002")


async def paid_of(house: House, tenant: TenantId) -> Subscription:
    async with house.database.shared() as conn:
        return await subscription_of(conn, tenant)


async def days_of(house: House, tenant: TenantId) -> list[tuple[str, int]]:
    rows = await house.witness.fetch(
        "SELECT reason, days FROM shared.day_grants WHERE tenant_id = $1 ORDER BY reason", tenant
    )
    return [(row["reason"], row["days"]) for row in rows]


async def tries(buyer: Buyer, name: str) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.presses("Попробовать 14 дней бесплатно")
    await buyer.hears("14 дней бесплатно")
    await buyer.says(name)
    await buyer.hears(f"«{name}»: бесплатно до")


async def begins(house: House, buyer: Buyer, payload: str) -> None:
    """Open the sales bot by a link."""
    await buyer.phone.say(buyer.sales, f"/start {payload}")


async def test_a_trial_makes_a_bot_without_an_order(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    await tries(another_buyer, "Соседи")
    await tries(buyer, "Ромашка")
    await buyer.creates()
    bot = await house.bot_of(buyer.phone.person)
    assert bot["id"] == SECOND
    assert await days_of(house, SECOND) == [("trial", 14)]
    assert await days_of(house, FIRST) == [("trial", 14)]
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders") == 0
    paid = await paid_of(house, SECOND)
    left = paid.paid_until - datetime.now(UTC)
    assert timedelta(days=13, hours=23) < left <= timedelta(days=14)
    await buyer.says("/my")
    await buyer.hears("бесплатно до")


async def test_a_second_trial_is_refused_with_the_prices(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    old = await buyer.hears("Бот для записи")
    await buyer.says("/help")
    await buyer.hears("Как это работает")
    await buyer.phone.start(buyer.sales)

    async def greeted_again() -> bool:
        return len(await buyer.phone.answers(buyer.sales)) == 3

    await until(greeted_again, "the button is there twice")
    await buyer.presses("Попробовать")
    await buyer.hears("Карта не нужна")
    await buyer.says("Ромашка")
    await buyer.hears("Создаём бота")
    await house.idle()
    button = old["inline_keyboard"][0][0]
    await buyer.phone.press(buyer.sales, old["message_id"], button["callback_data"])
    await buyer.hears("с нами уже знакомы")
    await buyer.sees("1 месяц · 299 ₽", under="уже знакомы")
    await house.idle()
    assert await house.witness.fetchval("SELECT count(*) FROM shared.tenants") == 1
    async with house.database.shared() as conn:
        assert not await may_try(conn, buyer.phone.person)


async def test_a_trial_that_telegram_did_not_hear_of_is_one(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.presses("Попробовать")
    await buyer.hears("Карта не нужна")
    house.simulator.fail("500", method="sendMessage", bot=buyer.sales, times=2)
    await buyer.says("Ромашка")
    await buyer.hears("«Ромашка»: бесплатно до")
    await house.idle()
    assert await house.witness.fetchval("SELECT count(*) FROM shared.tenants") == 1


async def test_a_code_is_written_below_the_order(house: House, buyer: Buyer) -> None:
    async with house.database.shared() as conn:
        await promos.insert_promo(conn, SUMMER)
    order_id = await buyer.orders("Ромашка")
    await buyer.presses("У меня есть промокод")
    await buyer.hears("Напишите промокод")
    await buyer.says("WINTER")
    await buyer.hears("Такого промокода нет")
    await buyer.says(" summer ")
    message, pay = await buyer.sees("Оплатить 239,20 ₽")
    assert pay["url"].endswith(order_id)
    assert "SUMMER: вы экономите 59,80 ₽" in message["text"]
    assert "<s>299 ₽</s> 239,20 ₽" in message["html"]
    await house.pay(order_id)
    await buyer.hears("Оплата получена")


async def test_a_code_comes_by_a_link(house: House, buyer: Buyer) -> None:
    async with house.database.shared() as conn:
        await promos.insert_promo(conn, SUMMER)
    await begins(house, buyer, "promo_SUMMER")
    said = await buyer.hears("SUMMER: скидка 20 %")
    assert "Бот для записи клиентов" in said["text"], "greeted as everybody is"
    await buyer.sees("Попробовать 14 дней бесплатно", under="SUMMER")
    await buyer.presses("Выбрать тариф")
    await buyer.presses("1 месяц")
    await buyer.hears("Как называется")
    await buyer.says("Ромашка")
    await buyer.sees("Оплатить 239,20 ₽")


async def invited(house: House, host: Buyer, guest: Buyer) -> None:
    """The host buys and sends the link that the bot shows; the guest opens it."""
    await house.pay(await host.orders("Ромашка"))
    await host.hears("Оплата получена")
    await host.says("/my")
    await host.presses("Пригласить друга")
    said = await host.hears("Пригласите друга")
    payload = said["text"].partition("?start=")[2].split()[0]
    assert payload == invitation(house.settings, FIRST)
    await begins(house, guest, payload)
    await guest.hears("Вас пригласили: к первой оплате — подарок, 14 дней")


async def test_a_friend_pays_and_both_get_days(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    await invited(house, buyer, another_buyer)
    await house.pay(await another_buyer.orders("Барбершоп"))
    await buyer.hears("Ваш подарок — 14 дней")
    await another_buyer.hears("Подарок за то, что пришли по приглашению: 14 дней")
    expected = [("payment", 30), ("referral", 14)]
    assert await days_of(house, FIRST) == expected
    assert await days_of(house, SECOND) == expected
    await house.pay(await another_buyer.orders("Ещё один"))
    await house.idle()
    assert await days_of(house, FIRST) == expected
    assert await days_of(house, TenantId("client_003")) == [("payment", 30)]
    told = [m["text"] for m in await buyer.phone.answers(buyer.sales)]
    assert sum("Ваш подарок" in text for text in told) == 1
    assert (await journal_kinds(house.witness, FIRST)).count("subscription.extended") == 2


async def test_nobody_invites_oneself_nor_whoever_has_a_bot(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await house.pay(await another_buyer.orders("Барбершоп"))
    await house.idle()
    link = invitation(house.settings, FIRST)
    for person in (buyer, another_buyer):
        await begins(house, person, link)
    for forged in (link[:-1] + ("0" if link[-1] != "0" else "1"), "i_999_" + "0" * 20, "i_x"):
        await begins(house, another_buyer, forged)
    await house.idle()
    assert await house.witness.fetchval("SELECT count(*) FROM shared.invitations") == 0
    now = datetime.now(UTC)
    async with house.database.shared() as conn:
        assert not await accept_invitation(conn, FIRST, buyer.phone.person, now)
        assert not await accept_invitation(conn, TenantId("client_999"), 12345, now)


async def test_a_longer_plan_begins_now_and_the_days_are_kept(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.hears("Оплата получена")
    before = await paid_of(house, FIRST)
    await buyer.says("/my")
    await buyer.presses("Сменить тариф")
    said = await buyer.hears("Тариф «Ромашка»")
    assert "оставшиеся дни сохранятся" in said["text"]
    assert "⬇️" not in said["text"]
    await buyer.presses("⬆️ 3 месяца")
    _, pay = await buyer.sees("Оплатить 799 ₽")
    await house.pay(pay["url"].rpartition("/")[2])
    await buyer.hears("продлено до")
    after = await paid_of(house, FIRST)
    assert after.plan == "3m"
    assert after.paid_until - before.paid_until == timedelta(days=90)
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders WHERE is_switch") == 1


async def test_a_shorter_plan_begins_with_the_next_payment(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка", "3 месяца"))
    await buyer.hears("Оплата получена")
    before = await paid_of(house, FIRST)
    await buyer.says("/my")
    await buyer.presses("Сменить тариф")
    await buyer.presses("⬇️ 1 месяц")
    await buyer.hears("Следующая оплата: 1 месяц, 299 ₽")
    planned = await paid_of(house, FIRST)
    assert (planned.plan, planned.next_plan, planned.paid_until) == ("3m", "1m", before.paid_until)
    assert plan_at_renewal(planned) == "1m"
    await buyer.presses("Оставить мой тариф")

    await house.idle()
    assert "Следующая оплата" not in (await buyer.newest())["text"]
    assert plan_at_renewal(await paid_of(house, FIRST)) == "3m"
    await buyer.presses("⬇️ 1 месяц")
    await buyer.hears("Следующая оплата")
    await buyer.says("/my")
    await buyer.presses("Продлить: Ромашка")
    await buyer.presses("1 месяц")
    _, pay = await buyer.sees("Оплатить 299 ₽")
    await house.pay(pay["url"].rpartition("/")[2])
    await buyer.hears("продлено до")
    come = await paid_of(house, FIRST)
    assert (come.plan, come.next_plan) == ("1m", None)
    changes = await house.witness.fetch(
        """SELECT data->>'before' AS before, data->>'after' AS after, data->>'by' AS by
           FROM shared.journal WHERE kind = 'subscription.plan_chosen' ORDER BY id"""
    )
    assert [tuple(one) for one in changes] == [
        ("3m", "1m", "owner"),
        ("1m", "3m", "owner"),
        ("3m", "1m", "owner"),
    ]


async def test_an_old_button_agrees_to_no_price_but_the_one_it_shows(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка", "3 месяца"))
    await buyer.hears("Оплата получена")
    order_id = await house.witness.fetchval("SELECT id FROM shared.orders")
    await house.witness.execute(
        """INSERT INTO shared.saved_methods
               (tenant_id, method_id, title, order_id, agreed_amount, agreed_days, saved_at)
           VALUES ('client_001', 'm', 'Карта', $1, 799, 90, now())""",
        order_id,
    )
    await buyer.says("/my")
    await buyer.presses("Сменить тариф")
    message, shown = await buyer.sees("⬇️ 1 месяц · 299 ₽")
    agreed = "SELECT agreed_amount, agreed_days FROM shared.saved_methods"
    for old in (shown["callback_data"].replace("299.00", "199.00"), "later:client_001:1m::0"):
        sent = await (await house.parts.bots.sales())[0].send_message(
            buyer.phone.person,
            "?",
            reply_markup=keyboard([InlineKeyboardButton(text="old", callback_data=old)]),
        )
        answer = await buyer.phone.press(buyer.sales, sent.message_id, old)
        assert "1 месяц · 299 ₽" in answer["text"].replace("\N{NO-BREAK SPACE}", " ")
        await house.idle()
        assert tuple(await house.witness.fetchrow(agreed) or ()) == (799, 90)
        assert (await paid_of(house, FIRST)).next_plan is None
    await buyer.phone.press(buyer.sales, message["message_id"], shown["callback_data"])
    await house.idle()
    assert tuple(await house.witness.fetchrow(agreed) or ()) == (299, 30)
    assert (await paid_of(house, FIRST)).next_plan == "1m"


async def test_a_tenant_is_moved_to_another_person(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    order_id = await buyer.orders("Ромашка")
    await house.pay(order_id)
    await buyer.creates()
    bot = await house.bot_of(buyer.phone.person)
    await another_buyer.phone.start(another_buyer.sales)
    await another_buyer.hears("Бот для записи")
    await house.witness.execute(
        """INSERT INTO shared.saved_methods
               (tenant_id, method_id, title, order_id, agreed_amount, saved_at)
           VALUES ('client_001', 'm', 'Карта', $1, 299, now())""",
        order_id,
    )
    assert await hand_over(house.database, FIRST, another_buyer.phone.person, who="vera")
    said = await another_buyer.hears("Теперь «Ромашка» ваш")
    assert f"@{bot['username']}" in said["text"]
    ended = await house.witness.fetchval("SELECT ended_for FROM shared.saved_methods")
    assert ended == "moved"
    at_the_bot = Buyer(another_buyer.phone, bot["bot_id"])
    await at_the_bot.phone.start(at_the_bot.sales)
    await at_the_bot.says("/admin")
    await at_the_bot.sees("Услуги")
    await buyer.says("/my")
    await buyer.hears("У вас пока нет ботов")
    event = await house.witness.fetchval(
        "SELECT data->>'by' FROM shared.journal WHERE kind = 'tenant.moved'"
    )
    assert event == "vera"
    with pytest.raises(Conflict):
        await hand_over(house.database, FIRST, another_buyer.phone.person, who="vera")


@pytest.mark.parametrize(
    ("job", "words"),
    [
        (DaysGiven("client_001", 5, Gift.SUPPORT), "Поддержка добавила вам 5 дней"),
        ("waits", "Ваш заказ для «Ромашка»: 1 месяц, 299 ₽"),
    ],
)
async def test_what_support_sends(house: House, buyer: Buyer, job: Any, words: str) -> None:
    order_id = await buyer.orders("Ромашка")
    if job == "waits":
        await house.do(OrderWaits(order_id))
    else:
        await house.pay(order_id)
        await buyer.hears("Оплата получена")
        await house.do(job)
    await buyer.hears(words)
