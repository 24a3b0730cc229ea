"""A person uses the phone page in a real Chromium; a real aiogram bot answers."""

import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from chromium import NARROW, WIDE, chromium, judge, needs_chromium, open_page
from pages_fixtures import SALES_BOT_TOKEN, running_simulator
from playwright.async_api import Browser, Page, expect
from small_bot import small_bot

pytestmark = [*needs_chromium, pytest.mark.asyncio(loop_scope="module")]
BOT = "zapisano_sales_bot"


@pytest_asyncio.fixture(loop_scope="module")
async def world(tmp_path: Path) -> AsyncGenerator[str]:
    """A simulator in which the sales bot is a small one of the test's own."""
    with running_simulator(tmp_path) as url:
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
        assert await page.locator(".message.theirs").count() == 2  # edited in its place

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
        await page.go_back()
        await page.go_forward()
        async with httpx.AsyncClient(base_url=f"{world}/telegram", trust_env=False) as other:
            bots = (await other.get("/bots")).json()
            chat = f"/people/100200301/chats/{bots[0]['id']}"
            await other.post(f"{chat}/messages", json={"text": "С другого телефона"})
        await said(page, "Вы написали: С другого телефона")
