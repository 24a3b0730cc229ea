"""The checkout pages over HTTP: what they say in each state, and what they keep to themselves."""

import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from pydantic import SecretStr

from integration.payments_fixtures import (
    DECLINED_CARD,
    Buyer,
    Witness,
    browsing,
    buyer,
    client_of,
    granted,
    kassa,
    now,
    provider,
    serving,
    settings,
    shared_kassa,
    shop_settings,
)
from integration.refunds_fixtures import refund_settles, refunds
from zapisano.app import create_api
from zapisano.db import Database
from zapisano.jobs import tick
from zapisano.payments import PlanOrder, Status, settle, store
from zapisano.payments.promo import apply_promo
from zapisano.payments.promo_model import Promo
from zapisano.payments.store import promo as promos
from zapisano.settings import Settings
from zapisano.tenancy import Suspension, Tenant, activate, archive, restore, suspend

MOMENT = datetime(2026, 11, 22, 9, tzinfo=UTC)

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]


@pytest.fixture
async def browser(settings: Settings, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(create_api(settings, database)) as url, browsing(url) as client:
        yield client


def words(answer: httpx.Response) -> str:
    """The page's text as it is read."""
    return unescape(answer.text).replace("\N{NO-BREAK SPACE}", " ")


async def canceled(buyer: Buyer) -> PlanOrder:
    order = await buyer.orders()
    payment_id = await buyer.starts(order)
    buyer.kassa.control("pay", {"payment_id": payment_id, "card": DECLINED_CARD})
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    return await buyer.order(order.id)


async def test_the_page_says_what_for_whom_and_how_much(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders("3m", company_name='Салон "<b>Ромашка</b>"')
    page = await browser.get(f"/checkout/{order.id}")
    assert page.status_code == 200
    assert "<b>" not in page.text
    for text in ('Салон "<b>Ромашка</b>"', "3 месяца", "90 дней", "Оплатить 799 ₽", "Тестовый"):
        assert text in words(page)


async def test_the_page_speaks_the_orders_language_or_the_one_asked_for(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders(language="en")
    page = await browser.get(f"/checkout/{order.id}")
    assert "Pay 299 ₽" in words(page)
    assert page.headers["content-language"] == "en"
    assert "Оплатить 299 ₽" in words(await browser.get(f"/checkout/{order.id}?lang=ru"))
    assert "Pay 299 ₽" in words(await browser.get(f"/checkout/{order.id}?lang=xx"))


async def test_pages_are_private_and_hold_no_script(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    for path in ("", "/return"):
        page = await browser.get(f"/checkout/{order.id}{path}")
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "noindex" in page.headers["x-robots-tag"]
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in page.text
        assert "style=" not in page.text


async def test_only_the_demo_may_be_framed(buyer: Buyer) -> None:
    order = await buyer.orders()
    demo = shop_settings(buyer.settings, buyer.kassa, demo=True)
    async with serving(create_api(demo, buyer.database)) as url, browsing(url) as client:
        policy = (await client.get(f"/checkout/{order.id}")).headers["content-security-policy"]
    assert "frame-ancestors http://127.0.0.1:* http://localhost:*" in policy


async def test_the_page_names_the_seller_its_terms_and_its_support(buyer: Buyer) -> None:
    order = await buyer.orders()
    told = shop_settings(
        buyer.settings,
        buyer.kassa,
        operator_name="ИП Записалова",
        operator_terms="https://zapisano.example/terms",
        support_contact="@zapisano_help",
    )
    async with serving(create_api(told, buyer.database)) as url, browsing(url) as client:
        page = await client.get(f"/checkout/{order.id}")
    assert "ИП Записалова" in words(page)
    assert 'href="https://zapisano.example/terms"' in page.text
    assert 'href="https://t.me/zapisano_help"' in page.text


async def test_the_button_leads_to_yookassas_page_however_often_it_is_pressed(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    pressed = [await browser.post(f"/checkout/{order.id}/pay") for _ in range(3)]
    assert {answer.status_code for answer in pressed} == {303}
    assert len({answer.headers["location"] for answer in pressed}) == 1
    payment_id = (await buyer.order(order.id)).payment_id
    assert urlsplit(pressed[0].headers["location"]).path == f"/yookassa/pay/{payment_id}"
    assert buyer.kassa.api.removesuffix("/v3") in pressed[0].headers["content-security-policy"]


async def test_yookassa_away_is_told_kindly_and_the_next_press_works(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    buyer.kassa.fault("500", path="/payments")
    answer = await browser.post(f"/checkout/{order.id}/pay")
    assert answer.status_code == 502
    assert "ЮKassa сейчас не отвечает" in words(answer)
    assert "Попробовать ещё раз" in words(answer)
    assert (await browser.post(f"/checkout/{order.id}/pay")).status_code == 303


async def test_a_shop_that_yookassa_refuses_is_told_kindly(buyer: Buyer) -> None:
    order = await buyer.orders()
    wrong = shop_settings(buyer.settings, buyer.kassa, yookassa_secret_key=SecretStr("test_wrong"))
    async with serving(create_api(wrong, buyer.database)) as url, browsing(url) as client:
        answer = await client.post(f"/checkout/{order.id}/pay")
    assert answer.status_code == 502
    assert "Оплату не удалось начать" in words(answer)


async def test_coming_back_proves_nothing_and_has_the_payment_looked_up(
    buyer: Buyer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    order = await buyer.orders()
    payment_id = await buyer.starts(order)
    for number in range(3):
        page = await browser.get(f"/checkout/{order.id}/return?n={number}")
        assert "Ждём подтверждения оплаты" in words(page)
        assert f"url=?n={number + 1}" in page.text
    assert await granted(witness) == (0, 0, 0)
    # Three loads, one look: they are scheduled under one subject.
    due = await witness.fetch("SELECT subject FROM shared.due WHERE kind = 'payments.settle'")
    assert [row[0] for row in due] == [payment_id]
    async with buyer.database.shared() as conn:
        assert await tick(conn, now()) == 1


async def test_the_waiting_page_stops_refreshing_by_itself_in_the_end(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    await buyer.starts(order)
    page = await browser.get(f"/checkout/{order.id}/return?n=20")
    assert "http-equiv" not in page.text
    assert "Проверить ещё раз" in words(page)


async def test_a_paid_order_leads_back_to_the_chat(
    buyer: Buyer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    await witness.execute(
        """INSERT INTO shared.bots (bot_id, username, token, path, secret, managed)
           VALUES (1, 'zapisano_sales_bot', '', 'p', 's', false)"""
    )
    order, payment_id = await buyer.pays()
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    for path in ("", "/return"):
        page = await browser.get(f"/checkout/{order.id}{path}")
        assert "Готово: вернитесь в чат" in words(page)
        assert "Оплата 299 ₽ получена" in words(page)
        assert "К оплате" not in words(page)
        assert 'href="https://t.me/zapisano_sales_bot"' in page.text
        assert "<form" not in page.text
    again = await browser.post(f"/checkout/{order.id}/pay")
    assert (again.status_code, again.headers["location"]) == (303, f"/checkout/{order.id}/return")


async def test_after_a_declined_card_the_buyer_pays_again_in_a_new_order(
    buyer: Buyer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    order = await canceled(buyer)
    page = await browser.get(f"/checkout/{order.id}/return")
    assert "Оплата не прошла" in words(page)
    assert "На карте не хватило денег" in words(page)
    pressed = [await browser.post(f"/checkout/{order.id}/pay") for _ in range(2)]
    assert len({answer.headers["location"] for answer in pressed}) == 1
    successor = await witness.fetchval(
        "SELECT id::text FROM shared.orders WHERE retry_of = $1", order.id
    )
    told = "SELECT subject FROM shared.journal WHERE data ->> 'retry_of' = $1"
    assert await witness.fetchval(told, order.id) == successor  # the demo's guide goes by it
    old = await browser.get(f"/checkout/{order.id}?lang=en")
    assert old.headers["location"] == f"/checkout/{successor}?lang=en"
    assert (await buyer.order(order.id)).status is Status.CANCELED


async def test_a_plan_that_is_no_longer_sold_cannot_be_paid_again(
    buyer: Buyer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    order = await canceled(buyer)
    await witness.execute("UPDATE shared.orders SET plan = 'old' WHERE id = $1", order.id)
    answer = await browser.post(f"/checkout/{order.id}/pay")
    assert answer.status_code == 422
    assert "больше не продаётся" in words(answer)


@pytest.mark.parametrize(
    ("language", "text"),
    [("ru", "Промокод этого заказа уже разобрали"), ("en", "The promo code of this order")],
)
async def test_a_code_that_others_have_used_up_is_said_in_its_own_words(
    buyer: Buyer, browser: httpx.AsyncClient, witness: Witness, language: str, text: str
) -> None:
    code = Promo("LAST", 20, None, 1, None, None, once_per_person=False, created_at=now())
    order = await buyer.orders()
    async with buyer.database.shared() as conn:
        await promos.insert_promo(conn, code)
        await apply_promo(conn, buyer.settings, order.id, "LAST", now())
        await promos.end_promo(conn, "LAST", now())
    aged = "UPDATE shared.orders SET created_at = created_at - interval '30 hours'"
    await witness.execute(aged)
    page = await browser.post(f"/checkout/{order.id}/pay?lang={language}")
    assert text in words(page)
    assert "продаётся" not in words(page)
    assert "no longer sold" not in words(page)
    assert "<form" not in page.text, "it cannot be paid any more"


async def test_a_renewal_says_that_days_are_added(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    order = await buyer.orders(tenant_id=tenants[0].id)
    page = words(await browser.get(f"/checkout/{order.id}"))
    assert "Продление бота" in page
    assert "прибавятся к тем, что остались" in page


async def test_a_closed_business_is_not_sold(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    order = await buyer.orders(tenant_id=tenants[0].id)
    await archive(buyer.database, buyer.settings, tenants[0].id, now=MOMENT)
    page = await browser.get(f"/checkout/{order.id}")
    pressed = await browser.post(f"/checkout/{order.id}/pay")
    assert (page.status_code, pressed.status_code) == (200, 409)
    for told in (page, pressed):
        assert "Этот бизнес закрыт" in words(told)
        assert "<form" not in told.text
    async with buyer.database.shared() as conn:
        assert (await store.get(conn, order.id)).requested_at is None


async def test_a_payment_under_way_is_never_said_to_be_none(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    """The buyer is on YooKassa's page while the business is closed, and has a second tab."""
    order = await buyer.orders(tenant_id=tenants[0].id)
    await buyer.starts(order)
    await archive(buyer.database, buyer.settings, tenants[0].id, now=MOMENT)
    assert "Ждём подтверждения" in words(await browser.get(f"/checkout/{order.id}"))
    pressed = await browser.post(f"/checkout/{order.id}/pay")
    assert (pressed.status_code, pressed.headers["location"]) == (
        303,
        f"/checkout/{order.id}/return",
    )


async def test_money_for_a_business_closed_meanwhile_is_looked_at(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    before, payment_id = await buyer.pays(tenant_id=tenants[0].id)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, MOMENT)
    after, payment_id = await buyer.pays(tenant_id=tenants[0].id)
    await archive(buyer.database, buyer.settings, tenants[0].id, now=MOMENT)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    assert "Готово" in words(await browser.get(f"/checkout/{before.id}"))
    page = words(await browser.get(f"/checkout/{after.id}"))
    assert "Проверяем ваш платёж" in page
    assert "Готово" not in page


async def test_money_for_a_business_open_again_is_paid_time(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    async with buyer.database.shared() as conn:
        await activate(conn, tenants[0].id)
    order, payment_id = await buyer.pays(tenant_id=tenants[0].id)
    await archive(buyer.database, buyer.settings, tenants[0].id, now=MOMENT)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, MOMENT)
    assert "Проверяем ваш платёж" in words(await browser.get(f"/checkout/{order.id}"))
    await restore(buyer.database, buyer.settings, tenants[0].id, now=MOMENT)
    assert "Готово" in words(await browser.get(f"/checkout/{order.id}"))
    open_ = "SELECT count(*) FROM shared.reviews WHERE closed_at IS NULL"
    assert await witness.fetchval(open_) == 1  # a person still sees that it came while closed


async def test_a_pause_by_support_is_told_before_and_after_paying(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    order = await buyer.orders(tenant_id=tenants[0].id)
    note = "оплата добавит дни, но паузу не снимет"
    assert note not in words(await browser.get(f"/checkout/{order.id}"))
    async with buyer.database.shared() as conn:
        await activate(conn, tenants[0].id)
        await suspend(conn, tenants[0].id, Suspension.OPERATOR)
    assert note in words(await browser.get(f"/checkout/{order.id}"))
    payment_id = await buyer.starts(order)
    buyer.kassa.control("pay", {"payment_id": payment_id})
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, MOMENT)
    page = words(await browser.get(f"/checkout/{order.id}"))
    assert "Оплачено до 22.12.2026." in page
    assert "по-прежнему приостановлен" in page
    assert "Больше ничего делать не нужно" not in page


async def test_a_paid_renewal_says_until_when_and_asks_for_nothing(
    buyer: Buyer, browser: httpx.AsyncClient, tenants: tuple[Tenant, Tenant]
) -> None:
    order, payment_id = await buyer.pays(tenant_id=tenants[0].id)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, MOMENT)
    waiting = words(await browser.get(f"/checkout/{order.id}/return"))
    assert "Следующий шаг уже ждёт вас в чате" in waiting  # its bot is still to be made
    async with buyer.database.shared() as conn:
        await activate(conn, tenants[0].id)
    page = words(await browser.get(f"/checkout/{order.id}/return"))
    assert "Оплачено до 22.12.2026. Больше ничего делать не нужно." in page
    assert "Следующий шаг" not in page
    english = words(await browser.get(f"/checkout/{order.id}/return?lang=en"))
    assert "Paid until 22.12.2026. Nothing more to do." in english
    another = await buyer.orders(tenant_id=tenants[0].id)
    page = words(await browser.get(f"/checkout/{another.id}"))
    assert "Сейчас оплачено до 22.12.2026: новые дни прибавятся." in page


@pytest.mark.parametrize(
    "order_id", ["1", "x" * 300, "%00", "9b2f1f5e-64b3-4f0e-8d53-5f6c1f0e7a11", "client_001"]
)
async def test_an_order_that_is_not_there_is_told_kindly(
    browser: httpx.AsyncClient, order_id: str
) -> None:
    for answer in (
        await browser.get(f"/checkout/{order_id}"),
        await browser.get(f"/checkout/{order_id}/return"),
        await browser.post(f"/checkout/{order_id}/pay"),
    ):
        assert answer.status_code == 404
        assert "Такого заказа нет" in words(answer)


async def test_a_database_that_is_away_is_told_kindly(settings: Settings) -> None:
    dead = "postgresql://nobody@127.0.0.1:1/nowhere"
    away = settings.model_copy(update={"database_url": SecretStr(dead)})
    database = Database(away, dsn=dead, isolated=False)
    async with serving(create_api(away, database)) as url, browsing(url) as client:
        for answer in (
            await client.get(f"/checkout/{uuid.uuid4()}"),
            await client.post(f"/checkout/{uuid.uuid4()}/pay"),
        ):
            assert answer.status_code == 503
            assert "Сейчас мы не успеваем ответить" in words(answer)


async def test_the_clients_timeouts_are_the_documented_ones(settings: Settings) -> None:
    async with client_of(settings) as client:
        timeout = client._http.timeout
    assert (timeout.connect, timeout.read) == (5.0, 15.0)


async def test_an_order_whose_plan_is_sold_no_more_keeps_its_price(
    buyer: Buyer, database: Database, settings: Settings, tmp_path: Path
) -> None:
    order = await buyer.orders()
    only = tmp_path / "plans.toml"
    only.write_text('[2m]\nname = "2 месяца"\ndays = 60\nprice = 500\n')
    shop = settings.model_copy(update={"plans_file": only})
    async with serving(create_api(shop, database)) as url, browsing(url) as browser:
        page = words(await browser.get(f"/checkout/{order.id}"))
        assert "30 дней" in page
        assert "299 ₽" in page
        pressed = await browser.post(f"/checkout/{order.id}/pay")
    assert pressed.status_code == 303
    assert (await buyer.order(order.id)).payment_id


async def test_money_that_went_back_is_said(buyer: Buyer, browser: httpx.AsyncClient) -> None:
    order, payment_id = await buyer.pays()
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, MOMENT)
    for part, heading in (("100", "Готово"), ("199", "Деньги возвращены")):
        await refund_settles(buyer, await refunds(buyer, order.id, part))
        page = words(await browser.get(f"/checkout/{order.id}"))
        assert heading in page
    assert "Возвращено299 ₽" in page.replace("</dt><dd>", "")
    assert "Следующий шаг" not in page
