"""Real aiogram bots for the simulated Telegram: one session, polling, a server for webhooks."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.types import (
    InlineKeyboardButton,
    InlineKeyboardMarkup,
)
from aiohttp import web
from simulator import Json, Phone, Simulator

DEADLINE_SECONDS = 15.0
Found = TypeVar("Found")


async def until(look: Callable[[], Awaitable[Found]], what: str) -> Found:
    """Look again until there is something; a deadline, not a pause."""
    end = asyncio.get_running_loop().time() + DEADLINE_SECONDS
    while not (found := await look()):
        assert asyncio.get_running_loop().time() < end, f"not in time: {what}"
        await asyncio.sleep(0.01)
    return found


MakeBot = Callable[[str], Bot]


@pytest.fixture
async def make_bot(simulator: Simulator) -> AsyncGenerator[MakeBot, None]:
    """Bots over one session, as the product has them."""
    async with sessions(simulator) as make:
        yield make


@contextlib.asynccontextmanager
async def sessions(simulator: Simulator) -> AsyncGenerator[MakeBot]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(simulator.base_url))
    try:
        yield lambda token: Bot(
            token, session=session, default=DefaultBotProperties(parse_mode="HTML")
        )
    finally:
        await session.close()


@pytest.fixture
def new_bot(simulator: Simulator, phone: Phone, make_bot: MakeBot) -> Bot:
    """A bot of the phone's owner."""
    return make_bot(simulator.new_bot(phone.person)[1])


@contextlib.asynccontextmanager
async def polling(dispatcher: Dispatcher, bot: Bot) -> AsyncGenerator[None]:
    task = asyncio.create_task(
        dispatcher.start_polling(
            bot, handle_signals=False, close_bot_session=False, polling_timeout=20
        )
    )
    try:
        yield
    finally:
        # Polling that has not begun yet cannot be stopped.
        await until(started(dispatcher), "polling begins")
        await dispatcher.stop_polling()
        await task


def started(dispatcher: Dispatcher) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return dispatcher._running_lock.locked()

    return look


@contextlib.asynccontextmanager
async def server(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncGenerator[str]:
    """A web server for webhooks: the address of its one page."""
    app = web.Application()
    app.router.add_post("/hook", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    finally:
        await runner.cleanup()


def inline(*buttons: InlineKeyboardButton) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(inline_keyboard=[list(buttons)])


async def texts(phone: Phone, bot: Bot) -> list[str]:
    return [message["text"] for message in await phone.answers(bot.id)]


async def logged(phone: Phone, bot: Bot, method: str) -> list[Json]:
    log = await phone.client.get("/telegram/control/log", params={"bot": bot.id, "method": method})
    return log.json()
