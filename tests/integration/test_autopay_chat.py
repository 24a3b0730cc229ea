"""Autopay in the sales bot: seen in /my, ended by one tap, and spoken of when it fails."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from house import Buyer, House

from zapisano import subscriptions
from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.sales.buttons import Unlink
from zapisano.bots.sales.mine import Mine, autopay_of
from zapisano.payments import AutopayEnded, OrderId, SettleRefund, choose, methods
from zapisano.payments.charges import prepare
from zapisano.settings import Settings
from zapisano.subscriptions import Charge
from zapisano.subscriptions.life import daytime, terms_of
from zapisano.tenancy import TenantId
from zapisano.tenancy import store as tenants

TENANT = TenantId("client_001")
NO_MONEY = "5555555555554600"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"yookassa_autopay": True})


async def buys_with_autopay(house: House, buyer: Buyer) -> None:
    """Order in the chat, tick the box, pay."""
    order_id = await buyer.orders("Ромашка")
    async with house.database.shared() as conn:
        await choose(conn, house.settings, OrderId(order_id), keeps_method=True, contact=None)
    await house.pay(order_id)
    await buyer.offer()
    await house.idle()


async def charges(house: House, attempt: int, *, card: str = "", revoked: bool = False) -> None:
    """Let the day of an attempt come, with a card that does as it is told."""
    if card or revoked:
        method = "SELECT method_id FROM shared.saved_methods WHERE ended_at IS NULL"
        change = {"payment_method_id": await house.witness.fetchval(method), "revoked": revoked}
        house.simulator.post("/yookassa/control/method", change | ({"card": card} if card else {}))
    async with house.database.shared() as conn:
        paid = await subscriptions.get(conn, TENANT)
    await house.witness.execute(  # the attempts before were days ago
        """UPDATE shared.orders SET requested_at = requested_at - interval '2 days'
           WHERE charge_key IS NOT NULL AND status = 'canceled'"""
    )
    await house.do(Charge(TENANT, paid.paid_until, attempt))
    await house.idle()


def on_day(house: House, moment: datetime) -> str:
    return f"{moment.astimezone(ZoneInfo(house.settings.time_zone)):%d.%m.%Y}"


async def was_charged(house: House, attempt: int, *, announced_days: int) -> datetime:
    """Write that an attempt was due, as the schedule does; return the end of paid time, at noon.

    `announced_days`: how long before the end the first charge was announced.
    """
    end: datetime = await house.witness.fetchval(
        """UPDATE shared.subscriptions
           SET paid_until = date_trunc('day', paid_until, $2) + interval '12 hours'
           WHERE tenant_id = $1 RETURNING paid_until""",
        TENANT,
        house.settings.time_zone,
    )
    announced_at = end - timedelta(days=announced_days)
    first_at = max(end, announced_at + timedelta(days=3))
    await house.witness.execute(
        """UPDATE shared.subscriptions SET announced_at = $2, charges = $3, charged_at = $4
           WHERE tenant_id = $1""",
        TENANT,
        announced_at,
        attempt + 1,
        first_at + timedelta(days=(0, 1, 3, 5)[attempt]),
    )
    return end


async def test_my_bots_promises_no_autopay_that_was_not_agreed_to(
    house: House, buyer: Buyer
) -> None:
    await buys_with_autopay(house, buyer)
    await house.witness.execute("UPDATE shared.subscriptions SET plan = '12m'")
    await buyer.says("/my")
    shown = await buyer.hears("Автоплатёж не сработает")
    assert "спишем" not in shown["text"]


async def test_my_bots_shows_autopay_and_one_tap_ends_it(house: House, buyer: Buyer) -> None:
    await buys_with_autopay(house, buyer)
    told = await buyer.hears("Оплата получена")
    assert f"Автоплатёж: {await charge_day(house)} спишем 299 ₽, карта •• " in told["text"]
    await buyer.creates()
    await house.bot_of(buyer.phone.person)
    await buyer.says("/my")
    paid = await paid_until(house)
    shown = await buyer.hears("Мои боты")
    assert f"Автоплатёж: {await charge_day(house)} спишем 299 ₽, карта •• " in shown["text"]
    await buyer.presses("Отключить автоплатёж: Ромашка")
    said = await buyer.hears("Автоплатёж за «Ромашка» отключён")
    assert said["message_id"] == shown["message_id"]  # in writing, not in a bubble that goes away
    assert f"Бот оплачен до {paid}, дальше — по кнопке." in said["text"]
    assert "Одно списание" not in said["text"]
    await buyer.presses("Назад")
    await buyer.hears("Автоплатёж отключён")
    ended = await house.witness.fetchrow(
        "SELECT ended_for, method_id, title FROM shared.saved_methods"
    )
    assert ended is not None
    assert (ended["ended_for"], ended["method_id"]) == ("owner", None)
    event = await house.witness.fetchval(
        "SELECT data->>'by' FROM shared.journal WHERE kind = 'method.ended'"
    )
    assert event == "owner"


async def paid_until(house: House) -> str:
    async with house.database.shared() as conn:
        paid = await subscriptions.get(conn, TENANT)
    return f"{paid.paid_until.astimezone(ZoneInfo(house.settings.time_zone)):%d.%m.%Y}"


async def charge_day(house: House) -> str:
    """The day after the end where that is in the evening: nobody is charged at night."""
    async with house.database.shared() as conn:
        paid = await subscriptions.get(conn, TENANT)
    at = daytime(paid.paid_until, terms_of(house.settings))
    return f"{at.astimezone(ZoneInfo(house.settings.time_zone)):%d.%m.%Y}"


async def test_who_has_changed_her_mind_switches_it_on_with_the_next_payment(
    house: House, buyer: Buyer
) -> None:
    await buys_with_autopay(house, buyer)
    await buyer.says("/my")
    await buyer.presses("Отключить автоплатёж: Ромашка")
    await buyer.hears("Отметьте автоплатёж при следующей оплате")
    await buyer.presses("Оплатить и включить снова")
    await buyer.presses("1 месяц")
    _, pay = await buyer.sees("Оплатить 299 ₽", under="дни добавятся")
    order_id = OrderId(pay["url"].rpartition("/")[2])
    async with house.database.shared() as conn:
        await choose(conn, house.settings, order_id, keeps_method=True, contact=None)
    await house.pay(order_id)
    await house.idle()
    await buyer.says("/my")
    await buyer.hears("Мои боты")
    shown = await buyer.hears(f"Автоплатёж: {await charge_day(house)} спишем 299 ₽")
    assert "Мои боты" in shown["text"]


async def test_a_charge_that_is_with_the_bank_is_not_kept_silent(
    house: House, buyer: Buyer
) -> None:
    await buys_with_autopay(house, buyer)
    async with house.database.shared() as conn:
        paid = await subscriptions.get(conn, TENANT)
        order_id = await prepare(
            conn, house.settings, Charge(TENANT, paid.paid_until, 0), datetime.now(UTC)
        )
    assert order_id is not None
    await buyer.says("/my")
    await buyer.presses("Отключить автоплатёж: Ромашка")
    await buyer.hears("Одно списание уже ушло в банк и ещё может пройти")


async def test_autopay_that_the_operator_has_taken_away_is_not_put_on_the_plan(
    house: House, buyer: Buyer
) -> None:
    await buys_with_autopay(house, buyer)
    off = house.settings.model_copy(update={"yookassa_autopay": False})
    async with house.database.shared() as conn:
        tenant = await tenants.get(conn, TENANT)
        line = Mine(tenant, None, None, on_trial=False, autopay=await methods.find(conn, TENANT))
    with speaking(SALES, "ru"):
        assert "сейчас не работает" in autopay_of(line, off)
        assert "не то, на что вы соглашались" in autopay_of(line, house.settings)


async def test_what_failed_for_good_is_promised_no_more(house: House, buyer: Buyer) -> None:
    await buys_with_autopay(house, buyer)
    await house.witness.execute(
        "UPDATE shared.subscriptions SET charges = 4, announced_at = now(), charged_at = now()"
    )
    await buyer.says("/my")
    await buyer.hears("Автоплатёж не прошёл, сами больше пробовать не будем")


async def test_a_stranger_cannot_end_it(house: House, buyer: Buyer, another_buyer: Buyer) -> None:
    await buys_with_autopay(house, buyer)
    await another_buyer.phone.start(another_buyer.sales)
    await another_buyer.hears("Бот для записи")
    bot, _row = await house.parts.bots.sales()
    stolen = InlineKeyboardButton(text="?", callback_data=Unlink(tenant=TENANT).pack())
    person = another_buyer.phone.person
    markup = InlineKeyboardMarkup(inline_keyboard=[[stolen]])
    sent = await bot.send_message(person, "?", reply_markup=markup)
    await another_buyer.phone.press(
        another_buyer.sales, sent.message_id, stolen.callback_data or ""
    )
    await house.idle()
    left = "SELECT count(*) FROM shared.saved_methods WHERE ended_at IS NULL"
    assert await house.witness.fetchval(left) == 1


async def test_a_charge_and_then_a_decline_are_told_with_what_is_next(
    house: House, buyer: Buyer
) -> None:
    await buys_with_autopay(house, buyer)
    await charges(house, 0)
    await buyer.hears("Автоплатёж: списали 299 ₽")
    end = await was_charged(house, 0, announced_days=3)
    await charges(house, 0, card=NO_MONEY)
    said = await buyer.hears("Автоплатёж за «Ромашка» не прошёл, деньги не списаны")
    assert "На карте не хватило денег" in said["text"]
    assert f"Попробуем ещё раз {on_day(house, end + timedelta(days=1))}" in said["text"]
    await was_charged(house, 3, announced_days=3)
    await charges(house, 3)
    last = await buyer.hears("Сами больше пробовать не будем")
    assert last["message_id"] != said["message_id"]
    await buyer.sees("Оплатить 299 ₽", under="не прошёл")


async def test_a_decline_names_the_day_that_the_schedule_has(house: House, buyer: Buyer) -> None:
    """The first charge was announced late, so all of them are late."""
    await buys_with_autopay(house, buyer)
    end = await was_charged(house, 1, announced_days=1)
    await charges(house, 1, card=NO_MONEY)
    said = await buyer.hears("не прошёл")
    assert f"Попробуем ещё раз {on_day(house, end + timedelta(days=2 + 3))}" in said["text"]


async def test_a_withdrawn_permission_is_told_with_a_way_on(house: House, buyer: Buyer) -> None:
    await buys_with_autopay(house, buyer)
    await charges(house, 0, revoked=True)
    said = await buyer.hears("Автоплатёж за «Ромашка» отключён")
    assert "отозвано" in said["text"]
    await buyer.presses("Продлить")
    await buyer.hears("Оставшиеся дни сохранятся")


async def test_who_has_left_another_card_is_not_told_of_the_old_one(
    house: House, buyer: Buyer
) -> None:
    await buys_with_autopay(house, buyer)
    before = len(await buyer.phone.answers(buyer.sales))
    await house.do(AutopayEnded(TENANT, "card_expired"))
    await house.idle()
    assert len(await buyer.phone.answers(buyer.sales)) == before


async def gives_back(house: House, amount: str) -> None:
    """Give money back in the provider's cabinet, and let the news arrive."""
    payment_id = await house.witness.fetchval("SELECT payment_id FROM shared.orders")
    body = {"payment_id": payment_id, "amount": {"value": amount, "currency": "RUB"}}
    shop = (house.settings.yookassa_shop_id, house.settings.yookassa_secret_key.get_secret_value())
    async with httpx.AsyncClient(base_url=house.settings.yookassa_api_url, auth=shop) as client:
        made = await client.post("/refunds", json=body, headers={"Idempotence-Key": uuid4().hex})
    await house.do(SettleRefund(made.raise_for_status().json()["id"]))
    await house.idle()


@pytest.mark.parametrize(
    ("language", "part", "all_of_it"),
    [
        (
            "ru",
            ("↩️ Вернули 100 ₽ за «Ромашка»", "Бот оплачен до "),
            ("↩️ Вернули 199 ₽ за «Ромашка»", "Автоплатёж выключен. Сами больше ничего не спишем."),
        ),
        (
            "en",
            ("↩️ 100 ₽ for “Ромашка”", "The bot is paid until "),
            ("↩️ 199 ₽ for “Ромашка”", "Autopay is off. Nothing will be charged by itself."),
        ),
    ],
)
async def test_a_refund_says_what_went_back_and_what_it_ends(
    house: House, buyer: Buyer, language: str, part: tuple[str, str], all_of_it: tuple[str, str]
) -> None:
    await buys_with_autopay(house, buyer)
    await house.witness.execute("UPDATE shared.orders SET buyer_language = $1", language)
    await gives_back(house, "100.00")
    said = await buyer.hears(part[0])
    assert part[1] in said["text"]
    assert all_of_it[1] not in said["text"]
    await gives_back(house, "199.00")
    assert all_of_it[1] in (await buyer.hears(all_of_it[0]))["text"]
