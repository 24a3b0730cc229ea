"""The form of the checkout page: the box for autopay, and where the receipt goes."""

import json
import re
from collections.abc import AsyncGenerator
from html import unescape

import httpx
import pytest

from integration.payments_fixtures import (
    DECLINED_CARD,
    Buyer,
    Witness,
    browsing,
    buyer,
    kassa,
    now,
    provider,
    serving,
    shared_kassa,
    shop_settings,
)
from integration.yookassa_fixtures import Simulator
from zapisano.app import create_api
from zapisano.db import Database
from zapisano.payments import PlanOrder, Status, settle
from zapisano.payments.promo import apply_promo
from zapisano.payments.promo_model import Promo
from zapisano.payments.store import promo as promos
from zapisano.settings import Settings

__all__ = ["buyer", "kassa", "provider", "shared_kassa"]
TICKED = {"autopay": "yes"}
ANNA = {"receipt": "anna@example.org"}
BOX = re.compile(r'<input type="checkbox"[^>]*>')


@pytest.fixture
def settings(settings: Settings, kassa: Simulator) -> Settings:
    return shop_settings(
        settings,
        kassa,
        yookassa_autopay=True,
        yookassa_receipts=True,
        yookassa_vat_code=1,
        yookassa_tax_system=2,
        operator_terms="оферта № 1",
        operator_requisites="ИНН 770000000000",
        operator_refunds="за неиспользованные дни, в течение 10 дней",
    )


@pytest.fixture
async def browser(settings: Settings, database: Database) -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(create_api(settings, database)) as url, browsing(url) as client:
        yield client


def words(answer: httpx.Response) -> str:
    return unescape(answer.text).replace("\N{NO-BREAK SPACE}", " ")


def box(answer: httpx.Response) -> str:
    found = BOX.search(answer.text)
    return found.group() if found else ""


async def pressed(browser: httpx.AsyncClient, order: PlanOrder, **fields: str) -> httpx.Response:
    return await browser.post(f"/checkout/{order.id}/pay", data=fields)


async def test_the_box_is_unticked_and_says_the_sum_and_the_period(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    page = await browser.get(f"/checkout/{(await buyer.orders()).id}")
    assert box(page)
    assert "checked" not in box(page)
    for text in (
        "Списывать 299 ₽ каждые 30 дней, пока не отключу",
        "Без этой отметки сами мы ничего не спишем",
        "Куда прислать чек",
        "ИНН 770000000000",
        "Возврат денег: за неиспользованные дни",
        "Условия (оферта): оферта № 1",
    ):
        assert text in words(page)
    assert "Разовый платёж" not in words(page)
    assert "<script" not in page.text


async def test_without_settings_there_is_neither_box_nor_field(
    buyer: Buyer, settings: Settings
) -> None:
    off = settings.model_copy(update={"yookassa_autopay": False, "yookassa_receipts": False})
    order = await buyer.orders()
    async with serving(create_api(off, buyer.database)) as url, browsing(url) as client:
        page = await client.get(f"/checkout/{order.id}")
        assert (await pressed(client, order, **TICKED, receipt="x")).status_code == 303
    assert box(page) == ""
    assert "Куда прислать чек" not in words(page)
    assert "Разовый платёж. Сами мы ничего не спишем." in words(page)
    kept = await buyer.order(order.id)
    assert (kept.saves_method, kept.receipt_contact) == (False, None)


async def test_a_press_freezes_what_was_chosen(buyer: Buyer, browser: httpx.AsyncClient) -> None:
    order, other = await buyer.orders(), await buyer.orders()
    assert (await pressed(browser, order, **TICKED, **ANNA)).status_code == 303
    kept = await buyer.order(order.id)
    body = json.loads(kept.request_body)
    assert (kept.saves_method, body["save_payment_method"]) == (True, True)
    assert body["receipt"]["customer"] == {"email": "anna@example.org"}
    assert body["receipt"]["items"][0]["amount"]["value"] == "299.00"
    again = await browser.get(f"/checkout/{order.id}")
    assert "checked" in box(again)
    assert "Чек придёт на anna@example.org." in words(again)
    assert await buyer.order(other.id) == other


async def test_a_receipt_needs_somebody_to_be_sent_to(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    for fields in ({}, {"receipt": "anna"}):
        answer = await pressed(browser, order, **TICKED, **fields)
        assert answer.status_code == 422
        assert "Проверьте, куда прислать чек" in words(answer)
        assert f'value="{fields.get("receipt", "")}"' in answer.text
        assert "Оплатить 299 ₽" in words(answer)  # mended, it goes on as before
        assert "Не получилось" not in words(answer)
        assert 'aria-invalid="true" autofocus' in answer.text
    assert (await buyer.order(order.id)).requested_at is None
    assert (await pressed(browser, order, receipt="8 916 123-45-67")).status_code == 303
    body = json.loads((await buyer.order(order.id)).request_body)
    assert body["receipt"]["customer"] == {"phone": "79161234567"}


async def test_after_an_outage_the_box_is_as_it_was_kept(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    buyer.kassa.fault("500", path="/payments")
    answer = await pressed(browser, order, **TICKED, **ANNA)
    assert answer.status_code == 502
    assert "checked" in box(answer)
    assert (await pressed(browser, order)).status_code == 303  # unticked now
    kept = await buyer.order(order.id)
    assert not kept.saves_method
    assert json.loads(kept.request_body)["save_payment_method"] is True  # frozen, and not used


@pytest.mark.parametrize("ticks", [True, False])
async def test_the_page_of_a_paid_order_says_what_was_agreed_to(
    buyer: Buyer, browser: httpx.AsyncClient, ticks: bool
) -> None:
    order = await buyer.orders()
    await pressed(browser, order, **(TICKED if ticks else {}), **ANNA)
    payment_id = (await buyer.order(order.id)).payment_id or ""
    buyer.kassa.control("pay", {"payment_id": payment_id})
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    said = words(await browser.get(f"/checkout/{order.id}/return"))
    agreed = "Автоплатёж включён: «Списывать 299 ₽ каждые 30 дней, пока не отключу»."
    assert (agreed in said) is ticks
    assert ("команда /my" in said) is ticks


async def test_a_tick_that_comes_too_late_is_told_kindly(
    buyer: Buyer, browser: httpx.AsyncClient
) -> None:
    order = await buyer.orders()
    assert (await pressed(browser, order, **ANNA)).status_code == 303
    assert box(await browser.get(f"/checkout/{order.id}")) == ""
    answer = await pressed(browser, order, **TICKED)
    assert answer.status_code == 409
    assert "Этот платёж уже начат без автоплатежа" in words(answer)
    assert (await pressed(browser, order)).status_code == 303


async def test_paying_again_after_a_decline_asks_again(
    buyer: Buyer, browser: httpx.AsyncClient, witness: Witness
) -> None:
    order = await buyer.orders()
    await pressed(browser, order, **TICKED, **ANNA)
    payment_id = (await buyer.order(order.id)).payment_id or ""
    buyer.kassa.control("pay", {"payment_id": payment_id, "card": DECLINED_CARD})
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    page = await browser.get(f"/checkout/{order.id}")
    assert "checked" not in box(page)
    assert 'value="anna@example.org"' in page.text
    bad = await pressed(browser, order, **TICKED)
    assert bad.status_code == 422
    assert await witness.fetchval("SELECT count(*) FROM shared.orders") == 1
    assert (await pressed(browser, order, **TICKED, **ANNA)).status_code == 303
    successor = await witness.fetchrow(
        "SELECT status, saves_method, receipt_contact FROM shared.orders WHERE retry_of = $1",
        order.id,
    )
    assert successor is not None
    assert tuple(successor) == ("pending", True, "anna@example.org")
    assert (await buyer.order(order.id)).status is Status.CANCELED


async def test_a_code_is_shown_with_the_usual_price_and_the_saving(
    buyer: Buyer, browser: httpx.AsyncClient, settings: Settings
) -> None:
    summer = Promo("SUMMER", 20, None, None, None, None, once_per_person=False, created_at=now())
    order, other = await buyer.orders(), await buyer.orders()
    async with buyer.database.shared() as conn:
        await promos.insert_promo(conn, summer)
        await apply_promo(conn, settings, order.id, "SUMMER", now())
    page = words(await browser.get(f"/checkout/{order.id}"))
    assert '<dt>Промокод</dt><dd>SUMMER <span class="saved">−59,80 ₽</span>' in page
    assert '<s><span class="unseen">вместо </span>299 ₽</s> 239,20 ₽' in page
    assert "Оплатить 239,20 ₽" in page
    assert "Списывать 299 ₽ каждые 30 дней" in page
    assert "Если включите автоплатёж, он пойдёт по обычной цене" in page
    english = words(await browser.get(f"/checkout/{order.id}?lang=en"))
    assert '<s><span class="unseen">instead of </span>299 ₽</s> 239.20 ₽' in english
    assert "Промокод" not in words(await browser.get(f"/checkout/{other.id}"))
    await pressed(browser, order, **ANNA)
    payment_id = (await buyer.order(order.id)).payment_id or ""
    buyer.kassa.control("pay", {"payment_id": payment_id})
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    paid = words(await browser.get(f"/checkout/{order.id}"))
    assert "<dt>Промокод</dt><dd>SUMMER</dd>" in paid
    assert "<s>" not in paid  # the price list may be another by now
