"""One HTTP session for all bots: limits, patience, and Telegram's errors in our words.

A thousand bots with a session each cost 22 s and 670 MiB, with one session 50 ms and 3 MiB.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.session.middlewares.base import (
    BaseRequestMiddleware,
    NextRequestMiddlewareType,
)
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import GetUpdates, Response, TelegramMethod
from aiogram.methods.base import TelegramType
from aiohttp import ClientSession
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError
from limits import RateLimitItem, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from zapisano.bots.errors import BlockedByPerson, TokenRevoked, WrongToken
from zapisano.bots.model import UNAUTHORIZED_BELIEVED, BotRow
from zapisano.errors import Busy, Upstream
from zapisano.settings import Settings
from zapisano.vault import Vault

# Telegram's own: about 30 messages a second per bot, 1 a second per chat on average.
PER_BOT = RateLimitItemPerSecond(25)
PER_CHAT = RateLimitItemPerSecond(20, 20)
LONGEST_WAIT_SECONDS = 5.0
SHORTEST_WAIT_SECONDS = 0.02
TIMEOUT_SECONDS = 20.0
CONNECTIONS = 100
# Telegram away, or the SOCKS proxy before it: that one speaks in errors of its own.
UNREACHABLE = (
    *(TelegramNetworkError, TelegramServerError, ClientDecodeError),
    *(ProxyError, ProxyConnectionError, ProxyTimeoutError, EOFError),
)
# Only these are messages to a chat; answering a button is not.
MESSAGES = ("send", "edit", "copy", "forward")
# Telegram cannot resolve, reach or trust our address: for the operator to mend, not for the code.
OUR_ADDRESS = "bad webhook"
NOBODY_THERE = ("chat not found", "user is deactivated", "bot was kicked", "peer_id_invalid")


class KnownBot(Bot):
    """A bot of our registry: when Telegram refuses its token, that is counted."""

    def __init__(
        self, token: str, session: AiohttpSession, sealed: bytes, *, suspected: bool = False
    ) -> None:
        """`sealed`: the token as its row has it; `suspected`: it has been refused before."""
        super().__init__(token, session, DefaultBotProperties(parse_mode=ParseMode.HTML))
        self.sealed = sealed
        self.suspected = suspected


class Candidate(Bot):
    """A bot whose token somebody has pasted: nothing is counted against anybody."""

    def __init__(self, token: str, session: AiohttpSession) -> None:
        """Log in with a token that may be wrong."""
        super().__init__(token, session, DefaultBotProperties(parse_mode=ParseMode.HTML))


def known_bot(row: BotRow, vault: Vault, session: AiohttpSession) -> KnownBot:
    """Return a registered bot, ready to speak; building one costs microseconds."""
    suspected = row.unauthorized_times > 0
    return KnownBot(vault.unlock(row.token), session, row.token, suspected=suspected)


class Session(AiohttpSession):
    """aiogram's session, with an HTTP proxy by aiohttp itself and SOCKS by its library."""

    def __init__(self, settings: Settings, *, limit: int = CONNECTIONS) -> None:
        """Connect to the settings' Telegram, through their proxy if there is one."""
        proxy = settings.telegram_proxy.get_secret_value()
        socks = proxy if proxy.startswith("socks") else None
        super().__init__(
            proxy=socks,
            limit=limit,
            api=TelegramAPIServer.from_base(settings.telegram_api_base),
            timeout=TIMEOUT_SECONDS,
        )
        self._http_proxy = None if socks else (proxy or None)

    async def create_session(self) -> ClientSession:
        """Open the HTTP session once."""
        if self._http_proxy is None:
            return await super().create_session()
        if self._session is None or self._session.closed:
            connector = self._connector_type(**self._connector_init)
            self._session = ClientSession(connector=connector, proxy=self._http_proxy)
        return self._session


def open_session(
    settings: Settings, tokens: "TokenWatch | None" = None, *, limit: int = CONNECTIONS
) -> Session:
    """Open the session that every bot of this process shares; the caller closes it."""
    session = Session(settings, limit=limit)
    session.middleware(Translate(tokens))
    session.middleware(Pace())
    return session


class TokenWatch:
    """Told of refused and accepted tokens of known bots; the composition root connects it."""

    def __init__(
        self,
        refused: Callable[[KnownBot], Awaitable[int]],
        accepted: Callable[[KnownBot], Awaitable[None]],
    ) -> None:
        """`refused` counts and returns the count, 0 for a token of the past; `accepted` clears."""
        self.refused = refused
        self.accepted = accepted


class Translate(BaseRequestMiddleware):
    """Telegram's errors in the domain's words: retry, give up on the person, doubt the token."""

    def __init__(self, tokens: TokenWatch | None) -> None:
        """Without `tokens` every refused token is simply wrong."""
        self._tokens = tokens

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        """Make the request; raise only errors of ours, or TelegramBadRequest for our own bugs."""
        try:
            answer = await make_request(bot, method)
        except TelegramRetryAfter as error:
            detail = f"Telegram asks to wait for {error.retry_after} s."
            raise Busy(detail, retry_after_seconds=error.retry_after) from error
        except UNREACHABLE as error:
            raise Upstream(f"Telegram is not answering ({type(error).__name__}).") from None
        except TelegramForbiddenError as error:
            raise BlockedByPerson from error
        except TelegramBadRequest as error:
            if any(part in error.message.lower() for part in NOBODY_THERE):
                raise BlockedByPerson from error
            if OUR_ADDRESS in error.message.lower():
                raise Upstream(f"WEBHOOK_URL: Telegram says “{error.message}”.") from error
            raise
        except (TelegramUnauthorizedError, TelegramNotFound) as error:
            await self._doubt(bot, error)
            raise
        if self._tokens and isinstance(bot, KnownBot) and bot.suspected:
            await self._tokens.accepted(bot)
            bot.suspected = False
        return answer

    async def _doubt(self, bot: Bot, error: TelegramUnauthorizedError | TelegramNotFound) -> None:
        """A known bot is believed revoked after two refusals; a pasted token is just wrong."""
        if not isinstance(bot, KnownBot):
            raise WrongToken from error
        if isinstance(error, TelegramNotFound) or self._tokens is None:
            return
        bot.suspected = True
        times = await self._tokens.refused(bot)
        if times >= UNAUTHORIZED_BELIEVED:
            raise TokenRevoked from error
        raise Upstream("Telegram has refused the bot's token once; it may pass.") from error


class Pace(BaseRequestMiddleware):
    """Smooth what bots send, so that Telegram seldom has to; obey when it does.

    A short burst in a chat passes at once; only its continuation is slowed to one a second.
    """

    def __init__(self) -> None:
        """Counters are in memory: Telegram's limits are per bot, and it has the last word."""
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._resume_at: dict[int, float] = {}

    async def __call__(
        self,
        make_request: NextRequestMiddlewareType[TelegramType],
        bot: Bot,
        method: TelegramMethod[TelegramType],
    ) -> Response[TelegramType]:
        """Wait for this bot's and this chat's turn, then make the request; once more after 429."""
        if method.__api_method__ == GetUpdates.__api_method__:
            return await make_request(bot, method)
        await self._turn(bot, method)
        try:
            return await make_request(bot, method)
        except TelegramRetryAfter as error:
            self._resume_at[bot.id] = time.monotonic() + error.retry_after
            if error.retry_after > LONGEST_WAIT_SECONDS:
                raise
        await self._turn(bot, method)
        return await make_request(bot, method)

    async def _turn(self, bot: Bot, method: TelegramMethod[TelegramType]) -> None:
        deadline = time.monotonic() + LONGEST_WAIT_SECONDS
        pause = self._resume_at.get(bot.id, 0.0) - time.monotonic()
        if pause > LONGEST_WAIT_SECONDS:
            raise Busy("Telegram has asked this bot to wait.", retry_after_seconds=pause)
        if pause > 0:
            await asyncio.sleep(pause)
        if self._resume_at.get(bot.id, 0.0) <= time.monotonic():  # nobody has prolonged it
            self._resume_at.pop(bot.id, None)
        for item, who in _limits(bot, method):
            await self._slot(item, who, deadline)

    async def _slot(self, item: RateLimitItem, who: tuple[str, ...], deadline: float) -> None:
        while not self._limiter.hit(item, *who):
            wait = self._limiter.get_window_stats(item, *who).reset_time - time.time()
            if time.monotonic() + wait > deadline:
                raise Busy("This chat has had too many messages; the next one waits.")
            await asyncio.sleep(max(wait, SHORTEST_WAIT_SECONDS))


def _limits(
    bot: Bot, method: TelegramMethod[TelegramType]
) -> list[tuple[RateLimitItem, tuple[str, ...]]]:
    """Return what a message counts against; Telegram limits nothing else by the second."""
    chat = getattr(method, "chat_id", None)
    if chat is None or not method.__api_method__.startswith(MESSAGES):
        return []
    return [(PER_BOT, ("bot", str(bot.id))), (PER_CHAT, ("chat", str(bot.id), str(chat)))]
