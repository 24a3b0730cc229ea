"""A person pays on the hosted page in a real Chromium, at a phone's width."""

from collections.abc import Iterator
from typing import Any

import pytest
from chromium import ARGUMENTS, CHROMIUM, OUTPUT, needs_chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright

from integration.yookassa_fixtures import Listener, Simulator, listener, order, simulator

__all__ = ["listener", "simulator"]
pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, locale="ru-RU")
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


def ordered(simulator: Simulator, **changes: Any) -> dict[str, Any]:
    """A payment that returns to a page which exists without a network."""
    back = {"type": "redirect", "return_url": f"{simulator.url}/yookassa/control/clock"}
    made = simulator.post("/payments", order(confirmation=back, **changes), "page")
    return made.json()


def open_page(page: Page, payment: dict[str, Any]) -> None:
    page.goto(payment["confirmation"]["confirmation_url"])
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_success_card_pays_and_returns(
    page: Page, simulator: Simulator, listener: Listener
) -> None:
    OUTPUT.mkdir(exist_ok=True)
    payment = ordered(simulator)
    open_page(page, payment)
    expect(page.get_by_text(payment["id"])).to_be_visible()
    expect(page.get_by_text("Записано: 1 месяц")).to_be_visible()
    page.screenshot(path=OUTPUT / "yookassa-390.png", full_page=True)
    page.get_by_role("link", name="5555 •••• 4477").click()
    expect(page.get_by_label("Номер карты")).to_have_value("5555 5555 5555 4477")
    # The chip moved the focus to the button: the keyboard alone finishes.
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Оплачено")).to_be_visible()
    page.screenshot(path=OUTPUT / "yookassa-390-paid.png")
    page.wait_for_url("**/yookassa/control/clock")
    told = listener.next()
    assert (told["event"], told["object"]["id"]) == ("payment.succeeded", payment["id"])


def test_a_declined_card_says_why(page: Page, simulator: Simulator, listener: Listener) -> None:
    OUTPUT.mkdir(exist_ok=True)
    payment = ordered(simulator)
    open_page(page, payment)
    page.get_by_role("link", name="Недостаточно денег на карте").click()
    page.get_by_role("button", name="Заплатить 299,00").click()
    expect(page.get_by_role("heading", name="Платёж отменён")).to_be_visible()
    expect(page.get_by_text("Недостаточно денег на карте")).to_be_visible()
    page.screenshot(path=OUTPUT / "yookassa-390-declined.png")
    assert listener.next()["object"]["cancellation_details"]["reason"] == "insufficient_funds"
    page.get_by_role("link", name="Вернуться и попробовать снова").click()
    page.wait_for_url("**/yookassa/control/clock")


def test_mistakes_are_shown_at_their_field_and_in_english(page: Page, simulator: Simulator) -> None:
    open_page(page, ordered(simulator))
    page.get_by_role("link", name="English").click()
    page.get_by_label("Card number").press_sequentially("4242424242424242")
    page.get_by_label("Valid until").press_sequentially("1230")
    expect(page.get_by_label("Card number")).to_have_value("4242 4242 4242 4242")
    expect(page.get_by_label("Valid until")).to_have_value("12/30")
    page.get_by_label("CVC").press_sequentially("12x3")
    page.get_by_role("button", name="Pay 299.00").click()
    expect(page.get_by_role("alert")).to_have_text("Check the card's details")
    number = page.get_by_label("Card number")
    expect(number).to_have_attribute("aria-invalid", "true")
    expect(number).to_have_accessible_description("Only the test cards of the list are taken here.")
    expect(page.get_by_label("CVC")).not_to_have_attribute("aria-invalid", "true")


def test_the_page_lives_in_a_frame_and_without_scripts(
    browser: Browser, simulator: Simulator
) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 390, "height": 700})
    page = context.new_page()
    payment = ordered(simulator)
    page.set_content(
        f'<iframe src="{payment["confirmation"]["confirmation_url"]}" width="360" height="600">'
    )
    framed = page.frame_locator("iframe")
    framed.get_by_role("link", name="4111 •••• 1111").click()
    framed.get_by_role("button", name="Заплатить 299,00").click()
    expect(framed.get_by_role("heading", name="Оплачено")).to_be_visible()
    context.close()
    assert simulator.get(f"/payments/{payment['id']}").json()["status"] == "succeeded"


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1440, 900)])
def test_the_test_cards_are_seen_without_scrolling(
    page: Page, simulator: Simulator, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto(ordered(simulator)["confirmation"]["confirmation_url"])
    assert page.evaluate("document.documentElement.scrollWidth") == width
    bottoms = page.evaluate(
        """[...document.querySelectorAll('.chip')].filter(chip => chip.checkVisibility())
           .map(chip => chip.getBoundingClientRect().bottom)"""
    )
    assert len(bottoms) > 4
    assert max(bottoms) < height
    # Beside the cards, the button that pays is on the first screen, too.
    pays = page.locator("#card-form .go").bounding_box()
    assert pays is not None
    assert pays["y"] + pays["height"] < height


def test_nothing_scrolls_sideways_and_every_card_can_be_had(
    page: Page, simulator: Simulator
) -> None:
    page.set_viewport_size({"width": 382, "height": 660})  # the demo's phone
    page.goto(ordered(simulator)["confirmation"]["confirmation_url"])
    page.get_by_text("Ещё 11").click()
    sideways = """[...document.querySelectorAll("*")]
        .filter((one) => one.scrollWidth > one.clientWidth)
        .filter((one) => getComputedStyle(one).overflowX !== "visible")
        .map((one) => one.className)"""
    assert set(page.evaluate(sideways)) <= {"unseen"}
    page.screenshot(path=OUTPUT / "yookassa-382-more.png")
    page.get_by_role("link", name="Срок карты истёк").click()
    expect(page.get_by_label("Номер карты")).to_have_value("5555 5555 5555 4543")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.reload()
    expect(page.get_by_role("link", name="Срок карты истёк")).to_be_visible()
