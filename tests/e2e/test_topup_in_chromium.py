"""A person buys credits in a real Chromium: YooKassa's page, our page, and back to the app."""

from collections.abc import AsyncGenerator
from decimal import Decimal

import pytest
from chromium import NARROW, WIDE, chromium, judge, needs_chromium, open_page
from playwright.async_api import Browser, expect

from integration.payments_fixtures import (
    DECLINED_CARD,
    Witness,
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
from integration.topup_fixtures import ANNA, Payer, payer, topups
from zapisano.app import create_api
from zapisano.payments import AutoTerms, CreditsOrder, top_up
from zapisano.payments.auto_methods import newest

__all__ = ["kassa", "payer", "provider", "settings", "shared_kassa"]
pytestmark = needs_chromium
LONG = "anna-maria.konstantinova-preobrazhenskaya." * 5 + "@example.ru"
SHOWN = {
    "operator_terms": "https://zapisano.example/terms",
    "support_contact": "@zapisano_help",
    "credits_return_url": "https://app.example.com/billing",
}


@pytest.fixture
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as started:
        yield started


async def in_state(payer: Payer, witness: Witness, state: str) -> tuple[CreditsOrder, str]:
    """An order of this state, and the path that shows it."""
    asked = await payer.asks("1490.50", email=LONG)
    assert asked.payment_id is not None
    if state == "pay":
        return asked, ""
    if state in {"paid", "review", "canceled"}:
        card = {"card": DECLINED_CARD} if state == "canceled" else {}
        payer.kassa.control("pay", {"payment_id": asked.payment_id, **card})
    if state == "review":
        await witness.execute("UPDATE public.user_balances SET frozen = 'x' WHERE email = $1", LONG)
    if state != "waiting":
        await payer.settles(asked.payment_id)
    return asked, "/return?n=20" if state == "waiting" else "/return"


@pytest.mark.parametrize("state", ["pay", "waiting", "paid", "canceled", "review"])
async def test_every_state_can_be_read_on_any_screen(
    payer: Payer, witness: Witness, browser: Browser, state: str
) -> None:
    here = shop_settings(payer.settings, payer.kassa, **SHOWN)
    asked, path = await in_state(payer, witness, state)
    async with serving(create_api(here, payer.database)) as url:
        for size, scheme in ((NARROW, "light"), (NARROW, "dark"), (WIDE, "light")):
            address = f"{url}/checkout/{asked.id}{path}"
            async with open_page(browser, address, size, scheme) as page:
                await judge(page, f"topup-{state}-{size[0]}-{scheme}")
        async with open_page(browser, f"{url}/checkout/{asked.id}?lang=en", NARROW) as page:
            await judge(page, f"topup-{state}-english")


async def test_from_the_apps_link_to_the_truth_and_back(
    payer: Payer, witness: Witness, browser: Browser
) -> None:
    app = create_api(payer.settings, payer.database)
    async with serving(app) as url, working(payer.database, payer.provider, payer.settings):
        # The pages' address goes into the frozen request, so the server starts before the order.
        here = shop_settings(payer.settings, payer.kassa, public_url=url, **SHOWN)
        app.state.settings = here
        asked = await Payer(payer.database, here, payer.provider, payer.kassa).asks("500")
        assert asked.confirmation_url is not None
        async with open_page(browser, asked.confirmation_url, NARROW) as page:
            await page.get_by_role("link", name="5555 •••• 4477").click()
            await page.get_by_role("button", name="Заплатить 500,00").click()
            await page.wait_for_url(f"{url}/checkout/{asked.id}/return*", wait_until="commit")
            # Nobody has notified us: the page itself has the payment looked up.
            heading = page.get_by_role("heading", level=1)
            await expect(heading).to_have_text("Готово, кредиты зачислены")
            await expect(page.get_by_text("Сейчас на счёте: 550.")).to_be_visible()
            back = page.get_by_role("link", name="Вернуться в приложение")
            address = f"https://app.example.com/billing?topup={asked.id}"
            await expect(back).to_have_attribute("href", address)
        await until(lambda: topups(witness))
    assert len(await topups(witness)) == 1


TERMS = AutoTerms(Decimal(100), Decimal(500), 2)


@pytest.mark.parametrize(
    ("language", "box", "most", "is_on"),
    [
        (
            "ru",
            "когда останется меньше 100 кредитов, не чаще 2 раз в день",
            "Это не больше 1\xa0000 ₽ в день.",
            "Автопополнение включено",
        ),
        (
            "en",
            "when fewer than 100 credits are left, at most 2 times a day",
            "That is 1\xa0000 ₽ a day at most.",
            "Auto top-up is on",
        ),
    ],
)
async def test_auto_topup_is_agreed_to_by_a_tick(
    payer: Payer, browser: Browser, language: str, box: str, most: str, is_on: str
) -> None:
    app = create_api(payer.settings, payer.database)
    async with serving(app) as url, working(payer.database, payer.provider, payer.settings):
        here = shop_settings(
            payer.settings, payer.kassa, public_url=url, yookassa_autopay=True, **SHOWN
        )
        app.state.settings = here
        order = await top_up(
            payer.database,
            payer.provider,
            here,
            email=ANNA,
            amount=Decimal(500),
            key=None,
            language=language,
            auto=TERMS,
            now=now(),
        )
        address = f"{url}/checkout/{order.id}?lang={language}"
        for size, scheme in ((NARROW, "dark"), (WIDE, "light")):
            async with open_page(browser, address, size, scheme) as page:
                await judge(page, f"auto-topup-{language}-{size[0]}-{scheme}")
        async with open_page(browser, address, NARROW) as page:
            tick = page.get_by_role("checkbox", name=box)
            await expect(tick).not_to_be_checked()
            await expect(page.get_by_text(most)).to_be_visible()
            await judge(page, f"auto-topup-{language}-asked")
            await tick.check()
            await page.locator("button.primary").click()
            await page.get_by_role("link", name="5555 •••• 4477").click()
            await page.locator("button").first.click()
            await page.wait_for_url(f"{url}/checkout/{order.id}/return*", wait_until="commit")
            await expect(page.get_by_text(is_on)).to_be_visible()
            await judge(page, f"auto-topup-{language}-on")
        async with payer.database.shared() as conn:
            kept = await newest(conn, ANNA)
    assert kept is not None
    assert (kept.terms, kept.card, kept.ended_for) == (TERMS, "•• 4477", None)
