"""A person blocks the tenant's bot, or lets it in again: Telegram tells, and it is remembered."""

from datetime import datetime

from aiogram import F, Router
from aiogram.enums import ChatMemberStatus, ChatType
from aiogram.types import ChatMemberUpdated

from zapisano.booking import note_blocked, note_unblocked
from zapisano.db import Database
from zapisano.tenancy import Tenant


def router() -> Router:
    """Return the handler of `my_chat_member`."""
    made = Router(name="booking.membership")
    made.my_chat_member.register(changed, F.chat.type == ChatType.PRIVATE)
    return made


async def changed(
    event: ChatMemberUpdated, tenant: Tenant, database: Database, now: datetime
) -> None:
    """Remember whether this person can be written to; a stranger is not written down for it."""
    async with database.tenant(tenant.id) as conn:
        if event.new_chat_member.status == ChatMemberStatus.KICKED:
            await note_blocked(conn, event.from_user.id, now)
        else:
            await note_unblocked(conn, event.from_user.id)
