"""What a visitor who reads English meets on the phone, in a real Chromium; and where a page is."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import httpx
import pytest
import pytest_asyncio
from aiogram import Bot
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup
from chromium import NARROW, WIDE, chromium, judge, needs_chromium, open_page
from pages_fixtures import SALES_BOT_TOKEN, running_simulator
from playwright.async_api import Browser, expect
from small_bot import small_bot

from zapisano.simulator.telegram.errors import Trouble

pytestmark = [*needs_chromium, pytest.mark.asyncio(loop_scope="module")]
BOT = "zapisano_sales_bot"
ANNA = 100200301
SHOP, KEY = "100500", "test_simulator"
WEEK = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]
LINES = """(key) => {
  const words = document.createRange();
  words.selectNodeContents(key);
  const { left, right } = key.getBoundingClientRect();
  const lines = [...words.getClientRects()].filter(({ width }) => width > 0);
  const inside = lines.every((line) => line.left >= left && line.right <= right);
  return { lines: new Set(lines.map(({ top }) => top)).size, inside };
}"""


@dataclass(frozen=True)
class World:
    """A simulator, and the bot whom Anna has started."""

    url: str
    bot: Bot


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[World]:
    folder: Path = tmp_path_factory.mktemp("simulator")
    with running_simulator(folder, YOOKASSA_SHOP_ID=SHOP, YOOKASSA_SECRET_KEY=KEY) as url:
        async with small_bot(url, SALES_BOT_TOKEN) as bot:
            start = f"{url}/telegram/people/{ANNA}/chats/{bot.id}/start"
            async with httpx.AsyncClient(trust_env=False) as phone:
                assert (await phone.post(start)).status_code == 200
            yield World(url, bot)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as started:
        yield started


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_the_days_of_a_week_stay_whole(
    world: World, browser: Browser, size: tuple[int, int]
) -> None:
    rows = [WEEK, *([str(first + day) for day in range(7)] for first in (10, 17))]
    keys = [[InlineKeyboardButton(text=one, callback_data=one) for one in row] for row in rows]
    async with open_page(browser, f"{world.url}/?bot={BOT}", size, locale="en-US") as page:
        month = InlineKeyboardMarkup(inline_keyboard=keys)
        await world.bot.send_message(ANNA, "November 2026", reply_markup=month)
        for text in (*WEEK, *rows[1]):
            key = page.get_by_role("button", name=text, exact=True).last
            assert await key.evaluate(LINES) == {"lines": 1, "inside": True}, text
        await judge(page, f"phone-week-{size[0]}-light")


async def test_botfather_refuses_in_the_visitors_language(world: World, browser: Browser) -> None:
    async with open_page(browser, f"{world.url}/phone", NARROW, locale="en-US") as page:
        await page.get_by_role("button", name="Find a bot").last.click()
        await page.get_by_role("button", name="BotFather").click()
        await page.get_by_label("Bot name").fill("Beauty")
        username = page.get_by_label("Username")
        for wrong, told in [("beauty", "breaks the rule above"), (BOT, "is taken")]:
            await username.fill(wrong)
            await page.keyboard.press("Enter")
            await expect(page.get_by_role("alert").last).to_contain_text(told)
        await judge(page, "phone-refused-390-light")


@pytest.mark.parametrize("lang", ["ru", "en"])
async def test_every_refusal_has_its_sentence(world: World, browser: Browser, lang: str) -> None:
    words = """async (keys) => {
        const { t } = await import("/static/texts.js");
        return keys.map((key) => t(`refused_${key}`));
    }"""
    async with open_page(browser, f"{world.url}/phone?lang={lang}", NARROW) as page:
        told = await page.evaluate(words, [*get_args(Trouble)])
    assert all(bool(re.search("[а-я]", one)) is (lang == "ru") for one in told), told


async def test_the_page_that_a_payment_returns_to_is_known(world: World, browser: Browser) -> None:
    """Our payment page leads nowhere but back to the shop, which is of another origin."""
    elsewhere = world.url.replace("127.0.0.1", "localhost")
    back = {"type": "redirect", "return_url": f"{world.url}/static/logo.svg?paid"}
    body = {"amount": {"value": "299.00", "currency": "RUB"}, "confirmation": back}
    async with httpx.AsyncClient(base_url=world.url, trust_env=False) as shop:
        key = {"Idempotence-Key": "back"}
        made = await shop.post("/v3/payments", json=body, auth=(SHOP, KEY), headers=key)
    async with open_page(browser, f"{elsewhere}/phone?bot={BOT}", NARROW) as page:
        await page.get_by_label("Сообщение", exact=True).fill("/page")
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Открыть страницу").last.click()
        address = page.get_by_role("group", name="Адрес")
        await expect(address).to_have_text(world.url.removeprefix("http://"))
        await page.frames[1].wait_for_url("**/logo.svg")
        go = "(frame, url) => { frame.src = url; }"
        pay = f"{elsewhere}/yookassa/pay/{made.json()['id']}"
        await page.locator("iframe").evaluate(go, pay)
        await expect(address).to_contain_text("Оплата")
        ours = page.frame_locator("iframe")
        await ours.get_by_role("link", name="5555 •••• 4477").click()
        await ours.get_by_role("button", name="Заплатить 299,00").click()
        await ours.get_by_role("link", name="Вернуться").click()
        await page.frames[1].wait_for_url("**/logo.svg?paid")
        await expect(address).to_have_text(world.url.removeprefix("http://"))
        await page.locator("iframe").evaluate(go, f"{world.url}/static/logo.svg?on")
        await expect(address).to_have_text("Веб-страница")
