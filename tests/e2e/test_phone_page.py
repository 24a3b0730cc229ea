"""A person uses the phone page in a real Chromium; a real aiogram bot answers."""

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from chromium import NARROW, WIDE, chromium, judge, needs_chromium, open_page
from pages_fixtures import SALES_BOT_TOKEN, TOKEN, Product, running_simulator, sale
from playwright.async_api import Browser, Page, expect
from small_bot import small_bot

pytestmark = [*needs_chromium, pytest.mark.asyncio(loop_scope="module")]
BOT = "zapisano_sales_bot"
BOOKED: list[dict[str, Any]] = [
    {"id": 20 + n, "at": at, "kind": kind, "tenant": "client_001", "subject": subject, "data": {}}
    for n, (kind, subject, at) in enumerate(
        [
            ("bot.attached", "77", "2026-11-22T15:01:00Z"),
            ("tenant.active", "client_001", "2026-11-22T15:01:00Z"),
            ("booking.created", "b1", "2026-11-22T15:02:00.5Z"),
            ("booking.owner_told", "b1", "2026-11-22T15:02:02Z"),
        ]
    )
]
CANCELLED: list[dict[str, Any]] = [
    {"id": 30 + n, "at": at, "kind": kind, "tenant": "client_001", "subject": subject, "data": {}}
    for n, (kind, subject, at) in enumerate(
        [
            ("booking.cancelled", "b1", "2026-11-22T15:03:00Z"),
            ("booking.created", "b2", "2026-11-22T15:04:00.5Z"),
        ]
    )
]
HINTS = """async (events) => {
  const { nextStep } = await import("/static/hints.js");
  const order = "11111111-2222-3333-4444-555555555555";
  const known = events.map((one) => JSON.parse(JSON.stringify(one).replaceAll("order-1", order)));
  const [sales, own] = [{ username: "seller" }, { id: 77, username: "own_bot", owner_id: 1 }];
  const said = (more = {}) => ({ from_bot: true, edited: false, date: 1, text: "", ...more });
  const news = said({ date: Date.parse("2026-11-22T15:02:01Z") / 1000 });
  const link = said({ inline_keyboard: [[{ text: "", url: `http://x/checkout/${order}` }]] });
  const sent = (at) => said({ date: Date.parse(at) / 1000, document: { name: "visit.ics" } });
  const [file, later] = [sent("2026-11-22T15:02:03Z"), sent("2026-11-22T15:04:00Z")];
  const chat = (...messages) => ({ messages, started: messages.length > 0 });
  const hint = (id, bot, content, upTo = 99, met = []) => {
    const phone = { person: { id }, bot, content, met: new Set(met) };
    return nextStep(phone, known.filter((one) => one.id < upTo), "seller");
  };
  return {
    "list": hint(2, null, null, 99, [77]),
    "empty list": hint(2, null, null, 20),
    "empty list beside a bot": hint(2, null, null),
    "unknown": hint(2, sales, null),
    "new": hint(2, sales, chat(), 21),
    "new beside a bot": hint(2, sales, chat()),
    "a customer at the seller's": hint(2, sales, chat(), 99, [77]),
    "begun": hint(2, sales, chat(said())),
    "buyer before the bot": hint(1, sales, chat(link), 20),
    "buyer after the bot": hint(1, sales, chat(link), 22),
    "buyer after a booking": hint(1, sales, chat(link)),
    "owner before a booking": hint(1, own, chat(said()), 22),
    "owner who has not begun": hint(1, own, chat()),
    "owner who was told": hint(1, own, chat(said(), news)),
    "owner told by the sales bot": hint(1, sales, chat(link, news)),
    "owner who went on": hint(1, own, chat(news, said({ date: news.date + 9 }))),
    "guest": hint(2, own, chat()),
    "customer": hint(2, own, chat(said())),
    "customer with a booking": hint(2, own, chat(file), 30),
    "customer who has cancelled": hint(2, own, chat(file), 31),
    "customer who has booked anew": hint(2, own, chat(file, later)),
    "customer without the journal": hint(2, own, chat(file), 20),
  };
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def world(tmp_path: Path) -> AsyncGenerator[str]:
    """A simulator in which the sales bot is a small one of the test's own."""
    with running_simulator(tmp_path) as url:
        async with small_bot(url, SALES_BOT_TOKEN):
            yield url


@pytest_asyncio.fixture(loop_scope="module")
async def product() -> AsyncGenerator[Product]:
    """What tells the story of `town`."""
    product = Product()
    async with product.running():
        yield product


@pytest_asyncio.fixture(loop_scope="module")
async def town(tmp_path: Path, product: Product) -> AsyncGenerator[str]:
    """A world with the small sales bot and with a story."""
    with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with small_bot(url, SALES_BOT_TOKEN):
            yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as started:
        yield started


async def said(page: Page, text: str | re.Pattern[str]) -> None:
    """A message with this text is in the chat."""
    await expect(page.get_by_role("log").get_by_text(text).last).to_be_visible()


async def begin(page: Page) -> None:
    await page.get_by_role("button", name="Начать").click()
    await said(page, "бот, который записывает клиентов")


async def test_a_chat_with_buttons_of_every_kind(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/", WIDE) as page:
        await expect(page.get_by_role("status").get_by_text("Начните здесь")).to_be_visible()
        await begin(page)
        await expect(page.locator("#hint")).to_contain_text("выберите тариф")
        await page.get_by_role("button", name="Год · 2 990 ₽").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("Год пока не продаётся")
        await dialog.get_by_role("button", name="Понятно").click()
        await expect(dialog).to_have_count(0)

        await page.get_by_role("button", name="Месяц · 299 ₽").click()
        await expect(page.locator(".toast")).to_have_text("Тариф выбран")
        await said(page, "Как называется ваша компания?")
        await expect(page.get_by_role("button", name="Год · 2 990 ₽")).to_have_count(0)
        await expect(page.locator(".message.theirs")).to_have_count(2)  # edited in its place

        await page.get_by_label("Сообщение", exact=True).fill("Прядь")
        await page.keyboard.press("Enter")
        await said(page, "Вы написали: Прядь")
        await page.get_by_role("button", name="Как дела?").click()
        await said(page, "Вы написали: Как дела?")
        await expect(page.locator(".pending")).to_have_count(0)
        assert await page.get_by_role("log").get_by_text("Прядь", exact=True).count() == 1
        await judge(page, "phone-chat-1440-light")


async def test_a_number_is_shared_only_after_a_yes(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/", WIDE) as page:
        await begin(page)
        await page.get_by_role("button", name="Месяц · 299 ₽").click()
        share = page.get_by_role("button", name="Мой номер")
        await share.click()
        await page.keyboard.press("Escape")
        await expect(share).to_be_focused()
        await share.click()
        await page.get_by_role("dialog").get_by_role("button", name="Поделиться").click()
        await said(page, re.compile(r"Номер \+?\d+ получен"))


async def test_a_bot_is_created_and_opened_by_its_link(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/", WIDE) as page:
        await begin(page)
        await page.get_by_role("button", name="Месяц · 299 ₽").click()
        await page.get_by_role("button", name="Создать бота").click()
        dialog = page.get_by_role("dialog", name="Новый бот")
        username = dialog.get_by_label("Имя пользователя")
        await expect(username).to_have_value("pryad_bot")
        await expect(dialog.get_by_label("Имя бота")).to_be_focused()
        await username.fill("zapisano")
        await dialog.get_by_role("button", name="Создать бота").click()
        await expect(username).to_have_attribute("aria-invalid", "true")
        await expect(dialog.get_by_role("alert").last).not_to_be_empty()
        await judge(page, "phone-create-1440-light")
        await username.fill("pryad_bot")
        await page.keyboard.press("Enter")
        await said(page, "Бот создан")
        await page.get_by_role("link", name="https://t.me/pryad_bot?start=hello").click()
        await expect(page.get_by_role("heading", name="Салон «Прядь»")).to_be_visible()
        await said(page, "/start hello")
        assert "bot=pryad_bot" in page.url


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_phone_alone_fills_a_small_screen(
    world: str, browser: Browser, scheme: Any
) -> None:
    async with open_page(browser, f"{world}/phone", NARROW, scheme) as page:
        await expect(page.get_by_text("Пока ни одного чата")).to_be_visible()
        await page.get_by_role("button", name="Найти бота").last.click()
        await page.get_by_label("Имя или @username").fill("@zapis")
        await judge(page, f"phone-find-390-{scheme}")
        await page.get_by_role("button", name=BOT).click()
        await judge(page, f"phone-fresh-390-{scheme}")
        await begin(page)
        await page.get_by_role("button", name="Месяц · 299 ₽").click()
        await expect(page.get_by_role("button", name="Мой номер")).to_be_visible()
        await judge(page, f"phone-chat-390-{scheme}")
        await page.get_by_role("button", name="Назад").click()
        await expect(page.get_by_role("button", name=re.compile("Кнопки внизу"))).to_be_visible()
        assert await page.locator(".badge").count() == 0  # everything has been read
        await judge(page, f"phone-list-390-{scheme}")


async def test_commands_files_and_pages(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/phone?bot={BOT}", NARROW) as page:
        await begin(page)
        await page.get_by_role("button", name="Команды бота").click()
        await page.get_by_role("dialog").get_by_role("button", name="/help").click()
        file = page.get_by_role("link", name="Скачать visit.ics")
        async with page.expect_download() as download:
            await file.click()
        assert (await download.value).suggested_filename == "visit.ics"

        await page.get_by_label("Сообщение", exact=True).fill("/page")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Открыть страницу").click()
        await expect(page.locator("iframe")).to_have_attribute("src", f"{world}/static/logo.svg")
        out = page.get_by_role("link", name="Открыть в новой вкладке")
        await expect(out).to_have_attribute("href", f"{world}/static/logo.svg")
        await judge(page, "phone-page-390-light")
        await page.get_by_role("button", name="Закрыть страницу").click()
        await said(page, "Ссылка на страницу")


async def test_a_web_page_inside_the_phone_leads_back_to_a_chat(
    world: str, browser: Browser
) -> None:
    async with open_page(browser, f"{world}/t/{BOT}?start=paid", NARROW) as page:
        await said(page, "Вы пришли по ссылке paid")
    async with open_page(browser, f"{world}/phone", NARROW) as page:
        await expect(page.get_by_role("heading", name="Чаты")).to_be_visible()
        await page.evaluate("""() => {
            const frame = document.createElement("iframe");
            frame.src = "/t/zapisano_sales_bot?start=framed";
            frame.title = "page";
            document.querySelector(".view").append(frame);
        }""")
        await said(page, "Вы пришли по ссылке framed")


async def test_botfather_shows_a_token_that_works(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/phone", NARROW) as page:
        await page.get_by_role("button", name="Найти бота").last.click()
        await page.get_by_role("button", name="BotFather").click()
        await page.get_by_label("Имя бота").fill("Проба")
        await page.get_by_label("Имя пользователя").fill("probe_of_mine_bot")
        await page.keyboard.press("Enter")
        token = await page.locator(".token").text_content()
        assert token is not None
        await page.get_by_role("button", name="Скопировать токен").click()
        assert await page.evaluate("navigator.clipboard.readText()") == token
        await judge(page, "phone-botfather-390-light")
        answer = await page.request.get(f"{world}/bot{token}/getMe")
        assert (await answer.json())["result"]["username"] == "probe_of_mine_bot"


async def test_people_have_their_own_chats(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/", WIDE) as page:
        await begin(page)
        await page.get_by_role("button", name="Вы: Анна").click()
        await page.get_by_role("button", name="Борис").click()
        await expect(page.get_by_role("button", name="Вы: Борис")).to_be_visible()
        await expect(page.get_by_role("button", name="Начать")).to_be_visible()
        await page.get_by_role("button", name="Вы: Борис").click()
        await page.get_by_role("button", name="Добавить человека").click()
        await page.get_by_label("Имя", exact=True).fill("Вера")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("button", name="Вы: Вера")).to_be_visible()


async def test_keys_alone_are_enough(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/phone?bot={BOT}", NARROW) as page:
        start = page.get_by_role("button", name="Начать")
        await expect(start).to_be_visible()
        for _ in range(8):
            await page.keyboard.press("Tab")
            if await start.evaluate("(one) => one === document.activeElement"):
                break
        outline = await start.evaluate("(one) => getComputedStyle(one).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Enter")
        await said(page, "бот, который записывает клиентов")


async def test_whoever_types_goes_on_typing_when_the_buttons_change(
    world: str, browser: Browser
) -> None:
    async with open_page(browser, f"{world}/phone?bot={BOT}", NARROW) as page:
        await begin(page)
        words = page.get_by_label("Сообщение", exact=True)
        await words.fill("Пря")
        await page.get_by_role("button", name="Месяц · 299 ₽").evaluate("(one) => one.click()")
        await expect(page.get_by_role("button", name="Мой номер")).to_be_visible()
        await expect(words).to_be_focused()


async def test_words_that_could_not_be_sent_stay_and_can_be_sent_again(
    world: str, browser: Browser
) -> None:
    async with open_page(browser, f"{world}/phone?bot={BOT}", NARROW) as page:
        await begin(page)
        await page.route("**/messages", lambda route: route.abort())
        await page.get_by_label("Сообщение", exact=True).fill("Алло")
        await page.keyboard.press("Enter")
        again = page.get_by_role("button", name="Повторить")
        await expect(again).to_be_visible()
        await page.unroute("**/messages")
        await again.click()
        await said(page, "Вы написали: Алло")
        await expect(again).to_have_count(0)


async def test_seven_windows_side_by_side_all_live(world: str, browser: Browser) -> None:
    """A browser opens six connections to a host, whatever number of tabs it has."""
    async with open_page(browser, f"{world}/?bot={BOT}", WIDE) as first:
        await begin(first)
        tabs = [first]
        for _ in range(6):
            tab = await first.context.new_page()
            await tab.goto(f"{world}/?bot={BOT}")
            await said(tab, "бот, который записывает клиентов")
            tabs.append(tab)
        await first.get_by_label("Сообщение", exact=True).fill("Всем слышно?")
        await first.keyboard.press("Enter")
        for tab in tabs:
            await said(tab, "Вы написали: Всем слышно?")
            await expect(tab.get_by_text("не в сети")).to_have_count(0)
        await first.close()  # the eldest goes; the others hear on
        await tabs[1].get_by_label("Сообщение", exact=True).fill("А теперь?")
        await tabs[1].keyboard.press("Enter")
        for tab in tabs[1:]:
            await said(tab, "Вы написали: А теперь?")


async def test_a_tab_that_goes_to_and_fro_stays_alive(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/", WIDE) as page:
        await begin(page)
        for _ in range(4):
            await page.goto(f"{world}/phone?person=100200302")
            await expect(page.get_by_role("heading", name="Чаты")).to_be_visible()
            await page.goto(f"{world}/?person=100200301&bot={BOT}")
            await said(page, "бот, который записывает клиентов")
        await page.go_back(wait_until="commit")
        await page.go_forward(wait_until="commit")
        async with httpx.AsyncClient(base_url=f"{world}/telegram", trust_env=False) as other:
            bots = (await other.get("/bots")).json()
            chat = f"/people/100200301/chats/{bots[0]['id']}"
            await other.post(f"{chat}/messages", json={"text": "С другого телефона"})
        await said(page, "Вы написали: С другого телефона")


async def test_a_late_change_of_language_is_explained(world: str, browser: Browser) -> None:
    async with open_page(browser, f"{world}/", WIDE) as page:
        await begin(page)
        await expect(page.locator("#hint small")).to_have_count(0)
        await page.get_by_role("button", name="Eng").click()
        await expect(page.locator("#hint small")).to_contain_text("stays in Russian")
        await judge(page, "phone-late-english-1440-light")
        await page.get_by_role("button", name="You are Anna").click()
        await page.get_by_role("button", name="Boris").click()
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        await expect(page.locator("#hint small")).to_have_count(0)
        await expect(page.locator("#hint")).to_contain_text("Start here")


async def test_the_hint_is_for_the_one_who_holds_the_phone(world: str, browser: Browser) -> None:
    """The pure module, asked directly: another's sale and booking are not one's own."""
    async with open_page(browser, f"{world}/phone", NARROW) as page:
        told = await page.evaluate(HINTS, [*sale(), *BOOKED, *CANCELLED])
    assert told == {
        "list": "hint_list",
        "empty list": "hint_find",
        "empty list beside a bot": "hint_visit",
        "unknown": None,
        "new": "hint_start",
        "new beside a bot": "hint_visit",
        "a customer at the seller's": "hint_start",
        "begun": "hint_plan",
        "buyer before the bot": "hint_attach",
        "buyer after the bot": "hint_active",
        "buyer after a booking": "hint_owns",
        "owner before a booking": "hint_active",
        "owner who has not begun": "hint_told_there",
        "owner who was told": "hint_told",
        "owner told by the sales bot": "hint_told",
        "owner who went on": "hint_owns",
        "guest": "hint_book",
        "customer": "hint_book_on",
        "customer with a booking": "hint_booked",
        "customer who has cancelled": "hint_book_on",
        "customer who has booked anew": "hint_booked",
        "customer without the journal": "hint_booked",
    }


ORDER = "11111111-2222-3333-4444-555555555555"


def event(number: int, kind: str, subject: str, **data: Any) -> dict[str, Any]:
    """An event of no tenant."""
    at = "2026-11-22T15:00:00Z"
    return {"id": number, "at": at, "kind": kind, "tenant": None, "subject": subject, "data": data}


async def hint(page: Page, text: str) -> None:
    """The sentence above the phone."""
    await expect(page.locator("#hint")).to_contain_text(text)


async def say(page: Page, text: str) -> None:
    await page.get_by_label("Сообщение", exact=True).fill(text)
    await page.keyboard.press("Enter")
    await said(page, f"Вы написали: {text}")


async def connect_a_bot(page: Page, product: Product, owner: int = 100200301) -> None:
    """A bot of its own for this person, at work."""
    world = page.url.partition("/?")[0]
    made = await page.request.post(
        f"{world}/telegram/people/{owner}/botfather",
        data={"name": "Студия Лён", "username": "len_studio_bot"},
    )
    bot = (await made.json())["id"]
    of = {"tenant": "client_001", "data": {}, "at": "2026-11-22T15:20:00Z"}
    await product.tell(
        {"id": 300, "kind": "bot.attached", "subject": str(bot), **of},
        {"id": 301, "kind": "tenant.active", "subject": "client_001", **of},
    )


async def test_the_hint_goes_on_with_the_order_that_was_paid_instead(
    town: str, product: Product, browser: Browser
) -> None:
    """After a declined card "Pay again" makes an order of which the chat knows nothing."""
    async with open_page(browser, f"{town}/", WIDE) as page:
        await begin(page)
        await say(page, f"http://shop.example/checkout/{ORDER}")
        await product.tell(
            event(1, "order.created", ORDER, plan="1m"),
            event(2, "payment.created", "p1", order_id=ORDER),
        )
        await hint(page, "нажмите «Оплатить», затем зелёную карту и «Заплатить»")
        await judge(page, "hint-order-1440-light")
        await product.tell(event(3, "payment.canceled", "p1", order_id=ORDER))
        await hint(page, "Оплата не прошла")
        first, *rest = sale(first=101)
        await product.tell({**first, "data": {**first["data"], "retry_of": ORDER}})
        await hint(page, "откройте ссылку на оплату")
        await product.tell(*rest)
        await hint(page, "Создать бота")
        await connect_a_bot(page, product)
        await hint(page, "Бот работает")
        await page.get_by_role("button", name="Стать клиентом").click()
        await expect(page.get_by_role("button", name="Вы: Борис")).to_be_visible()
        await hint(page, "Теперь вы клиент")


async def test_a_sheet_ends_with_the_chat_and_with_the_person(
    town: str, product: Product, browser: Browser
) -> None:
    async with open_page(browser, f"{town}/", WIDE) as page:
        await begin(page)
        await page.get_by_role("button", name="Месяц · 299 ₽").click()
        await say(page, f"http://shop.example/checkout/{ORDER}")
        await product.tell(
            *(json.loads(json.dumps(one).replace("order-1", ORDER)) for one in sale())
        )
        await connect_a_bot(page, product)
        await hint(page, "Бот работает")
        for key in ("Мой номер", "Создать бота"):
            await page.get_by_role("button", name=key).click()
            await expect(page.get_by_role("dialog")).to_be_visible()
            await page.evaluate("""postMessage({ open: "https://t.me/len_studio_bot" }, "*")""")
            await expect(page.get_by_role("heading", name="Студия Лён")).to_be_visible()
            await expect(page.get_by_role("dialog")).to_have_count(0)
            await page.evaluate("""postMessage({ open: "https://t.me/zapisano_sales_bot" }, "*")""")
            await page.get_by_role("button", name=key).click()
            await page.get_by_role("button", name="Стать клиентом").click()
            await expect(page.get_by_role("button", name="Вы: Борис")).to_be_visible()
            await expect(page.get_by_role("button", name="Начать")).to_be_visible()
            await expect(page.get_by_role("dialog")).to_have_count(0)
            await page.goto(f"{town}/?person=100200301&bot={BOT}")
            await said(page, "Вы написали")
        await expect(page.locator(".contact")).to_have_count(0)


async def test_whoever_has_a_bot_to_book_with_is_not_sent_to_buy(
    town: str, product: Product, browser: Browser
) -> None:
    async with open_page(browser, f"{town}/?person=100200302", WIDE) as page:
        await page.get_by_role("button", name="Назад").click()
        await expect(page.get_by_text("Пока ни одного чата")).to_be_visible()
        await hint(page, "Найдите бота кнопкой внизу")
        await judge(page, "hint-find-1440-light")
        await page.goto(f"{town}/?person=100200301")
        await begin(page)
        await connect_a_bot(page, product)
        await page.get_by_role("button", name="Вы: Анна").click()
        await page.get_by_role("button", name="Борис").click()
        await hint(page, "Теперь вы клиент. Бот уже работает")
        await judge(page, "hint-visit-1440-light")
        await page.locator("#hint").get_by_role("button", name="Открыть").click()
        await expect(page.get_by_role("heading", name="Студия Лён")).to_be_visible()
        await hint(page, "Нажмите «Начать» и запишитесь")


async def test_the_address_bar_says_no_more_than_it_knows(world: str, browser: Browser) -> None:
    """A page of another origin hides where it has gone; plain http has no padlock."""
    elsewhere = world.replace("127.0.0.1", "localhost")
    async with open_page(browser, f"{elsewhere}/phone?bot={BOT}", NARROW) as page:
        await begin(page)
        await page.get_by_label("Сообщение", exact=True).fill("/page")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Открыть страницу").click()
        address = page.get_by_role("group", name="Адрес")
        await expect(address).to_have_text(world.removeprefix("http://"))
        await expect(address.locator("svg")).to_have_count(0)
        await page.frames[1].wait_for_url("**/logo.svg")
        go = "(frame, url) => { frame.src = url; }"
        await page.locator("iframe").evaluate(go, f"{world}/yookassa/pay/nothing")
        await expect(address).to_have_text("Веб-страница")
        await page.locator("iframe").evaluate(go, f"{elsewhere}/yookassa/pay/nothing")
        await expect(address).to_contain_text("Оплата")
        await page.get_by_role("button", name="Обновить страницу").click()
        await expect(address).to_have_text(world.removeprefix("http://"))
        await expect(address.locator("svg")).to_have_count(0)
