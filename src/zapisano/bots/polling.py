"""Fetch updates where Telegram cannot bring them: for development, without WEBHOOK_URL.

What is fetched goes through the same inbox, so nothing is lost or handled twice here either.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiogram import Bot
from aiogram.exceptions import TelegramAPIError
from aiogram.methods import TelegramMethod

from zapisano.bots import inbox, store
from zapisano.bots.dispatch import Dispatch
from zapisano.bots.errors import TokenRevoked
from zapisano.bots.jobs import HandleUpdate
from zapisano.bots.model import BotRow
from zapisano.bots.registry import Bots, open_bots
from zapisano.db import CONNECTION_LOST, Database
from zapisano.db.jsonb import storable
from zapisano.errors import AppError, BrokenSetting, Passing
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.bots")

MOST_BOTS = 50
LOOK_FOR_BOTS_SECONDS = 1.0
LONG_POLL_SECONDS = 20
AGAIN_SECONDS = 2.0


@dataclass(frozen=True)
class _Loop:
    token: bytes
    task: asyncio.Task[None]


Take = Callable[[BotRow, dict[str, Any]], Awaitable[None]]


class RawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """getUpdates as Telegram says it, so that both ways into the inbox store the same."""

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int
    timeout: int = LONG_POLL_SECONDS
    allowed_updates: list[str]


class Polling:
    """One loop per bot; bots that are attached later get theirs within a second."""

    def __init__(self, settings: Settings, bots: Bots, take: Take) -> None:
        """Own `bots`, whose session is no other's: a long poll holds a connection for long."""
        self._only_tenant = settings.only_tenant
        self._bots = bots
        self._take = take
        self._offsets: dict[int, int] = {}
        self._loops: dict[int, _Loop] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Poll until `stop`."""
        if self._only_tenant:
            log.info("one_tenant_is_served", tenant=self._only_tenant)
        else:
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
            tasks = [loop.task for loop in self._loops.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
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
        self._end_outdated({row.bot_id: row.token for row in rows})
        for row in rows:
            if row.bot_id not in self._loops:
                self._loops[row.bot_id] = _Loop(row.token, asyncio.create_task(self._poll(row)))

    def _end_outdated(self, tokens: dict[int, bytes]) -> None:
        """End the loops of bots that are no longer polled, or that have another token by now."""
        for bot_id, loop in list(self._loops.items()):
            if tokens.get(bot_id) != loop.token or loop.task.done():
                loop.task.cancel()
                del self._loops[bot_id]

    async def _rows(self) -> list[BotRow]:
        async with self._bots.database.shared() as conn:
            rows = await store.attached(conn, limit=MOST_BOTS, tenant_id=self._only_tenant)
            sales = None if self._only_tenant else await store.sales(conn)
        return [sales, *rows] if sales and not sales.revoked else rows

    async def _poll(self, row: BotRow) -> None:
        while True:
            try:
                bot = self._bots.of(row)  # a broken key is logged like everything else
                if row.bot_id not in self._offsets:
                    await self._take_over(bot, row)
                await self._fetch(bot, row)
            except TokenRevoked:
                return
            except (AppError, TelegramAPIError, *CONNECTION_LOST) as error:
                log.warning("polling_failed", bot=row.bot_id, reason=type(error).__name__)
                await self._pause(AGAIN_SECONDS)
            except Exception:  # a runner
                log.exception("polling_failed", bot=row.bot_id)
                await self._pause(AGAIN_SECONDS)

    async def _take_over(self, bot: Bot, row: BotRow) -> None:
        """Telegram brings nothing while it is asked; what is written down says so as well.

        Else the next start with a WEBHOOK_URL would take the bot for connected.
        """
        await bot.delete_webhook()
        async with self._bots.database.shared() as conn:
            await store.set_webhook(conn, row, None)

    async def _fetch(self, bot: Bot, row: BotRow) -> None:
        offset = self._offsets.setdefault(row.bot_id, 0)
        wanted = RawUpdates(offset=offset, allowed_updates=list(row.allowed_updates))
        for update in await bot(wanted, request_timeout=LONG_POLL_SECONDS + 10):
            await self._take(row, update)
            self._offsets[row.bot_id] = int(update["update_id"]) + 1

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def polling(settings: Settings, database: Database) -> Polling:
    """Return what fetches updates of all bots into the inbox."""
    bots = open_bots(settings, database)

    async def store_it(row: BotRow, update: dict[str, Any]) -> None:
        async with database.shared() as conn:
            await inbox.receive(conn, bots.vault, row.bot_id, storable(update))

    return Polling(settings, bots, store_it)


def alone_polling(settings: Settings, database: Database, dispatch: Dispatch) -> Polling:
    """Return what fetches one tenant's updates and handles them here, without the shared queue.

    An update is confirmed to Telegram only when it is handled; a failure is tried again.
    """
    bots = open_bots(settings, database)

    async def handle_it(row: BotRow, update: dict[str, Any]) -> None:
        job = HandleUpdate(row.bot_id, inbox.without_tokens(update, bots.vault))
        try:
            await dispatch.handle(job)
        except (Passing, BrokenSetting, *CONNECTION_LOST):
            raise
        except Exception:  # a runner
            # One update that meets a bug must not hold up the next.
            log.exception("update_failed", bot=row.bot_id)

    return Polling(settings, bots, handle_it)
