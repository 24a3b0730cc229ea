"""Fetch updates where Telegram cannot bring them: for development, without WEBHOOK_URL.

What is fetched goes through the same inbox, so nothing is lost or handled twice here either.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.methods import TelegramMethod

from zapisano.bots import inbox, store
from zapisano.bots.errors import TokenRevoked
from zapisano.bots.model import BotRow
from zapisano.bots.registry import Bots, open_bots
from zapisano.db import CONNECTION_LOST, Database
from zapisano.errors import AppError
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.bots")

MOST_BOTS = 50
LOOK_FOR_BOTS_SECONDS = 1.0
LONG_POLL_SECONDS = 20
AGAIN_SECONDS = 2.0


class RawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """getUpdates as Telegram says it, so that both ways into the inbox store the same."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    timeout: int = LONG_POLL_SECONDS
    allowed_updates: list[str]


class Polling:
    """One loop per bot; bots that are attached later get theirs within a second."""

    def __init__(self, settings: Settings, database: Database) -> None:
        """Use a session of its own: a long poll holds a connection for `LONG_POLL_SECONDS`."""
        self._database = database
        self._only_tenant = settings.only_tenant
        self._bots: Bots = open_bots(settings, database)
        self._loops: dict[int, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Poll until `stop`."""
        log.warning(
            "updates_are_polled",
            remedy="set WEBHOOK_URL; polling is for development and serves few bots",
            most_bots=MOST_BOTS,
        )
        try:
            while not self._stopping.is_set():
                await self._start_missing()
                await self._pause(LOOK_FOR_BOTS_SECONDS)
        finally:
            for loop in self._loops.values():
                loop.cancel()
            await asyncio.gather(*self._loops.values(), return_exceptions=True)
            await self._bots.close()

    def stop(self) -> None:
        """End `run`; updates that were not confirmed come again."""
        self._stopping.set()

    async def _start_missing(self) -> None:
        try:
            rows = await self._rows()
        except (AppError, *CONNECTION_LOST) as error:
            log.warning("polling_waits_for_the_database", reason=type(error).__name__)
            return
        for row in rows:
            running = self._loops.get(row.bot_id)
            if running is None or running.done():
                self._loops[row.bot_id] = asyncio.create_task(self._poll(row))

    async def _rows(self) -> list[BotRow]:
        async with self._database.shared() as conn:
            rows = await store.attached(conn, limit=MOST_BOTS, tenant_id=self._only_tenant)
            sales = None if self._only_tenant else await store.sales(conn)
        return [sales, *rows] if sales and not sales.revoked else rows

    async def _poll(self, row: BotRow) -> None:
        bot = self._bots.of(row)
        offset: int | None = None
        while True:
            try:
                if row.webhook_url or offset is None:
                    await bot.delete_webhook()
                offset = await self._fetch(bot, row, offset)
            except TokenRevoked:
                return
            except (AppError, TelegramAPIError, *CONNECTION_LOST) as error:
                log.warning("polling_failed", bot=row.bot_id, reason=type(error).__name__)
                await self._pause(AGAIN_SECONDS)

    async def _fetch(self, bot: Bot, row: BotRow, offset: int | None) -> int:
        wanted = RawUpdates(offset=offset, allowed_updates=list(row.allowed_updates))
        updates = await bot(wanted, request_timeout=LONG_POLL_SECONDS + 10)
        for update in updates:
            async with self._database.shared() as conn:
                await inbox.receive(conn, row.bot_id, inbox.storable(update))
            offset = int(update["update_id"]) + 1
        return offset or 0

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


def polling_for(settings: Settings, database: Database) -> "Callable[[], Polling] | None":
    """Return how to make the polling of this process; None when updates are brought."""
    return None if settings.webhook_url else lambda: Polling(settings, database)
