"""Autopay in the sales bot: seen in /my, ended by one tap, and spoken of when it fails."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from house import Buyer, House

from zapisano import subscriptions
from zapisano.bots.sales.buttons import Unlink
from zapisano.payments import AutopayEnded, OrderId, choose
from zapisano.settings import Settings
from zapisano.subscriptions import Charge
from zapisano.tenancy import TenantId

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
    assert "299 ₽ каждые" not in shown["text"]


async def test_my_bots_shows_autopay_and_one_tap_ends_it(house: House, buyer: Buyer) -> None:
    await buys_with_autopay(house, buyer)
    await buyer.says("/my")
    shown = await buyer.hears("Автоплатёж: 299 ₽ каждые 30 дней, карта •• ")
    answer = await buyer.presses("Отключить автоплатёж: Ромашка")
    assert answer["text"] == "Автоплатёж отключён. Сами больше ничего не спишем."
    await house.idle()
    now = await buyer.newest()
    assert now["message_id"] == shown["message_id"]
    assert "Автоплатёж" not in now["text"]
    ended = await house.witness.fetchrow(
        "SELECT ended_for, method_id, title FROM shared.saved_methods"
    )
    assert ended is not None
    assert (ended["ended_for"], ended["method_id"]) == ("owner", None)
    event = await house.witness.fetchval(
        "SELECT data->>'by' FROM shared.journal WHERE kind = 'method.ended'"
    )
    assert event == "owner"


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
