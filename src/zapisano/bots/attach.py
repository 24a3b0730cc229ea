"""A bot finds its tenant, and is connected: every step may be repeated, or be the last one.

claim (row, committed) → Attach: webhook → commands → one commit: active, attached, Welcome, Hello.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import User

from zapisano import journal
from zapisano.bots import store
from zapisano.bots.errors import BotTaken, NothingAwaits, TokenRevoked
from zapisano.bots.i18n import ENGLISH, RUSSIAN, SALES
from zapisano.bots.jobs import Attach, Hello, RemindToAttach, SetAccess, Welcome
from zapisano.bots.model import BotRow, bot_id_of
from zapisano.bots.registry import Bots
from zapisano.bots.wording import DESCRIPTIONS, SALES_COMMANDS, TENANT_COMMANDS, command_menu
from zapisano.db import Database, SharedConnection
from zapisano.jobs import enqueue, unschedule
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.tenancy import State, Suspension, Tenant, TenantId, activate
from zapisano.tenancy import store as tenants
from zapisano.vault import Vault

log = get_logger("zapisano.bots")

# Bots are many and each is quiet; Telegram's default of 40 connections per bot is for a few.
MAX_CONNECTIONS = 4
REMINDERS = (1, 2, 3)
NAME_LENGTH = 64
BATCH = 100


async def claim(
    conn: SharedConnection,
    vault: Vault,
    *,
    owner_id: int,
    username: str,
    token: str,
    managed: bool,
) -> bool:
    """Give a bot to the tenant of this person that waits for one; say whether anything changed.

    The same bot again changes nothing, or brings its new token; pasted once more, a bot that could
    not be connected is tried anew. A bot whose tenant is archived is free for another tenant of
    the same person.

    Raises:
        BotTaken: the bot works for somebody else.
        NothingAwaits: no paid tenant of this person waits for a bot.
    """
    bot_id = bot_id_of(token)
    waiting = await store.awaiting(conn, owner_id)
    known = await store.find(conn, bot_id, lock=True)
    if known is not None:
        served = await _tenant_of(conn, known, owner_id)
        if served.state is not State.ARCHIVED:
            renewed = await _renew(conn, vault, known, token, username)
            if not (renewed or managed or known.attached_at):
                await enqueue(conn, Attach(bot_id))
            return renewed
    if waiting is None:
        waiting = await _bereft(conn, owner_id)
    if known is not None:
        await store.remove(conn, bot_id)
        managed = managed or known.managed
    locked = vault.lock(token)
    if not await store.insert(
        conn, bot_id=bot_id, tenant_id=waiting, username=username, token=locked, managed=managed
    ):
        raise BotTaken  # by somebody who has sent the same token at the same instant
    await enqueue(conn, Attach(bot_id))
    if known is not None and managed:
        await enqueue(conn, SetAccess(bot_id))  # it was shut when its last tenant was archived
    return True


async def _bereft(conn: SharedConnection, owner_id: int) -> TenantId:
    """Find this person's tenant whose bot is lost, and forget that bot."""
    tenant = await store.with_lost_bot(conn, owner_id)
    if tenant is None:
        raise NothingAwaits
    await store.remove_of_tenant(conn, tenant)
    return tenant


async def _tenant_of(conn: SharedConnection, row: BotRow, owner_id: int) -> Tenant:
    if row.tenant_id is None:
        raise BotTaken
    tenant = await tenants.get(conn, row.tenant_id)
    if tenant.owner_id != owner_id:
        raise BotTaken
    return tenant


async def _renew(
    conn: SharedConnection, vault: Vault, row: BotRow, token: str, username: str
) -> bool:
    if vault.unlock(row.token) == token and not row.revoked:
        return False
    await store.replace_token(conn, row.bot_id, token=vault.lock(token), username=username)
    await enqueue(conn, Attach(row.bot_id))
    return True


async def claim_managed(bots: Bots, manager: Bot, owner: User, made: User) -> bool:
    """Take in a bot that a person has just created, or whose token has changed.

    Raises:
        BotTaken, NothingAwaits: as `claim`.
    """
    token = await manager.get_managed_bot_token(made.id)
    async with bots.database.shared() as conn:
        return await claim(
            conn,
            bots.vault,
            owner_id=owner.id,
            username=made.username or "",
            token=token,
            managed=True,
        )


@dataclass(frozen=True)
class Pasted:
    """A bot whose token was pasted; `works` if it is connected, and that has changed nothing."""

    username: str
    works: bool


async def claim_pasted(bots: Bots, owner_id: int, token: str) -> Pasted:
    """Take in a bot by a token that a person has pasted.

    Raises:
        WrongToken: Telegram does not know it.
        BotTaken, NothingAwaits: as `claim`.
    """
    me = await bots.candidate(token).get_me()
    username = me.username or ""
    async with bots.database.shared() as conn:
        changed = await claim(
            conn, bots.vault, owner_id=owner_id, username=username, token=token, managed=False
        )
        row = await store.find(conn, me.id)
    return Pasted(username, works=not changed and row is not None and row.attached_at is not None)


@dataclass(frozen=True)
class Attaching:
    """The handlers of `Attach` and `SetAccess`."""

    settings: Settings
    bots: Bots
    now: Callable[[], datetime]

    async def handle(self, job: Attach) -> None:
        """Connect a bot: webhook, username, commands; then its tenant is active."""
        try:
            await self._connect(job)
        except TokenRevoked:
            # Whoever brings the new token asks for this again.
            log.info("not_attached", bot=job.bot_id, reason="token_revoked")

    async def _connect(self, job: Attach) -> None:
        async with self.bots.database.shared() as conn:
            row = await store.find(conn, job.bot_id)
        if row is None or row.revoked:
            return
        bot = self.bots.of(row)
        me = await bot.get_me()
        await self._set_webhook(bot, row)
        await _introduce(bot, row)
        async with self.bots.database.shared() as conn:
            now = await store.find(conn, row.bot_id, lock=True)
            if now is None or now.path != row.path:
                return  # claimed anew meanwhile: that has a job of its own
            await store.set_username(conn, row.bot_id, me.username or row.username)
            if row.tenant_id:
                await finish(conn, row, row.tenant_id, self.now())
            else:
                await store.set_attached(conn, row.bot_id, self.now())

    async def _set_webhook(self, bot: Bot, row: BotRow) -> None:
        """Say where updates go, only if that has changed: Telegram throttles this method."""
        base = self.settings.webhook_url
        url = f"{base}/telegram/{row.path}" if base else None
        if url == row.webhook_url:
            return
        if url is None:
            await bot.delete_webhook()
        else:
            await bot.set_webhook(
                url,
                secret_token=row.secret,
                allowed_updates=list(row.allowed_updates),
                max_connections=MAX_CONNECTIONS,
            )
        async with self.bots.database.shared() as conn:
            if not await store.set_webhook(conn, row, url):
                # It was claimed anew meanwhile: Telegram has to hear of that path last.
                await store.forget_webhook(conn, row.bot_id)
                await enqueue(conn, Attach(row.bot_id))

    async def set_access(self, job: SetAccess) -> None:
        """Shut the bot of an archived or unpaid tenant to all but its owner; open any other's."""
        found = await self._served(job.bot_id)
        if found is None:
            return
        shut = _is_shut(found)
        manager, _row = await self.bots.sales()
        try:
            await manager.set_managed_bot_access_settings(
                user_id=job.bot_id,
                is_access_restricted=shut,
                added_user_ids=[found.owner_id] if shut else None,
            )
        except TelegramBadRequest:
            # Deleted, or given to somebody else: there is nothing left that we could shut.
            log.warning("access_not_set", bot=job.bot_id)
            return
        now = await self._served(job.bot_id)
        if now is not None and _is_shut(now) != shut:
            # It has changed while Telegram was told, and whoever told that may have come first.
            async with self.bots.database.shared() as conn:
                await enqueue(conn, job)

    async def _served(self, bot_id: int) -> Tenant | None:
        async with self.bots.database.shared() as conn:
            row = await store.find(conn, bot_id)
            return await tenants.get(conn, row.tenant_id) if row and row.tenant_id else None


def _is_shut(tenant: Tenant) -> bool:
    """Say whether only its owner may use a managed bot; one that the operator has paused says so
    to everybody."""
    return tenant.state is State.ARCHIVED or tenant.suspended_for is Suspension.UNPAID


async def _introduce(bot: Bot, row: BotRow) -> None:
    """Write what people see before they press Start, in both languages."""
    commands = TENANT_COMMANDS if row.tenant_id else SALES_COMMANDS
    description = DESCRIPTIONS[row.tenant_id is None]
    for language, code in ((RUSSIAN, None), (ENGLISH, ENGLISH)):
        await bot.set_my_commands(command_menu(commands, language), language_code=code)
        await bot.set_my_description(
            SALES.gettext(description, locale=language), language_code=code
        )


async def finish(conn: SharedConnection, row: BotRow, tenant_id: TenantId, now: datetime) -> None:
    """In one commit: the tenant is active, its bot attached, the owner to be told, once."""
    if await store.set_attached(conn, row.bot_id, now):
        await journal.record(
            conn, "bot.attached", str(row.bot_id), tenant=tenant_id, by="owner", managed=row.managed
        )
        is_first = (await tenants.get(conn, tenant_id)).state is State.AWAITING_BOT
        await enqueue(conn, Welcome(row.bot_id, again=not is_first))
        if is_first:
            await enqueue(conn, Hello(row.bot_id))
    await activate(conn, tenant_id)
    for n in REMINDERS:
        await unschedule(conn, RemindToAttach, subject=f"{tenant_id}:{n}")


async def ensure_sales_bot(conn: SharedConnection, settings: Settings, vault: Vault) -> None:
    """Register the sales bot of the settings, or give it its new token, and connect it.

    Needs no network: a worker starts while Telegram is away, for the sake of the money's jobs.
    """
    token = settings.sales_bot_token.get_secret_value()
    bot_id = bot_id_of(token)
    new = await store.insert(
        conn,
        bot_id=bot_id,
        tenant_id=None,
        username="",
        token=vault.lock(token),
        managed=False,
    )
    await store.remove_other_sales_bots(conn, bot_id)
    row = await store.find(conn, bot_id, lock=True)
    if row and not new and (row.revoked or vault.unlock(row.token) != token):
        await store.replace_token(conn, bot_id, token=vault.lock(token), username=row.username)
    await enqueue(conn, Attach(bot_id))


async def redirect(database: Database, settings: Settings) -> None:
    """Connect anew the bots whose updates come to another address than today's.

    After a WEBHOOK_URL that has changed, and after a time of polling. Batches commit by
    themselves, so a start that is cut short is taken up by the next one.
    """
    async with database.shared() as conn:
        elsewhere = await store.misdirected(conn, settings.webhook_url or None)
    for start in range(0, len(elsewhere), BATCH):
        async with database.shared() as conn:
            for bot_id in elsewhere[start : start + BATCH]:
                await enqueue(conn, Attach(bot_id))


async def give_back(database: Database, tenant_id: TenantId) -> None:
    """Ask the worker of all to take a bot over from a process that has served it alone."""
    async with database.shared() as conn:
        row = await store.of_tenant(conn, tenant_id)
        if row:
            await enqueue(conn, Attach(row.bot_id))


def suggested_name(tenant: Tenant) -> str:
    """Return the name to suggest for a tenant's bot; Telegram allows 64 characters."""
    return tenant.name[:NAME_LENGTH]
