"""What a newcomer met in the sales bot: links that lead out, codes that cannot be taken back."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from house import Buyer, House

from zapisano.payments.promo_model import Promo
from zapisano.payments.store import promo as promos
from zapisano.settings import Settings

LINKS = "http://telegram.example/t"
SUMMER = Promo(
    "SUMMER", 20, None, None, None, None, once_per_person=False, created_at=datetime.now(UTC)
)
WINTER = replace(SUMMER, code="WINTER", percent=50)


async def codes(house: House, *made: Promo) -> None:
    async with house.database.shared() as conn:
        for promo in made:
            assert await promos.insert_promo(conn, promo)


async def writes(buyer: Buyer, code: str, way: str = "У меня есть промокод") -> None:
    await buyer.presses(way)
    await buyer.hears("промокод")
    await buyer.says(code)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"telegram_link_base": LINKS})


async def test_every_link_to_a_bot_leads_where_the_operator_has_said(
    house: House, buyer: Buyer
) -> None:
    """In the demo that is the simulated Telegram: the real one knows none of these bots."""
    await house.pay(await buyer.orders("Ромашка"))
    name = (await buyer.creates())["username"]
    await house.bot_of(buyer.phone.person)
    _, button = await buyer.sees("Открыть @")
    assert button["url"] == f"{LINKS}/{name}"
    await buyer.says("/my")
    _, button = await buyer.sees("Открыть", under="Мои боты")
    assert button["url"] == f"{LINKS}/{name}?start=admin"
    await buyer.says("/admin")
    _, button = await buyer.sees("Управлять: Ромашка")
    assert button["url"] == f"{LINKS}/{name}?start=admin"
    said = [message["text"] for message in await buyer.phone.answers(buyer.sales)]
    assert not any("t.me" in text for text in said)


async def test_a_code_can_be_changed_and_taken_off(house: House, buyer: Buyer) -> None:
    await codes(house, SUMMER, WINTER)
    order_id = await buyer.orders("Ромашка")
    await writes(buyer, "summer")
    await buyer.sees("Оплатить 239,20 ₽", under="SUMMER")
    await buyer.presses("Другой промокод")
    await buyer.hears("Сейчас — SUMMER")
    await buyer.presses("Назад")  # leads back to the order, not out of it
    await buyer.sees("Оплатить 239,20 ₽", under="SUMMER")
    await buyer.presses("Другой промокод")
    await buyer.hears("Сейчас — SUMMER")
    await buyer.says("winter")
    message, _ = await buyer.sees("Оплатить 149,50 ₽", under="WINTER")
    assert "<s>299 ₽</s> 149,50 ₽" in message["html"]
    await buyer.presses("Убрать промокод")
    message, pay = await buyer.sees("Оплатить 299 ₽")
    assert "WINTER" not in message["text"]
    assert pay["url"].endswith(order_id)
    await buyer.sees("У меня есть промокод")
    row = await house.witness.fetchrow(
        """SELECT amount, promo_code, (request_body::jsonb)->'amount'->>'value' AS asked,
               (SELECT count(*) FROM shared.noted_codes) AS noted FROM shared.orders"""
    )
    assert row is not None
    assert (str(row["amount"]), row["promo_code"], row["asked"]) == ("299.00", None, "299.00")
    assert row["noted"] == 0  # nor does it come back with the next order
    after = "SELECT data->>'after' FROM shared.journal WHERE kind = 'order.repriced' ORDER BY id"
    assert [one[0] for one in await house.witness.fetch(after)] == ["239.20", "149.50", "299.00"]


async def test_a_code_goes_along_to_another_plan(house: House, buyer: Buyer) -> None:
    await codes(house, SUMMER)
    await buyer.orders("Ромашка")
    await writes(buyer, "summer")
    await buyer.sees("Оплатить 239,20 ₽", under="SUMMER")
    await buyer.presses("Назад")
    await buyer.presses("3 месяца")
    await buyer.hears("Как называется")
    await buyer.says("Ромашка")
    await buyer.sees("Оплатить 639,20 ₽", under="SUMMER")


@pytest.mark.parametrize(
    ("code", "line"),
    [
        ("NOSUCH", "Такого промокода нет, или он закончился."),
        ("x" * 40, "Такого промокода нет, или он закончился."),
        ("ENDED", "Такого промокода нет, или он закончился."),
        ("FULL", "Этот промокод уже разобрали."),
    ],
)
async def test_a_link_with_a_dead_code_says_so_and_goes_on_to_the_prices(
    house: House, buyer: Buyer, another_buyer: Buyer, code: str, line: str
) -> None:
    full = replace(SUMMER, code="FULL", uses=1)
    await codes(house, replace(SUMMER, code="ENDED"), full)
    async with house.database.shared() as conn:
        await promos.end_promo(conn, "ENDED", datetime.now(UTC))
    await another_buyer.orders("Лютик")
    await writes(another_buyer, "full")
    await another_buyer.sees("Оплатить 239,20 ₽", under="FULL")
    await another_buyer.says("/start promo_FULL")  # hers: it moves along
    await another_buyer.hears("FULL: скидка 20 %")
    await buyer.says(f"/start promo_{code}")
    said = await buyer.hears(line)
    assert "На какой срок" in said["text"]
    assert "Бот для записи клиентов" not in said["text"]
    await buyer.sees("Попробовать 14 дней бесплатно", under=line)
    await buyer.presses("1 месяц")
    await buyer.hears("Как называется")
    await buyer.says("Ромашка")
    await buyer.sees("Оплатить 299 ₽")


async def test_what_is_being_paid_keeps_its_code(
    house: House, buyer: Buyer, another_buyer: Buyer
) -> None:
    """An old button of the buyer's changes nothing any more; a stranger's never did."""
    await codes(house, SUMMER)
    order_id = await buyer.orders("Ромашка")
    await writes(buyer, "summer")
    message, remove = await buyer.sees("Убрать промокод")
    await another_buyer.phone.start(another_buyer.sales)
    await another_buyer.hears("Бот для записи")
    bot, _row = await house.parts.bots.sales()
    stolen = InlineKeyboardButton(text="?", callback_data=remove["callback_data"])
    sent = await bot.send_message(
        another_buyer.phone.person,
        "?",
        reply_markup=InlineKeyboardMarkup(inline_keyboard=[[stolen]]),
    )
    await another_buyer.phone.press(another_buyer.sales, sent.message_id, remove["callback_data"])
    await house.idle()
    price = "SELECT amount::text FROM shared.orders"
    assert await house.witness.fetchval(price) == "239.20"
    await house.starts(order_id)
    answer = await buyer.phone.press(buyer.sales, message["message_id"], remove["callback_data"])
    assert "уже оплачивается" in answer["text"]
    assert await house.witness.fetchval(price) == "239.20"


async def test_who_pays_for_longer_before_there_is_a_bot_is_shown_how_to_make_it(
    house: House, buyer: Buyer
) -> None:
    await house.pay(await buyer.orders("Ромашка"))
    await buyer.offer()
    await house.idle()
    before = len(await buyer.phone.answers(buyer.sales))
    await buyer.says("/my")
    await buyer.presses("Продлить: Ромашка")
    await buyer.presses("1 месяц")
    _, pay = await buyer.sees("Оплатить 299 ₽", under="дни добавятся")
    await house.pay(pay["url"].rpartition("/")[2])
    await buyer.hears("«Ромашка»: продлено до")
    await house.idle()
    said = [message["text"] for message in await buyer.phone.answers(buyer.sales)]
    assert any("ждём только бота" in text for text in said[before:])
