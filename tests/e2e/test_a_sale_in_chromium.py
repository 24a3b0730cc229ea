"""The story of the house as a visitor of the demo page lives it, in a real Chromium.

Its pictures are kept in `test-output/`; two of them are in the README (`docs/images/README.md`).
"""

import re
from contextvars import ContextVar

import pytest
from chromium import NARROW, OUTPUT, WIDE, chromium, judge, needs_chromium, open_page
from playwright.async_api import FrameLocator, Locator, Page, expect
from product import Product

pytestmark = needs_chromium
STATIONS = 7
SLOW_MS = 60_000

speaks: ContextVar[str] = ContextVar("speaks")
"""Language of the visitor, "ru" or "en"."""
ENGLISH = {
    "Начните здесь": "Start here",
    "Начать": "Start",
    "Выбрать тариф": "See the prices",
    "1 месяц · 299 ₽": "30 days · 299 ₽",
    "Как называется": "What is your business called",
    "Сообщение": "Message",
    "Оплатить 299": "Pay 299",
    "Готово: вернитесь в чат": "Done: return to the chat",
    "Вернуться в чат": "Return to the chat",
    "нажмите «Оплатить»": "press “Pay”",
    "Оплата · Записано": "Payment · Записано",
    "Осталось одно нажатие": "One tap is left",
    "Создать бота": "Create my bot",
    "Создать": "Create the bot",
    "Новый бот": "New bot",
    "Готово! Ваш бот": "works!",
    "Открыть @": "Open @",
    "Пока в нём пример": "So far it holds an example",
    "Вы: Борис": "You are Boris",
    "Записаться": "📝 Book",
    "Стрижка": "Haircut",
    "В какой день?": "Which day?",
    "Во сколько?": "At what time?",
    "Всё верно?": "Is everything right?",
    "✅ Записаться": "✅ Book",
    "Вы записаны!": "You are booked!",
    "в 15:00": "15:00",
    "Владельцу пришло сообщение": "The owner got a message",
    "Телефон владельца": "The owner's phone",
    "Это телефон владельца.": "This is the owner's phone.",
    "Новая запись": "New booking",
    "Управление": "Manage",
    "· сегодня": "· today",
}


def w(text: str) -> str:
    """The words of the page, of the chats and of the checkout, as this visitor reads them."""
    return text if speaks.get() == "ru" else ENGLISH[text]


async def see(page: Page, name: str) -> None:
    """Judge what is seen; its picture is kept under a name of its own for each language."""
    await judge(page, f"{name}-{speaks.get()}")


async def said(page: Page, text: str) -> None:
    """A message with this text is in the chat."""
    await expect(page.get_by_role("log").get_by_text(text).last).to_be_visible(timeout=SLOW_MS)


async def tap(page: Page, text: str) -> None:
    """Press the chat's button with this on it, the newest of them."""
    await page.get_by_role("log").get_by_role("button", name=text).last.click(timeout=SLOW_MS)


async def lit(page: Page, count: int) -> None:
    """So many stations of the story have been reached."""
    await expect(page.locator(".station.done")).to_have_count(count, timeout=SLOW_MS)


async def hint(page: Page, text: str) -> None:
    """The sentence above the phone says what to press next."""
    await expect(page.locator("#hint")).to_contain_text(text, timeout=SLOW_MS)


def web_page(page: Page) -> FrameLocator:
    """What the browser inside the phone shows."""
    return page.frame_locator("iframe")


async def picture(page: Page, name: str) -> None:
    """A picture for the README, of its size on the page."""
    await page.screenshot(path=OUTPUT / f"{name}.{speaks.get()}.png", animations="disabled")


async def order(page: Page, company: str) -> None:
    """From the first button to our checkout page."""
    await hint(page, w("Начните здесь"))
    await see(page, "sale-1-start")
    await page.get_by_role("button", name=w("Начать")).click()
    await tap(page, w("Выбрать тариф"))
    await tap(page, w("1 месяц · 299 ₽"))
    await said(page, w("Как называется"))
    await page.get_by_label(w("Сообщение"), exact=True).fill(company)
    await page.keyboard.press("Enter")
    await said(page, company)
    await lit(page, 1)
    await hint(page, w("нажмите «Оплатить»"))
    await see(page, "sale-2-order")


async def pay(page: Page) -> None:
    """Our page, YooKassa's page, and the way back to the chat."""
    await page.get_by_role("log").get_by_text(w("Оплатить 299")).last.click()
    ours = web_page(page)
    button = ours.get_by_role("button", name=re.compile("Оплатить 299|Pay 299"))
    await expect(button).to_be_visible(timeout=SLOW_MS)
    address = page.locator(".address")
    await expect(address).to_have_text(re.compile(r"^127\.0\.0\.1:\d+$"))
    await see(page, "sale-3-checkout")
    await button.click()
    await ours.get_by_role("link", name="5555 •••• 4477").click(timeout=SLOW_MS)
    await expect(address).to_have_text(w("Оплата · Записано"))
    await expect(address.locator("svg")).to_have_count(0)  # no padlock over plain http
    await see(page, "sale-4-yookassa")
    await ours.get_by_role("button", name=re.compile("Заплатить|Pay .*299")).click()
    done = ours.get_by_role("heading", name=w("Готово: вернитесь в чат"))
    await expect(done).to_be_visible(timeout=SLOW_MS)
    await see(page, "sale-5-paid")
    await ours.get_by_role("link", name=w("Вернуться в чат")).click()
    await expect(page.locator("iframe")).to_have_count(0, timeout=SLOW_MS)
    await said(page, w("Осталось одно нажатие"))


async def create_bot(page: Page) -> None:
    """The one button, Telegram's dialog, and the new bot."""
    await lit(page, 5)
    await hint(page, w("Создать бота"))
    await see(page, "sale-6-one-button")
    await page.get_by_role("button", name=w("Создать бота")).click()
    dialog = page.get_by_role("dialog", name=w("Новый бот"))
    await see(page, "sale-7-dialog")
    await dialog.get_by_role("button", name=w("Создать")).click()
    await said(page, w("Готово! Ваш бот"))
    await lit(page, 6)
    await see(page, "sale-8-bot")


async def greet_the_owner(page: Page) -> None:
    """The owner opens the new bot, so that it may write to her."""
    await page.get_by_role("log").get_by_text(w("Открыть @")).last.click()
    await page.get_by_role("button", name=w("Начать")).click(timeout=SLOW_MS)
    await said(page, w("Пока в нём пример"))
    await see(page, "sale-9-owner")


def days(page: Page) -> Locator:
    """The days of the calendar that can be pressed."""
    return page.get_by_role("log").get_by_role("button", name=re.compile(r"^\d{1,2}$"))


async def book(page: Page) -> None:
    """The phone is handed to a customer, who books a haircut."""
    await page.locator("#hint").get_by_role("button").click()
    await expect(page.get_by_role("button", name=w("Вы: Борис"))).to_be_visible()
    await page.get_by_role("button", name=w("Начать")).click(timeout=SLOW_MS)
    await tap(page, w("Записаться"))
    await tap(page, w("Стрижка"))
    await said(page, w("В какой день?"))
    await see(page, "sale-10-day")
    await days(page).nth(1).or_(days(page).last).first.click()
    await said(page, w("Во сколько?"))
    await picture(page, "demo")
    await see(page, "sale-11-time")
    await tap(page, "15:00")
    await said(page, w("Всё верно?"))
    await tap(page, w("✅ Записаться"))
    await said(page, w("Вы записаны!"))
    await lit(page, STATIONS)
    # Both sides of the page speak of the same hour, wherever the browser thinks it is.
    await expect(page.get_by_role("log").get_by_text("15:00")).to_be_visible()
    await expect(page.locator(".station.done").last).to_contain_text(w("в 15:00"))
    await see(page, "sale-12-booked")
    await expect(page.locator(".station").last).to_contain_text(w("Владельцу пришло сообщение"))
    await page.locator("#hint").get_by_role("button", name=w("Телефон владельца")).click()
    await hint(page, w("Это телефон владельца."))
    await said(page, w("Новая запись"))


async def see_it_as_the_owner(page: Page) -> None:
    """On a real phone's width the owner reads of the booking and opens her day."""
    await said(page, w("Новая запись"))
    await hint(page, w("Это телефон владельца."))
    await picture(page, "phone")
    await see(page, "sale-13-owner-told")
    await tap(page, w("Управление"))
    await said(page, w("· сегодня"))
    day = page.get_by_role("log").locator(".message.theirs").first
    while "15:00-16:00" not in (shown := await day.text_content() or ""):
        await tap(page, "›")
        await expect(day).not_to_have_text(shown, timeout=SLOW_MS)
    await see(page, "sale-14-owner-day")


@pytest.mark.parametrize(("lang", "locale"), [("ru", "ru-RU"), ("en", "en-GB")])
async def test_a_visitor_buys_a_bot_and_is_booked_in_it(
    own_product: Product, lang: str, locale: str
) -> None:
    speaks.set(lang)
    product = own_product
    async with chromium() as browser:
        async with open_page(browser, f"{product.simulator_url}/", WIDE, locale=locale) as page:
            await order(page, "Студия Лён" if lang == "ru" else "Linen Studio")
            await pay(page)
            await create_bot(page)
            await greet_the_owner(page)
            await book(page)
        bot = product.value("SELECT username FROM bots WHERE tenant_id = 'client_001'")
        async with open_page(
            browser, f"{product.simulator_url}/?bot={bot}", NARROW, locale=locale
        ) as page:
            await see_it_as_the_owner(page)
    assert product.value("SELECT count(*) FROM bookings", schema="client_001") == 1
    assert product.leaks() == []
