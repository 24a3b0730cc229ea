"""Before every handler: who writes, in which language, with which rights; after it: the errors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from aiogram import BaseMiddleware
from aiogram.filters import BaseFilter
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message, TelegramObject

from zapisano.booking import Person, remember_person
from zapisano.bots.booking.screen import say
from zapisano.bots.booking.words import explain
from zapisano.bots.i18n import BOOKING, language_of, speaking
from zapisano.db import Database
from zapisano.errors import AppError
from zapisano.telemetry import get_logger
from zapisano.tenancy import Tenant

log = get_logger("zapisano.bots")

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True)
class Visitor:
    """What every handler of the tenant's bot is given: the place, the person, the moment."""

    tenant: Tenant
    database: Database
    person: Person
    now: datetime

    @property
    def is_owner(self) -> bool:
        """Whether this person runs the business; looked up for every update."""
        return self.person.user_id == self.tenant.owner_id or self.person.is_admin


class Introduce(BaseMiddleware):
    """Hands `visitor` to handlers, speaks their language, and says kindly what was refused."""

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Let the handler speak with somebody it knows."""
        source = cast("Message | CallbackQuery", event)
        user = source.from_user
        if user is None or (isinstance(source, Message) and source.chat.type != "private"):
            return None
        tenant, database = cast("Tenant", data["tenant"]), cast("Database", data["database"])
        async with database.tenant(tenant.id) as conn:
            person = await remember_person(
                conn,
                user.id,
                name=user.full_name,
                username=user.username,
                language=language_of(user.language_code),
            )
        if data.get("raw_state") and _starts_something_else(source):
            await cast("FSMContext", data["state"]).clear()
            data["raw_state"] = None
        data["visitor"] = Visitor(tenant, database, person, data["now"])
        with speaking(BOOKING, person.language):
            try:
                return await handler(event, data)
            except AppError as error:
                text = explain(error)
                if text is None:
                    raise
                log.info("refused_in_chat", reason=error.code)
                await say(source, text)


def _starts_something_else(source: Message | CallbackQuery) -> bool:
    """A tap or a command leaves what was being typed."""
    return isinstance(source, CallbackQuery) or (source.text or "").startswith("/")


class IsOwner(BaseFilter):
    """Lets only those pass who run the business."""

    async def __call__(self, event: TelegramObject, visitor: Visitor) -> bool:  # noqa: ARG002 # aiogram's signature
        """Look at the rights of this very update."""
        return visitor.is_owner
