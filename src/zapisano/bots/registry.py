"""The bots of this process: rows turned into bots that can speak, and their tokens watched."""

from dataclasses import dataclass

from aiogram import Bot

from zapisano import journal
from zapisano.bots import store
from zapisano.bots.errors import TokenRevoked
from zapisano.bots.jobs import AskForToken
from zapisano.bots.model import UNAUTHORIZED_BELIEVED, BotRow
from zapisano.bots.session import Candidate, KnownBot, Session, TokenWatch, known_bot, open_session
from zapisano.db import Database
from zapisano.errors import NotFound
from zapisano.jobs import enqueue
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.vault import Vault

log = get_logger("zapisano.bots")


@dataclass(frozen=True)
class Bots:
    """The way from a row to a bot. One per process; close it at the end."""

    database: Database
    session: Session
    vault: Vault

    def of(self, row: BotRow) -> Bot:
        """Return the bot of a row.

        Raises:
            TokenRevoked: Telegram refuses its token; only a new one helps.
        """
        if row.revoked:
            raise TokenRevoked
        return known_bot(row, self.vault, self.session)

    def candidate(self, token: str) -> Bot:
        """Return a bot for a token that somebody has pasted."""
        return Candidate(token, self.session)

    async def sales(self) -> tuple[Bot, BotRow]:
        """Return the sales bot.

        Raises:
            NotFound: none is registered.
        """
        async with self.database.shared() as conn:
            row = await store.sales(conn)
        if row is None:
            raise NotFound("There is no sales bot: set SALES_BOT_TOKEN.")
        return self.of(row), row

    async def close(self) -> None:
        """Close the session."""
        await self.session.close()


def open_bots(settings: Settings, database: Database) -> Bots:
    """Open the one session of this process and watch the tokens used on it."""

    async def refused(bot: KnownBot) -> int:
        return await count_refusal(database, bot.id, bot.sealed)

    async def accepted(bot: KnownBot) -> None:
        async with database.shared() as conn:
            await store.clear_unauthorized(conn, bot.id, bot.sealed)

    session = open_session(settings, TokenWatch(refused, accepted))
    return Bots(database, session, Vault(settings))


async def count_refusal(database: Database, bot_id: int, sealed: bytes) -> int:
    """Count a 401; at the second one the token is believed revoked, and its owner is asked.

    Return 0 where the bot has another token by now: that the old one is refused says nothing.
    """
    async with database.shared() as conn:
        times = await store.count_unauthorized(conn, bot_id, sealed)
        if times == UNAUTHORIZED_BELIEVED:
            row = await store.find(conn, bot_id)
            tenant = row.tenant_id if row else None
            await journal.record(conn, "bot.revoked", str(bot_id), tenant=tenant, by="telegram")
            await enqueue(conn, AskForToken(bot_id))
            log.error("bot_token_revoked", bot=bot_id, tenant=tenant)
    return times
