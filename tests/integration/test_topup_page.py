"""The checkout pages of a top-up: the truth about the money, and the way back to the app."""

from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import httpx
import pytest

from integration.payments_fixtures import (
    DECLINED_CARD,
    Witness,
    browsing,
    kassa,
    provider,
    serving,
    settings,
    shared_kassa,
    shop_settings,
)
from integration.test_checkout import words
from integration.topup_fixtures import ANNA, Payer, payer, topups
from zapisano.app import create_api
from zapisano.db import Database
from zapisano.settings import Settings

__all__ = ["kassa", "payer", "provider", "settings", "shared_kassa"]
APP = "https://app.example.com/billing?from=bank"
FREEZE = "UPDATE public.user_balances SET frozen = 'the address clashes' WHERE email = $1"


@pytest.fixture
async def browser(settings: Settings, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    here = settings.model_copy(
        update={"credits_return_url": APP, "support_contact": "@zapisano_help"}
    )
    async with serving(create_api(here, database)) as url, browsing(url) as client:
        yield client


async def test_it_says_what_for_whom_and_how_much(payer: Payer, browser: httpx.AsyncClient) -> None:
    asked = await payer.asks("1490.50", email="'<b>anna</b>'@example.ru")
    page = await browser.get(f"/checkout/{asked.id}")
    assert page.status_code == 200
    assert "<b>" not in page.text
    for text in ("Пополнение счёта", "'<b>anna</b>'@example.ru", "Кредиты", "Оплатить 1 490,50 ₽"):
        assert text in words(page)
    english = words(await browser.get(f"/checkout/{asked.id}?lang=en"))
    for text in ("Top up the account", "1 490.50", "Pay 1 490.50 ₽"):
        assert text in english
    assert "чат" not in words(page)
    assert "chat" not in english


async def test_it_speaks_the_language_that_was_asked_for(
    payer: Payer, browser: httpx.AsyncClient
) -> None:
    asked = await payer.asks(language="en")
    page = await browser.get(f"/checkout/{asked.id}")
    assert page.headers["content-language"] == "en"
    odd = await payer.asks(language="tlh")
    assert (await browser.get(f"/checkout/{odd.id}")).headers["content-language"] == "ru"


async def test_coming_back_proves_nothing_and_leads_on_when_the_money_is_there(
    payer: Payer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    asked, payment_id = await payer.pays("500")
    page = await browser.get(f"/checkout/{asked.id}/return")
    assert "Ждём подтверждения оплаты" in words(page)
    assert "http-equiv" in page.text
    assert await topups(witness) == []
    tired = words(await browser.get(f"/checkout/{asked.id}/return?n=20"))
    assert "зачислим кредиты сами" in tired
    assert "Вернуться в приложение" in tired
    assert "Вернуться в приложение" not in words(page)
    await payer.settles(payment_id)
    for path in ("", "/return"):
        page = await browser.get(f"/checkout/{asked.id}{path}")
        for text in ("Готово, кредиты зачислены", "Сейчас на счёте: 550.", "Оплачено"):
            assert text in words(page)
        assert f'href="https://app.example.com/billing?from=bank&topup={asked.id}"' in words(page)
        assert "Вернуться в приложение" in words(page)
        assert "<form" not in page.text
    english = words(await browser.get(f"/checkout/{asked.id}?lang=en"))
    assert "The account holds 550 now." in english
    again = await browser.post(f"/checkout/{asked.id}/pay")
    assert (again.status_code, again.headers["location"]) == (303, f"/checkout/{asked.id}/return")


async def test_without_an_app_to_return_to_there_is_no_button(payer: Payer) -> None:
    asked, payment_id = await payer.pays()
    await payer.settles(payment_id)
    async with serving(create_api(payer.settings, payer.database)) as url, browsing(url) as client:
        page = await client.get(f"/checkout/{asked.id}/return")
    assert "Готово, кредиты зачислены" in words(page)
    assert "Вернуться" not in words(page)


async def test_the_button_leads_to_the_payment_that_the_app_was_given(
    payer: Payer, browser: httpx.AsyncClient
) -> None:
    asked = await payer.asks()
    pressed = await browser.post(f"/checkout/{asked.id}/pay")
    assert (pressed.status_code, pressed.headers["location"]) == (303, asked.confirmation_url)


async def test_after_a_declined_card_one_pays_again_on_the_page(
    payer: Payer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    asked = await payer.asks()
    payer.kassa.control("pay", {"payment_id": asked.payment_id, "card": DECLINED_CARD})
    await payer.settles(asked.payment_id or "")
    page = words(await browser.get(f"/checkout/{asked.id}/return"))
    assert "На карте не хватило денег" in page
    assert "Оплатить ещё раз" in page
    pressed = [await browser.post(f"/checkout/{asked.id}/pay") for _ in range(2)]
    (address,) = {answer.headers["location"] for answer in pressed}
    payment_id = urlsplit(address).path.rpartition("/")[2]
    assert payment_id != asked.payment_id
    payer.kassa.control("pay", {"payment_id": payment_id})
    await payer.settles(payment_id)
    moved = await browser.get(f"/checkout/{asked.id}/return")
    page = await browser.get(moved.headers["location"])
    assert "Сейчас на счёте: 550." in words(page)
    assert len(await topups(witness)) == 1


async def test_yookassa_away_is_told_kindly(payer: Payer, browser: httpx.AsyncClient) -> None:
    asked = await payer.asks()
    payer.kassa.control("pay", {"payment_id": asked.payment_id, "card": DECLINED_CARD})
    await payer.settles(asked.payment_id or "")
    payer.kassa.fault("500", path="/payments")
    answer = await browser.post(f"/checkout/{asked.id}/pay")
    assert answer.status_code == 502
    assert "ЮKassa сейчас не отвечает" in words(answer)
    assert "Попробовать ещё раз" in words(answer)


async def test_an_account_that_was_frozen_meanwhile_is_not_paid_for(
    payer: Payer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    asked = await payer.asks()
    payer.kassa.control("pay", {"payment_id": asked.payment_id, "card": DECLINED_CARD})
    await payer.settles(asked.payment_id or "")
    await witness.execute(FREEZE, ANNA)
    page = await browser.get(f"/checkout/{asked.id}")
    pressed = await browser.post(f"/checkout/{asked.id}/pay")
    assert (page.status_code, pressed.status_code) == (200, 409)
    for told in (page, pressed):
        assert "Счёт сейчас нельзя пополнить" in words(told)
        assert "Чтобы разобраться, напишите нам" in words(told)
        assert "<form" not in told.text
    assert await witness.fetchval("SELECT count(*) FROM shared.orders") == 1


async def test_a_payment_under_way_for_a_frozen_account_is_never_said_to_be_none(
    payer: Payer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    asked, payment_id = await payer.pays()
    await witness.execute(FREEZE, ANNA)
    assert "Ждём подтверждения" in words(await browser.get(f"/checkout/{asked.id}"))
    pressed = await browser.post(f"/checkout/{asked.id}/pay")
    assert pressed.headers["location"] == f"/checkout/{asked.id}/return"
    await payer.settles(payment_id)
    page = words(await browser.get(f"/checkout/{asked.id}/return"))
    assert "Проверяем ваш платёж" in page
    assert "Деньги не пропадут. Если есть вопросы, напишите нам: адрес ниже." in page
    assert "чат" not in page


async def test_a_shop_with_other_settings_has_its_pages_at_its_own_address(payer: Payer) -> None:
    there = shop_settings(payer.settings, payer.kassa, public_url="https://pay.example.com")
    asked = await Payer(payer.database, there, payer.provider, payer.kassa).asks()
    assert f'"https://pay.example.com/checkout/{asked.id}/return"' in asked.request_body
