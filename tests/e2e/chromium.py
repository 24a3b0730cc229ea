"""A real Chromium, and what every page must be: quiet, narrow enough, readable."""

import contextlib
import shutil
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

CHROMIUM = shutil.which("chromium")
OUTPUT = Path(__file__).resolve().parents[2] / "test-output"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
needs_chromium = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="left out: there is no chromium on this machine"),
]
WIDE = (1440, 900)
NARROW = (390, 844)
TIMEOUT_MS = 15_000

READABLE = (Path(__file__).parent / "readable.js").read_text()


@contextlib.asynccontextmanager
async def chromium() -> AsyncGenerator[Browser]:
    """Start the browser; its expectations wait as long as a busy machine needs.

    It keeps pages that were left, as a person's does: wait for a return by `wait_until="commit"`.
    """
    expect.set_options(timeout=TIMEOUT_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=ARGUMENTS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        try:
            yield browser
        finally:
            await browser.close()


@contextlib.asynccontextmanager
async def open_page(
    browser: Browser,
    url: str,
    size: tuple[int, int] = WIDE,
    scheme: Any = "light",
    locale: str = "ru-RU",
    script: str = "",
) -> AsyncGenerator[Page]:
    """Open a page of its own context; whatever it complains of fails the test.

    `script` runs first in every page of the context.
    """
    complaints: list[str] = []
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        locale=locale,
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(TIMEOUT_MS)
    await context.add_init_script(script)
    page = await context.new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        await page.goto(url)
        yield page
    finally:
        await context.close()
    assert complaints == []


async def judge(page: Page, name: str) -> None:
    """Keep a picture; the page fits its width, can be read, and everything has a name."""
    OUTPUT.mkdir(exist_ok=True)
    await page.screenshot(path=OUTPUT / f"{name}.png")
    size = page.viewport_size
    assert size is not None
    assert await page.evaluate("document.documentElement.scrollWidth") <= size["width"], name
    assert await page.evaluate(f"({READABLE}).faint()") == [], name
    assert await page.evaluate(f"({READABLE}).nameless()") == [], name
