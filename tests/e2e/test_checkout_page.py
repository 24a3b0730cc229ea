"""A person buys in a real Chromium: our page, YooKassa's page, and back."""

from collections.abc import AsyncGenerator

import pytest
from chromium import NARROW, WIDE, chromium, judge, needs_chromium, open_page
from playwright.async_api import Browser, expect

from integration.payments_fixtures import (
    DECLINED_CARD,
    Buyer,
    Witness,
    buyer,
    granted,
    kassa,
    now,
    provider,
    serving,
    settings,
    shared_kassa,
    shop_settings,
    until,
    working,
)
from integration.refunds_fixtures import refund_settles, refunds
from zapisano.app import create_api
from zapisano.payments import Order, settle
from zapisano.payments.promo import apply_promo
from zapisano.payments.promo_model import Promo
from zapisano.payments.store import promo as promos
from zapisano.settings import Settings

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]
pytestmark = needs_chromium
SHOWN = {
    "operator_terms": "https://zapisano.example/terms",
    "support_contact": "@zapisano_help",
    "demo": True,
}
EVERYTHING = {
    "yookassa_autopay": True,
    "yookassa_receipts": True,
    "yookassa_vat_code": 1,
    "yookassa_tax_system": 2,
    "operator_requisites": "ИП Иванова Мария Сергеевна, ИНН 770123456789, ОГРНИП 319774600123456",
    "operator_refunds": "за неиспользованные дни, в течение 10 дней",
}


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as started:
        yield started


def at(buyer: Buyer, url: str) -> Buyer:
    """The same buyer in a shop whose pages are at this address."""
    here = shop_settings(buyer.settings, buyer.kassa, public_url=url, **SHOWN)
    return Buyer(buyer.database, here, buyer.provider, buyer.kassa)


async def in_state(buyer: Buyer, state: str) -> tuple[Order, str]:
    """An order of this state, and the path that shows it."""
    order = await buyer.orders(company_name="Салон красоты «Ромашка» на Большой Никитской")
    if state == "form":
        await promise(buyer, order)
    if state in {"pay", "form"}:
        return order, ""
    payment_id = await buyer.starts(order)
    if state == "canceled":
        buyer.kassa.control("pay", {"payment_id": payment_id, "card": DECLINED_CARD})
    if state in {"paid", "refunded"}:
        buyer.kassa.control("pay", {"payment_id": payment_id})
    if state != "waiting":
        await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    if state == "refunded":
        await refund_settles(buyer, await refunds(buyer, order.id, "299"))
    return order, "/return?n=20" if state == "waiting" else "/return"


async def promise(buyer: Buyer, order: Order) -> None:
    """Give the order a promo code."""
    promo = Promo(
        "WELCOME-2026", 20, None, None, None, None, once_per_person=False, created_at=now()
    )
    async with buyer.database.shared() as conn:
        await promos.insert_promo(conn, promo)
        await apply_promo(conn, buyer.settings, order.id, promo.code, now())


@pytest.mark.parametrize("state", ["pay", "waiting", "paid", "canceled", "form", "refunded"])
async def test_every_state_can_be_read_on_any_screen(
    buyer: Buyer, witness: Witness, browser: Browser, state: str
) -> None:
    await witness.execute(
        """INSERT INTO shared.bots (bot_id, username, token, path, secret, managed)
           VALUES (1, 'zapisano_sales_bot', '', 'p', 's', false)"""
    )
    more = EVERYTHING if state == "form" else {}
    here = shop_settings(buyer.settings, buyer.kassa, **SHOWN, **more)
    order, path = await in_state(buyer, state)
    async with serving(create_api(here, buyer.database)) as url:
        for size in (NARROW, WIDE):
            for scheme in ("light", "dark"):
                address = f"{url}/checkout/{order.id}{path}"
                async with open_page(browser, address, size, scheme) as page:
                    await judge(page, f"checkout-{state}-{size[0]}-{scheme}")
        async with open_page(browser, f"{url}/checkout/{order.id}?lang=en", NARROW) as page:
            await judge(page, f"checkout-{state}-english")


async def test_a_purchase_by_keyboard_with_a_declined_card_first(
    buyer: Buyer, witness: Witness, browser: Browser
) -> None:
    # The pages' address goes into the frozen request, so the server starts before the order.
    app = create_api(buyer.settings, buyer.database)
    async with (
        serving(app) as url,
        working(buyer.database, buyer.provider, buyer.settings),
    ):
        shop = at(buyer, url)
        app.state.settings = shop.settings
        order = await shop.orders()
        async with open_page(browser, f"{url}/checkout/{order.id}", NARROW) as page:
            await page.get_by_role("button", name="Оплатить").press("Enter")
            await page.wait_for_url("**/yookassa/pay/**")
            failed = (await shop.order(order.id)).payment_id
            shop.kassa.control("pay", {"payment_id": failed, "card": DECLINED_CARD})
            await page.goto(f"{url}/checkout/{order.id}/return")
            again = page.get_by_role("button", name="Оплатить ещё раз")
            await expect(again).to_be_visible()
            await again.press("Enter")
            await page.wait_for_url("**/yookassa/pay/**")
            second = page.url.rpartition("/")[2]
            assert second != failed
            shop.kassa.control("pay", {"payment_id": second})
            retried = await witness.fetchval(
                "SELECT id::text FROM shared.orders WHERE payment_id = $1", second
            )
            await page.goto(f"{url}/checkout/{retried}/return")
            await expect(page.get_by_role("heading", level=1)).to_have_text(
                "Готово: вернитесь в чат"
            )
        await until(lambda: witness.fetchval("SELECT count(*) FROM shared.day_grants"))
    assert await granted(witness) == (1, 1, 1)


async def test_the_page_shows_inside_the_demos_phone(
    buyer: Buyer, browser: Browser, settings: Settings
) -> None:
    """Another origin on this machine frames it, and the button works in the frame."""
    here = shop_settings(settings, buyer.kassa, **SHOWN)
    order = await buyer.orders()
    async with serving(create_api(here, buyer.database)) as url:
        frame = f'<!doctype html><title>phone</title><iframe src="{url}/checkout/{order.id}">'
        async with open_page(browser, f"{buyer.kassa.url}/yookassa/control/clock") as page:
            await page.set_content(frame)
            inside = page.frame_locator("iframe")
            await inside.get_by_role("button", name="Оплатить").click()

            async def moved_on() -> bool:
                return any("/yookassa/pay/" in one.url for one in page.frames)

            await until(moved_on)
            await expect(inside.get_by_text("299").first).to_be_visible()
