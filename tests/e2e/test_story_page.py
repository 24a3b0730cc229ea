"""The notebook beside the phone, in a real Chromium: stations light up, waiting is seen."""

import re
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from chromium import NARROW, WIDE, chromium, judge, needs_chromium, open_page
from pages_fixtures import TOKEN, Product, running_simulator, sale
from playwright.async_api import Browser, Page, expect

pytestmark = [*needs_chromium, pytest.mark.asyncio(loop_scope="module")]
DONE = ["order", "payment", "notification", "settle", "schema", "bot", "booking"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncGenerator[Browser]:
    async with chromium() as started:
        yield started


def event(number: int, kind: str, tenant: str = "client_001", **data: Any) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat()
    return {"id": number, "at": at, "kind": kind, "tenant": tenant, "subject": tenant, "data": data}


async def lit(page: Page) -> list[str | None]:
    stations = await page.locator(".station.done").all()
    return [await station.get_attribute("data-station") for station in stations]


async def test_a_sale_is_told_station_by_station(tmp_path: Path, browser: Browser) -> None:
    product = Product()
    with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with product.running(), open_page(browser, url, WIDE) as page:
            await expect(page.get_by_text("на связи")).to_be_visible()
            await judge(page, "story-fresh-1440-light")
            long_ago = (datetime.now(UTC) - timedelta(seconds=7)).isoformat()
            events = sale(at=long_ago)

            await product.tell(*events[:3])
            waiting = page.locator(".wait.worker.stuck")
            # It counts up by itself.
            await expect(waiting).to_contain_text(re.compile(r"ждёт воркера… ([89]|\d\d) с"))
            await expect(waiting).to_contain_text("воркер остановлен")
            await expect(page.get_by_text("Заказ записан, 1 месяц, 299 ₽")).to_be_visible()
            assert await lit(page) == DONE[:3]
            await judge(page, "story-waiting-1440-light")

            await product.tell(*events[3:])
            await expect(page.get_by_text("Оплата 299 ₽ получена и зачтена")).to_be_visible()
            await expect(page.get_by_text("Схема client_001 создана за 18 мс").last).to_be_visible()
            await expect(page.locator(".wait.person")).to_contain_text("Создать бота")
            await expect(page.locator(".wait.worker")).to_have_count(0)
            assert await lit(page) == DONE[:5]

            await product.tell(
                event(20, "bot.attached", username="pryad_bot"),
                event(21, "tenant.active"),
                event(22, "booking.created", starts_at="2026-11-23T11:00:00Z"),
                event(23, "something.new"),
                event(24, "booking.owner_told"),
                event(25, "tenant.suspended", reason="unpaid"),
                event(26, "tenant.archived"),
                event(27, "tenant.restored"),
            )
            await expect(page.locator(".station.done")).to_have_count(7)
            await expect(page.get_by_text("Владельцу пришло сообщение")).to_be_visible()
            await expect(page.get_by_text("client_001 на паузе, нет оплаты")).to_be_visible()
            await expect(page.get_by_text("client_001 убран в архив")).to_be_visible()
            await expect(page.locator(".line").get_by_text("возвращён из архива")).to_be_visible()
            await page.get_by_text("Журнал событий").click()
            await expect(page.locator(".journal li")).to_have_count(16)
            await expect(page.locator(".journal li").first).to_contain_text("tenant.restored")
            await expect(page.locator(".journal li").nth(4)).to_contain_text("something.new")
            await page.get_by_text("Журнал событий").click()
            await page.evaluate("scrollTo(0, 0)")
            await judge(page, "story-done-1440-light")


async def test_a_product_that_goes_away_is_missed(tmp_path: Path, browser: Browser) -> None:
    product = Product()
    with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with open_page(browser, url, WIDE) as page:
            async with product.running():
                await product.tell(*sale())
                await expect(page.locator(".station.done")).to_have_count(5)
            await expect(page.get_by_text("Продукт не отвечает")).to_be_visible()
            await judge(page, "story-away-1440-light")
            async with product.running():
                await expect(page.get_by_text("на связи")).to_be_visible()
                await expect(page.locator(".journal li")).to_have_count(8)  # nothing told twice


async def test_seven_tabs_are_told_the_whole_story_once(tmp_path: Path, browser: Browser) -> None:
    product = Product()
    with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with product.running(), open_page(browser, url, WIDE) as first:
            tabs = [first]
            for one in sale():
                await product.tell(one)
                if len(tabs) < 7:
                    tabs.append(await first.context.new_page())
                    await tabs[-1].goto(url)
                await expect(tabs[-1].get_by_text("на связи")).to_be_visible()
            for tab in tabs:
                await expect(tab.locator(".journal li")).to_have_count(8)
                assert await lit(tab) == DONE[:5]
            assert len(product.asked) == 1  # one of them asked for all


CLIPPED = """[...document.querySelectorAll(".raw span")]
  .filter((one) => one.scrollWidth > one.clientWidth || one.offsetHeight > 24)
  .map((one) => one.textContent)"""


async def test_the_head_and_the_times_fit_the_window(tmp_path: Path, browser: Browser) -> None:
    """A page as tall as the window, times on one line, bad news that displaces nothing."""
    product = Product()
    with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with open_page(browser, url, WIDE) as page:
            chosen = page.get_by_label("История")
            async with product.running():
                await expect(page.get_by_text("на связи")).to_be_visible()
                assert await page.evaluate("document.documentElement.scrollHeight") == WIDE[1]
                await product.tell(*sale(), *sale("client_002", 101)[:4])
                await product.tell(*sale("client_002", 101, at="2026-11-22T15:12:40Z")[4:])
                await expect(chosen).to_be_visible()
                await expect(page.locator(".line")).to_contain_text("+12 мин 40 с")
                assert await page.evaluate(CLIPPED) == []
                place = await chosen.bounding_box()
            news = page.get_by_text("Продукт не отвечает")
            await expect(news).to_be_visible()
            assert await chosen.bounding_box() == place
            box = await news.bounding_box()
            assert box is not None
            assert box["height"] == 24  # one line
            await judge(page, "story-head-1440-light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_both_views_on_both_screens(tmp_path: Path, browser: Browser, scheme: Any) -> None:
    product = Product(events=list(sale(at=datetime.now(UTC).isoformat())))
    with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
        async with product.running():
            async with open_page(browser, f"{url}/?lang=en", WIDE, scheme) as page:
                await expect(
                    page.get_by_text("Schema client_001 created in 18 ms").last
                ).to_be_visible()
                await judge(page, f"demo-1440-{scheme}-en")
            async with open_page(browser, url, NARROW, scheme) as page:
                await expect(page.get_by_role("button", name="Начать")).to_be_visible()
                await expect(page.locator("#story")).to_be_hidden()
                await judge(page, f"demo-phone-390-{scheme}")
                await page.get_by_role("button", name="Что внутри").click()
                await expect(page.get_by_text("Схема client_001 создана").last).to_be_visible()
                await judge(page, f"demo-story-390-{scheme}")


async def test_the_language_is_remembered(tmp_path: Path, browser: Browser) -> None:
    with running_simulator(tmp_path) as url:
        async with open_page(browser, url, WIDE) as page:
            await page.get_by_role("button", name="Eng").click()
            await expect(page.get_by_role("heading", name="What happens inside")).to_be_visible()
            await page.goto(url)
            await expect(page.get_by_role("button", name="Start")).to_be_visible()
            assert await page.evaluate("document.documentElement.lang") == "en"


async def test_the_chats_speak_the_language_of_the_page(tmp_path: Path, browser: Browser) -> None:
    with running_simulator(tmp_path) as url:
        async with open_page(browser, url, WIDE) as page:
            await page.get_by_role("button", name="Eng").click()
            await expect(page.get_by_role("heading", name="What happens inside")).to_be_visible()
            assert await languages(page, url) == {"en"}
            await page.get_by_role("button", name="Рус").click()
            await expect(page.get_by_role("heading", name="Что происходит внутри")).to_be_visible()
            assert await languages(page, url) == {"ru"}


@pytest.mark.parametrize(("locale", "lang"), [("en-GB", "en"), ("de-DE", "en"), ("ru", "ru")])
async def test_the_first_language_is_the_visitors(
    tmp_path: Path, browser: Browser, locale: str, lang: str
) -> None:
    with running_simulator(tmp_path) as url:
        async with open_page(browser, url, WIDE, locale=locale) as page:
            button = page.get_by_role("button", name="Start" if lang == "en" else "Начать")
            await expect(button).to_be_visible()
            assert await page.evaluate("document.documentElement.lang") == lang
            assert await languages(page, url) == {lang}
            whose = "You are Anna" if lang == "en" else "Вы: Анна"
            await expect(page.get_by_role("button", name=whose)).to_be_visible()
            await page.get_by_role("button", name="Рус").click()  # a choice is stronger
            await expect(page.get_by_role("button", name="Начать")).to_be_visible()
            await expect(page.get_by_role("button", name="Вы: Анна")).to_be_visible()
            another = await page.context.new_page()
            await another.goto(url)
            await expect(another.get_by_role("button", name="Начать")).to_be_visible()


async def test_a_visitor_leaves_those_alone_who_talk_already(
    tmp_path: Path, browser: Browser
) -> None:
    with running_simulator(tmp_path) as url:
        async with open_page(browser, url, WIDE) as page:
            await page.get_by_role("button", name="Начать").click()
            await expect(page.get_by_label("Сообщение", exact=True)).to_be_visible()
        async with open_page(browser, url, WIDE, locale="en-US") as page:
            await expect(page.get_by_label("Message", exact=True)).to_be_visible()
            people = await (await page.request.get(f"{url}/telegram/people")).json()
            spoken = {person["first_name"]: person["language_code"] for person in people}
            assert spoken == {"Анна": "ru", "Boris": "en"}
            await page.get_by_role("button", name="You are Анна").click()
            await page.get_by_role("button", name="Add a person").click()
            await expect(page.get_by_label("Language in Telegram")).to_have_value("en")


async def languages(page: Page, url: str) -> set[str]:
    """The languages of everybody's Telegram."""
    people = await (await page.request.get(f"{url}/telegram/people")).json()
    return {person["language_code"] for person in people}


@pytest.mark.parametrize("lang", ["ru", "en"])
async def test_plans_and_reasons_are_said_as_people_say_them(
    tmp_path: Path, browser: Browser, lang: str
) -> None:
    with running_simulator(tmp_path) as url:
        async with open_page(browser, f"{url}/phone?lang={lang}", NARROW) as page:
            told = await page.evaluate(
                """async () => {
                  const { planName, sentence } = await import("/static/story_texts.js");
                  const at = "2026-11-22T09:00:00Z";
                  const event = { kind: "payment.canceled", at, subject: "p" };
                  const why = (reason) => sentence({ ...event, data: { reason } });
                  const plans = ["1m", "3m", "12m", "vip"].map(planName);
                  return [plans, why("card_expired"), why("new_word")];
                }"""
            )
    plans, known, unknown = told
    if lang == "ru":
        assert plans == ["1 месяц", "3 месяца", "12 месяцев", "vip"]
        assert known == "Платёж отменён, ничего не выдано, срок карты истёк"
        assert unknown == "Платёж отменён, ничего не выдано"
    else:
        assert plans == ["1 month", "3 months", "12 months", "vip"]
        assert known == "Payment cancelled, nothing granted, the card has expired"
        assert unknown == "Payment cancelled, nothing granted"


async def test_stories_of_several_orders_are_kept_apart(tmp_path: Path, browser: Browser) -> None:
    """The pure module, asked directly: late ids, two orders at once, a renewal."""
    first, second = sale("client_001", 1), sale("client_002", 101)
    renewal = [one for one in sale("client_001", 201) if not one["kind"].startswith("tenant.")]
    refund = {**first[2], "id": 300, "subject": "refund-1", "data": {"payment_id": None}}
    mixed = [*(one for both in zip(first, second, strict=True) for one in both), *renewal, refund]
    with running_simulator(tmp_path) as url:
        async with open_page(browser, f"{url}/phone", NARROW) as page:
            told = await page.evaluate(
                """async (events) => {
                  const { add, stories, waiting, renews, line } = await import("/static/story.js");
                  const known = [...events, ...events].reduce(add, []);
                  return stories(known).map((story) => ({
                    tenant: story.tenant,
                    events: story.events.map(({ id }) => id),
                    done: line(story).filter(({ state }) => state === "done").length,
                    renews: renews(story),
                    waits: waiting(story, Date.parse("2026-11-22T15:01:00Z"))?.key ?? null,
                  }));
                }""",
                mixed,
            )
    awaits = {"done": 5, "renews": False, "waits": "person_bot"}
    assert told == [
        {"tenant": "client_001", "events": list(range(1, 9)), **awaits},
        {"tenant": "client_002", "events": list(range(101, 109)), **awaits},
        {
            "tenant": "client_001",
            "events": [one["id"] for one in renewal],
            "done": 4,
            "renews": True,
            "waits": None,
        },
    ]


async def test_a_renewal_does_not_say_that_a_bot_works_which_was_never_made(
    tmp_path: Path, browser: Browser
) -> None:
    before = sale("client_001", 1)
    renewal = [one for one in sale("client_001", 201) if not one["kind"].startswith("tenant.")]
    active = {**before[-1], "id": 300, "kind": "tenant.active"}
    with running_simulator(tmp_path) as url:
        async with open_page(browser, f"{url}/phone", NARROW) as page:
            told = await page.evaluate(
                """async ([events, active]) => {
                  const { nextStep } = await import("/static/hints.js");
                  const order = "11111111-2222-3333-4444-555555555555";
                  const known = JSON.parse(JSON.stringify(events).replaceAll("order-201", order));
                  const button = { text: "", url: `http://x/checkout/${order}` };
                  const message = { from_bot: true, text: "", inline_keyboard: [[button]] };
                  const content = { messages: [message], started: true };
                  const bot = { username: "seller" };
                  const phone = { person: { id: 1 }, bot, content, met: new Set() };
                  return [known, [...known, active]].map((one) => nextStep(phone, one, "seller"));
                }""",
                [[*before, *renewal], active],
            )
    assert told == ["hint_attach", "hint_active"]
