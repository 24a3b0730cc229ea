"""Pages that stay open while things change: a database begun anew, a page hidden, left, come to."""

import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from chromium import WIDE, chromium, judge, needs_chromium, open_page
from pages_fixtures import SALES_BOT_TOKEN, TOKEN, Product, free_port, running_simulator, sale
from playwright.async_api import Browser, Page, expect
from small_bot import small_bot

pytestmark = [*needs_chromium, pytest.mark.asyncio(loop_scope="module")]
CHAT = "?person=100200301&bot=zapisano_sales_bot"
TOGETHER = ""
# A browser without windows calls every open page seen, so the test tells them.
ALONE = """
    delete window.SharedWorker;
    const real = Object.getOwnPropertyDescriptor(Document.prototype, "hidden");
    let hidden = false;
    Object.defineProperty(document, "hidden", { get: () => hidden || real.get.call(document) });
    window.look = (seen) => {
        hidden = !seen;
        document.dispatchEvent(new Event("visibilitychange"));
    };
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as started:
        yield started


@contextlib.asynccontextmanager
async def world(product: Product, folder: Path, port: int = 0) -> AsyncGenerator[str]:
    """A simulator that tells the product's story, with a small sales bot."""
    with running_simulator(folder, port, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with small_bot(url, SALES_BOT_TOKEN):
            yield url


async def shown(page: Page, *events: dict[str, Any]) -> None:
    """The journal has these events and no others, and more is awaited."""
    rows = page.locator(".journal li")
    await expect(rows).to_have_count(len(events))
    for row, event in enumerate(reversed(events)):
        await expect(rows.nth(row)).to_contain_text(f"#{event['id']}{event['kind']}")
    await expect(page.locator(".link")).to_have_text("на связи")


async def said(page: Page, text: str) -> None:
    await expect(page.get_by_role("log").get_by_text(text).last).to_be_visible()


async def say(url: str, text: str) -> None:
    """Say it with another phone of the same person."""
    async with httpx.AsyncClient(base_url=f"{url}/telegram", trust_env=False) as other:
        bots = (await other.get("/bots")).json()
        chat = f"/people/100200301/chats/{bots[0]['id']}"
        (await other.post(f"{chat}/messages", json={"text": text})).raise_for_status()


@pytest.mark.parametrize("first", [1, 201], ids=["the same ids", "other ids"])
@pytest.mark.parametrize("script", [TOGETHER, ALONE], ids=["together", "alone"])
async def test_a_product_begun_anew_is_told_from_its_start(
    tmp_path: Path, browser: Browser, script: str, first: int
) -> None:
    old = Product(events=[*sale("client_001"), *sale("client_002", 101)])
    new = Product(port=old.port, events=list(sale("client_007", first)[:3]))
    async with world(old, tmp_path) as url, open_page(browser, url, WIDE, script=script) as page:
        async with old.running():
            await shown(page, *old.events)
            choice = page.get_by_label("История")
            await choice.select_option("1")
            await expect(page.locator(".line")).to_contain_text("client_001")
        async with new.running():
            await shown(page, *new.events)
            await expect(choice).to_be_hidden()
            await expect(page.locator(".station.done")).to_have_count(3)
            await expect(page.locator("#story")).not_to_contain_text("client_00")
            another = await page.context.new_page()
            await another.goto(url)
            await shown(another, *new.events)
            await new.tell(*sale("client_007", first)[3:])
            for tab in (page, another):
                await shown(tab, *new.events)
                await expect(tab.locator(".station.done")).to_have_count(5)
            if not script:
                await judge(page, "story-anew-1440-light")
        await expect(page.get_by_text("Продукт не отвечает")).to_be_visible()
        async with new.running():  # the same as before: nothing is asked for twice
            await shown(page, *new.events)
    assert [after for after, _ in new.asked].count("0") == (2 if script else 1)


async def test_a_tab_outlives_the_folder_with_all_data(tmp_path: Path, browser: Browser) -> None:
    """The demo is stopped, its folder deleted, the demo started again: Telegram is another, too."""
    port, old = free_port(), Product(events=list(sale()))
    new = Product(port=old.port, events=list(sale("client_007")[:3]))
    async with contextlib.AsyncExitStack() as later:
        async with old.running(), world(old, tmp_path / "old", port) as url:
            page = await later.enter_async_context(open_page(browser, f"{url}/{CHAT}", WIDE))
            await page.get_by_role("button", name="Начать").click()
            await page.get_by_role("button", name="Месяц · 299 ₽").click()
            await page.get_by_role("button", name="Создать бота").click()
            await page.get_by_role("dialog").get_by_role("button", name="Создать бота").click()
            await page.get_by_role("link", name="https://t.me/pryad_bot?start=hello").click()
            await said(page, "/start hello")
            await shown(page, *old.events)
        await expect(page.get_by_text("не в сети")).to_be_visible()
        async with new.running(), world(new, tmp_path / "new", port):
            await shown(page, *new.events)
            await expect(page.get_by_text("Пока ни одного чата")).to_be_visible()
            await judge(page, "demo-anew-1440-light")


async def test_more_tabs_than_connections_without_shared_workers(
    tmp_path: Path, browser: Browser
) -> None:
    """Six connections to a host, two streams in a tab: only the tab that is seen holds its two."""
    product = Product(events=list(sale()[:3]))
    async with (
        product.running(),
        world(product, tmp_path) as url,
        open_page(browser, f"{url}/{CHAT}", WIDE, script=ALONE) as first,
    ):
        await first.get_by_role("button", name="Начать").click()
        tabs = [first]
        for number in range(4):
            await tabs[-1].evaluate("look(false)")
            tabs.append(await first.context.new_page())
            await tabs[-1].goto(f"{url}/{CHAT}")
            await said(tabs[-1], "бот, который записывает клиентов")
            await shown(tabs[-1], *product.events)
            await say(url, f"Номер {number}")
            await said(tabs[-1], f"Вы написали: Номер {number}")
            await product.tell(sale()[3 + number])
            await shown(tabs[-1], *product.events)
        await tabs[-1].evaluate("look(false)")
        await first.evaluate("look(true)")
        await said(first, "Вы написали: Номер 3")
        await shown(first, *product.events)
        await say(url, "Снова здесь")
        await said(first, "Вы написали: Снова здесь")
        assert product.asked[-1] == ("3", "3")  # it asked for what it had missed


@pytest.mark.parametrize("script", [TOGETHER, ALONE], ids=["together", "alone"])
async def test_a_page_one_goes_back_to_catches_up_and_goes_on(
    tmp_path: Path, browser: Browser, script: str
) -> None:
    product = Product(events=list(sale()[:3]))
    async with (
        product.running(),
        world(product, tmp_path) as url,
        open_page(browser, f"{url}/{CHAT}", WIDE, script=script) as page,
    ):
        await page.get_by_role("button", name="Начать").click()
        await said(page, "бот, который записывает клиентов")
        await shown(page, *product.events)
        await page.evaluate("window.kept = true")
        await page.goto(f"{url}/static/logo.svg")
        await say(url, "Пока никто не смотрит")
        await product.tell(sale()[3])
        await page.go_back(wait_until="commit")
        assert await page.evaluate("window.kept")  # the very page, from the browser's cache
        await said(page, "Вы написали: Пока никто не смотрит")
        await shown(page, *product.events)
        await say(url, "А теперь смотрят")
        await product.tell(sale()[4])
        await said(page, "Вы написали: А теперь смотрят")
        await shown(page, *product.events)
