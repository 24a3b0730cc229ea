"""Buying in the sales bot, by the people's side of the simulated Telegram."""

import asyncio
from datetime import UTC, datetime

import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from house import Buyer, House, due
from telegram_bots import until

from zapisano.bots.jobs import RemindToAttach
from zapisano.payments import OrderCanceled, OrderPaid
from zapisano.tenancy import Suspension, TenantId, archive, register, suspend
from zapisano.tenancy import resume as resume_tenant


async def test_from_start_to_the_checkout_page(house: House, buyer: Buyer) -> None:
    order_id = await buyer.orders("Салон «Ромашка» & <К°>")
    message, pay = await buyer.sees("Оплатить 299 ₽")
    assert pay["url"] == f"{house.settings.checkout_base}/checkout/{order_id}"
    assert "«Салон „Ромашка“ & <К°>»" in message["text"]
    assert "без автосписаний" in message["text"]
    row = await house.witness.fetchrow(
        "SELECT buyer_id, company_name, plan, status, buyer_language FROM shared.orders"
    )
    assert row is not None
    assert tuple(row) == (buyer.phone.person, "Салон «Ромашка» & <К°>", "1m", "created", "ru")


async def test_one_message_is_edited_and_back_leads_back(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    first = await buyer.hears("Бот для записи")
    await buyer.presses("Выбрать тариф")
    await buyer.presses("3 месяца")
    await buyer.hears("Как называется")
    await buyer.presses("Назад")
    await buyer.hears("На какой срок")
    await buyer.presses("Назад")
    await buyer.hears("Бот для записи")
    said = await buyer.phone.answers(buyer.sales)
    assert [message["message_id"] for message in said] == [first["message_id"]]


async def test_after_the_name_there_is_one_screen_again(house: House, buyer: Buyer) -> None:
    await buyer.orders("Ромашка")
    await house.idle()
    said = await buyer.phone.answers(buyer.sales)
    assert len(said) == 1
    await buyer.presses("Назад")
    await buyer.hears("На какой срок")


@pytest.mark.parametrize("prolong", [False, True])
async def test_an_order_that_could_not_be_shown_is_shown_later_and_is_one(
    house: House, buyer: Buyer, prolong: bool
) -> None:
    """Telegram is away after the order is committed: the update is handled once more."""
    if prolong:
        await house.pay(await buyer.orders("Ромашка"))
        await buyer.offer()
        await buyer.says("/my")
        await buyer.presses("Продлить: Ромашка")
        await buyer.hears("Оставшиеся дни сохранятся")
    else:
        await buyer.phone.start(buyer.sales)
        await buyer.presses("Выбрать тариф")
        await buyer.presses("1 месяц")
        await buyer.hears("Как называется")
    before = await house.witness.fetchval("SELECT count(*) FROM shared.orders")
    method = "editMessageText" if prolong else "sendMessage"
    house.simulator.fail("500", method=method, bot=buyer.sales, times=2)
    if prolong:
        await buyer.presses("3 месяца")
    else:
        await buyer.says("Ромашка")
    _, pay = await buyer.sees("Оплатить", under="дни добавятся" if prolong else "Ромашка")
    await house.idle()
    orders = await house.witness.fetch("SELECT id FROM shared.orders ORDER BY created_at")
    assert len(orders) == before + 1
    assert pay["url"].endswith(str(orders[-1]["id"]))
    kinds = "SELECT count(*) FROM shared.journal WHERE kind = 'order.created'"
    assert await house.witness.fetchval(kinds) == before + 1


@pytest.mark.parametrize("name", ["я" * 101, "a\u0007b"])
async def test_a_name_that_cannot_be_is_asked_for_again(
    house: House, buyer: Buyer, name: str
) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.presses("Выбрать тариф")
    await buyer.presses("1 месяц")
    await buyer.hears("Как называется")
    await buyer.says(name)
    await buyer.hears("от 1 до 100")
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders") == 0
    await buyer.says("Ромашка")
    await buyer.sees("Оплатить")


async def test_a_button_pressed_twice_is_answered_twice_and_does_one_thing(
    house: House, buyer: Buyer
) -> None:
    await buyer.phone.start(buyer.sales)
    message, button = await buyer.sees("Выбрать тариф")
    press = buyer.phone.press(buyer.sales, message["message_id"], button["callback_data"])
    again = buyer.phone.press(buyer.sales, message["message_id"], button["callback_data"])
    answers = await asyncio.gather(press, again)
    assert [answer["text"] for answer in answers] == [None, None]
    await house.idle()
    assert len(await buyer.phone.answers(buyer.sales)) == 1


async def test_a_button_nobody_knows_is_answered_kindly(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.hears("Бот для записи")
    bot, _row = await house.parts.bots.sales()
    old = InlineKeyboardButton(text="?", callback_data="plan:of-an-old-version")
    sent = await bot.send_message(
        buyer.phone.person, "?", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[old]])
    )
    answer = await buyer.phone.press(buyer.sales, sent.message_id, "plan:of-an-old-version")
    assert "старого сообщения" in answer["text"]


async def test_english_where_telegram_is_english(house: House, buyer: Buyer) -> None:
    buyer.phone.person = house.simulator.new_person("Ann", "en")
    await buyer.phone.start(buyer.sales)
    await buyer.hears("A booking bot for your business")
    await buyer.presses("See the prices")
    await buyer.sees("30 days · 299 ₽")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/help", "Как это работает"),
        ("/privacy", "Токены ботов хранятся зашифрованными"),
        ("/paysupport", "help@example.org"),
        ("/my", "У вас пока нет ботов"),
        ("просто слова", "Что показать?"),
    ],
)
async def test_every_command_answers(house: House, buyer: Buyer, command: str, words: str) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.says(command)
    await buyer.hears(words)


async def test_a_payment_leads_to_the_one_button(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка у дома"))
    await buyer.hears("Оплата получена, создаём бота для «Ромашка у дома»")
    offer = await buyer.offer()
    assert offer["suggested_name"] == "Ромашка у дома"
    assert offer["suggested_username"] == "romashka_u_doma_1_bot"
    said = await buyer.hears("Осталось одно нажатие")
    assert "@BotFather" in said["text"]
    await house.idle()
    changed = await house.witness.fetchval("SELECT changed_at FROM shared.tenants")
    reminders = await due(house.witness)
    assert [(at - changed).total_seconds() / 3600 for _, _, at in reminders] == [1, 24, 72]


async def test_reminders_stop_when_the_bot_is_there(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await house.do(RemindToAttach("client_001", 1))
    await buyer.hears("ждём только бота")
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    assert await due(house.witness) == []
    said = len(await buyer.phone.answers(buyer.sales))
    await house.do(RemindToAttach("client_001", 2))
    await house.idle()
    assert len(await buyer.phone.answers(buyer.sales)) == said


async def test_my_shows_the_bot_and_prolongs_it(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await buyer.says("/my")
    shown = await buyer.hears("Мои боты")
    assert "🟢 работает" in shown["text"]
    assert f"@{made['username']}" in shown["text"]
    assert "оплачено до" in shown["text"]
    before = await house.witness.fetchval("SELECT paid_until FROM shared.subscriptions")
    await buyer.presses("Продлить: Ромашка")
    await buyer.hears("Оставшиеся дни сохранятся")
    await buyer.presses("3 месяца")
    await buyer.hears("дни добавятся сразу")
    _, pay = await buyer.sees("Оплатить 799 ₽")
    await house.pay(pay["url"].rpartition("/")[2])
    await buyer.hears("«Ромашка»: продлено до")
    after = await house.witness.fetchval("SELECT paid_until FROM shared.subscriptions")
    assert (after - before).days == 90
    assert await house.witness.fetchval("SELECT count(*) FROM shared.tenants") == 1


async def test_who_has_a_bot_is_asked_whether_to_extend_it(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.hears("Оплата получена")  # else there is no bot to extend yet
    await buyer.phone.start(buyer.sales)
    await buyer.presses("Выбрать тариф")
    await buyer.presses("3 месяца")
    await buyer.hears("Продлить бота, который уже есть, или сделать нового?")
    await buyer.presses("Продлить: Ромашка")
    await buyer.hears("дни добавятся сразу")
    await buyer.says("/my")
    await buyer.presses("Ещё один бот")
    await buyer.presses("1 месяц")
    await buyer.hears("Как называется")  # that was said already
    await house.idle()
    tenants = await house.witness.fetch("SELECT tenant_id FROM shared.orders ORDER BY created_at")
    assert [row["tenant_id"] for row in tenants] == ["client_001", "client_001"]


async def test_a_plan_that_is_taken_off_the_list_is_chosen_anew(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.presses("Выбрать тариф")
    await buyer.presses("1 месяц")
    await buyer.hears("Как называется")
    await house.idle()
    storage = house.parts.dispatch.sales.storage
    redis = storage.redis  # pyright: ignore[reportAttributeAccessIssue]  # it is the prefixed one
    person = buyer.phone.person
    await redis.set(f"sales:fsm:{person}:{person}:data", '{"plan": "6w"}')
    seen = (await buyer.newest())["message_id"]
    await buyer.says("Ромашка")

    async def offered() -> bool:
        said = await buyer.newest()
        return said["message_id"] > seen and "На какой срок" in said["text"]

    await until(offered, "the price list is shown")
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders") == 0


async def test_a_closed_business_with_paid_time_is_still_shown(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await archive(house.database, house.settings, TenantId("client_001"), now=datetime.now(UTC))
    await buyer.hears("закрыт")
    await buyer.says("/my")
    shown = await buyer.hears("Мои боты")
    assert "Ромашка" in shown["text"]
    assert "оплачено до" in shown["text"]
    texts = [button["text"] for row in shown["inline_keyboard"] for button in row]
    assert not any("Продлить" in text for text in texts)
    await house.witness.execute("UPDATE shared.subscriptions SET paid_until = now()")
    await buyer.says("/my")
    await buyer.hears("У вас пока нет ботов")


async def test_nobody_pays_for_a_strangers_bot_by_its_button(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await another_buyer.phone.start(another_buyer.sales, "renew_client_001")
    await another_buyer.hears("принадлежит не вам")
    assert await house.witness.fetchval("SELECT count(*) FROM shared.orders") == 1


async def test_a_canceled_payment_is_told_with_a_way_on(house: House, buyer: Buyer) -> None:
    order_id = await buyer.orders("Ромашка")
    await house.do(OrderCanceled(order_id, "card_expired"))
    said = await buyer.hears("не прошла, деньги не списаны")
    assert "Срок действия карты истёк." in said["text"]
    _, again = await buyer.sees("Попробовать ещё раз")
    assert again["url"] == f"{house.settings.checkout_base}/checkout/{order_id}"
    await buyer.presses("Другой тариф")
    await buyer.hears("На какой срок")


async def test_a_suspended_tenant_is_told_and_can_pay(house: House, buyer: Buyer) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    bot = await house.bot_of(buyer.phone.person)
    async with house.database.shared() as conn:
        await suspend(conn, TenantId("client_001"), Suspension.UNPAID)
    await buyer.hears("нет оплаты")
    await buyer.presses("Продлить")
    await buyer.hears("Оставшиеся дни сохранятся")

    own = Buyer(buyer.phone, bot["bot_id"])
    await own.phone.start(own.sales)
    await own.hears("Бот приостановлен: нет оплаты")
    _, pay = await own.sees("Оплатить")
    assert pay["url"] == "https://t.me/zapisano_sales_bot?start=renew_client_001"

    customer = Buyer(buyer.phone, bot["bot_id"])
    customer.phone.person = house.simulator.new_person("Борис")
    await house.idle()
    await customer.phone.start(customer.sales)  # Telegram lets its owner in alone
    await house.idle()
    said = await customer.phone.answers(customer.sales)
    assert not any("приостановлена" in (one["text"] or "") for one in said)

    async with house.database.shared() as conn:
        await resume_tenant(conn, TenantId("client_001"), Suspension.UNPAID)
    await house.idle()
    async with house.database.shared() as conn:  # support's pause is told to everybody
        await suspend(conn, TenantId("client_001"), Suspension.OPERATOR)
    await house.idle()
    await customer.phone.start(customer.sales)
    await customer.hears("Запись временно приостановлена")


async def test_a_pause_that_cannot_be_told_yet_is_done_once(house: House, buyer: Buyer) -> None:
    """Telegram is away: the message is tried again, what was done with the bot is not."""
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    done = """SELECT count(*) FROM shared.pgqueuer_log
        WHERE entrypoint = 'bots.attach' AND status = 'successful'"""
    before = await house.witness.fetchval(done)
    house.simulator.fail("500", method="sendMessage", bot=buyer.sales, times=3)
    async with house.database.shared() as conn:
        await suspend(conn, TenantId("client_001"), Suspension.OPERATOR)
    await buyer.hears("работа приостановлена поддержкой")
    await house.idle()

    async def once() -> bool:
        return await house.witness.fetchval(done) > before  # the log is written behind the jobs

    await until(once, "the bot is connected anew")
    assert await house.witness.fetchval(done) == before + 1


async def test_paying_for_a_bot_that_support_has_paused_is_told_to_leave_the_pause(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    async with house.database.shared() as conn:
        await suspend(conn, TenantId("client_001"), Suspension.OPERATOR)
    await buyer.hears("работа приостановлена поддержкой")
    await buyer.says("/my")
    await buyer.presses("Продлить: Ромашка")
    note = "Оплата добавит дни, но паузу не снимет."
    assert note in (await buyer.hears("Оставшиеся дни сохранятся"))["text"]
    await buyer.presses("3 месяца")
    assert note in (await buyer.hears("дни добавятся сразу"))["text"]
    _, pay = await buyer.sees("Оплатить 799 ₽")
    await house.pay(pay["url"].rpartition("/")[2])
    assert note in (await buyer.hears("«Ромашка»: продлено до"))["text"]


async def test_money_for_a_closed_business_is_not_called_paid_time(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await buyer.says("/my")
    await buyer.presses("Продлить: Ромашка")
    await buyer.presses("1 месяц")
    _, pay = await buyer.sees("Оплатить 299 ₽")
    order_id = pay["url"].rpartition("/")[2]
    payment_id = await house.starts(order_id)
    await archive(house.database, house.settings, TenantId("client_001"), now=datetime.now(UTC))
    await buyer.hears("закрыт")
    await house.pays(payment_id)
    said = await buyer.hears("но бизнес «Ромашка» закрыт")
    assert "посмотрит человек" in said["text"]
    assert "продлено" not in said["text"]


async def test_who_paid_in_time_is_not_told_of_a_person_who_looks(
    house: House, buyer: Buyer
) -> None:
    """Telegram was away when it was paid; the business is closed when it is back."""
    order_id = await buyer.orders("Ромашка")
    await house.pay(order_id)
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await archive(house.database, house.settings, TenantId("client_001"), now=datetime.now(UTC))
    await house.do(OrderPaid(order_id, "client_001", is_new=False))
    await buyer.hears("«Ромашка»: продлено до")


async def test_a_buyer_who_has_blocked_the_bot_holds_nothing_up(house: House, buyer: Buyer) -> None:
    order_id = await buyer.orders("Ромашка")
    house.simulator.post(
        "/telegram/control/block", {"person": buyer.phone.person, "bot": buyer.sales}
    )
    await house.pay(order_id)

    async def awaiting() -> bool:
        state = await house.witness.fetchval("SELECT state FROM shared.tenants")
        return state == "awaiting_bot"

    await until(awaiting, "the tenant is provisioned")
    await house.idle()


async def test_an_owner_made_by_the_operator_gets_the_button_at_start(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    """Telegram lets no bot write first: whoever has never been here meets the button here."""
    async with house.database.shared() as conn:
        made = await register(
            conn, name="Барбершоп", owner_id=buyer.phone.person, owner_language="ru"
        )
    await house.idle()
    assert await house.witness.fetchval("SELECT state FROM shared.tenants") == "awaiting_bot"
    assert await buyer.phone.answers(buyer.sales) == []
    await buyer.phone.start(buyer.sales)
    said = await buyer.hears("Осталось одно нажатие")
    assert "«Барбершоп»: всё готово" in said["text"]
    assert "/mybots → API Token" in said["text"]  # for a bot that is there already
    await house.idle()
    greeting, last = await buyer.phone.answers(buyer.sales)
    assert "цены и ваши боты" in greeting["text"]
    assert last == said  # the button is what is seen
    await buyer.creates()
    assert (await house.bot_of(buyer.phone.person))["id"] == made.id
    await house.idle()
    for person in (buyer, another_buyer):
        await person.phone.start(person.sales)
        await person.hears("Бот для записи")


async def test_whoever_has_a_bot_is_led_into_it(house: House, buyer: Buyer) -> None:
    await buyer.phone.start(buyer.sales)
    await buyer.hears("Бот для записи")
    await buyer.says("/admin")
    await buyer.hears("У вас пока нет бота.")
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await buyer.says("/newbot")
    await buyer.hears("ждём только бота")
    made = await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await house.idle()
    await buyer.says("/admin")
    said = await buyer.hears("Здесь покупают и оплачивают ботов.")
    assert f"Ромашка · @{made['username']}" in said["text"]
    assert "<code>/admin</code>" in said["html"]  # it works there, not here
    _, manage = await buyer.sees("Управлять: Ромашка")
    assert manage["url"] == f"https://t.me/{made['username']}?start=admin"
    await buyer.says("/newbot")
    await buyer.hears("команда для @BotFather")


async def test_a_strangers_bots_are_not_shown(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await another_buyer.phone.start(another_buyer.sales)
    await another_buyer.says("привет")
    await another_buyer.hears("Я продаю ботов для записи клиентов. Что показать?")
