"""From a stored update to the dispatcher that handles it: the sales bot's or the tenants'."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from aiogram import BaseMiddleware, Bot, Dispatcher, Router
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.types import (
    CallbackQuery,
    ManagedBotUpdated,
    Message,
    TelegramObject,
    Update,
)
from pydantic import ValidationError

from zapisano.bots import store
from zapisano.bots.errors import BlockedByPerson
from zapisano.bots.i18n import SALES, language_of
from zapisano.bots.jobs import HandleUpdate
from zapisano.bots.order import InOrder, place_of
from zapisano.bots.registry import Bots
from zapisano.bots.screens import answer
from zapisano.bots.storage import Memory, serving, tenant_prefix
from zapisano.bots.wording import error_text
from zapisano.db import Database
from zapisano.errors import AppError, BrokenSetting, Passing
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.tenancy import State
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.bots")


@dataclass(frozen=True)
class Dispatch:
    """Handles what the inbox has taken in. One per process."""

    settings: Settings
    database: Database
    bots: Bots
    sales: Dispatcher
    tenants: Dispatcher
    now: Callable[[], datetime]

    async def handle(self, job: HandleUpdate) -> None:
        """Do the job.

        Raises:
            Passing: worth another attempt.
        """
        async with self.database.shared() as conn:
            row = await store.find(conn, job.bot_id)
            tenant = await tenants.get(conn, row.tenant_id) if row and row.tenant_id else None
            place = await place_of(conn, job)
        if row is None or (tenant and tenant.state is State.ARCHIVED):
            log.info("update_of_a_silent_bot", bot=job.bot_id)
            return
        bot = self.bots.of(row)
        common = {
            "database": self.database,
            "settings": self.settings,
            "bots": self.bots,
            "bot_row": row,
            "now": self.now(),
            "place": place,
        }
        with (
            structlog.contextvars.bound_contextvars(tenant=row.tenant_id, bot=row.bot_id),
            serving(tenant_prefix(row.tenant_id)),
        ):
            if tenant is None:
                await _feed(self.sales, bot, job.update, common)
            else:
                await _feed(self.tenants, bot, job.update, {**common, "tenant": tenant})


async def _feed(dispatcher: Dispatcher, bot: Bot, raw: dict[str, Any], values: Any) -> None:
    try:
        update = Update.model_validate(raw, context={"bot": bot})
    except ValidationError as error:
        # Telegram is younger than our library: better one update lost than a queue held up.
        log.warning("update_not_understood", problems=error.error_count())
        return
    # Mounted on its bot already, so aiogram does not copy it, nor log what the job runner logs.
    await dispatcher.feed_update(bot, update, **values)


def dispatcher(memory: Memory, *routers: Router) -> Dispatcher:
    """Build a dispatcher: each person's updates in turn, one answer to errors."""
    made = Dispatcher(storage=memory.storage, events_isolation=memory.isolation)
    made.update.outer_middleware(InOrder())  # inside the turn, which aiogram's own have taken
    made.update.outer_middleware(EveryRefusalTold())  # and told before the turn is over
    made.callback_query.outer_middleware(EveryTapAnswered())
    made.include_routers(*routers)
    return made


class EveryRefusalTold(BaseMiddleware):
    """The bots' one answer to errors.

    What may pass goes back to the queue; what is refused is said kindly; a bug goes up, where
    it is logged and tried again.
    """

    async def __call__(self, handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Tell what was refused, where the person is looking."""
        try:
            return await handler(event, data)
        except (Passing, BrokenSetting):
            raise
        except BlockedByPerson as error:
            log.info("nobody_to_answer", reason=error.code)
        except AppError as error:
            log.info("refused_in_chat", reason=error.code)
            if isinstance(event, Update):
                await tell(event, error)
        return None


class EveryTapAnswered(BaseMiddleware):
    """A button that no handler knows any more is answered all the same."""

    async def __call__(self, handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Answer the tap when nobody else does."""
        result = await handler(event, data)
        if result is UNHANDLED and isinstance(event, CallbackQuery):
            language = language_of(event.from_user.language_code)
            _ = SALES.gettext
            await answer(event, _("This button is from an older message.", locale=language))
        return result


async def tell(update: Update, error: AppError) -> None:
    """Say what went wrong where the person is looking."""
    source = update.callback_query or update.message or update.managed_bot
    if source is None:
        return
    person = source.user if isinstance(source, ManagedBotUpdated) else source.from_user
    text = error_text(error, language_of(person.language_code if person else None))
    if isinstance(source, CallbackQuery) and await answer(source, text, alert=True):
        return
    if isinstance(source, Message):
        await source.answer(text)
    elif update.bot and person:  # of a tap, too, that is too old to be answered
        await update.bot.send_message(person.id, text)
