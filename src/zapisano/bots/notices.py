"""What the sales bot says without being asked: jobs of payments, tenancy and attach.

Each says its message at least once; a second time only if the worker was killed between
Telegram's answer and ours to the queue.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots import store
from zapisano.bots.attach import REMINDERS
from zapisano.bots.errors import BlockedByPerson
from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.jobs import (
    AskForToken,
    Attach,
    ForgetUpdates,
    Hello,
    PromptNext,
    RemindToAttach,
    SetAccess,
    TellOfChange,
    Welcome,
)
from zapisano.bots.model import BotRow, bot_link
from zapisano.bots.registry import Bots
from zapisano.bots.sales.buttons import Go, Renew, button
from zapisano.bots.sales.prompt import prompt
from zapisano.bots.sales.renewal import checkout_url
from zapisano.bots.sales.words import (
    day,
    decline_reason,
    inside_quotes,
    next_charge,
    pause_note,
    reopening_note,
    roubles,
)
from zapisano.bots.screens import keyboard, link
from zapisano.db import SharedConnection
from zapisano.jobs import enqueue, schedule
from zapisano.payments import (
    OrderCanceled,
    OrderPaid,
    OrderRefunded,
    PlanOrder,
    SavedMethod,
    methods,
    was_paid_when_closed,
)
from zapisano.payments import store as orders
from zapisano.payments.store import refunds
from zapisano.settings import Plan, Settings
from zapisano.telemetry import get_logger
from zapisano.tenancy import (
    State,
    Tenant,
    TenantChanged,
    TenantId,
    TenantReady,
)
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.bots")

REMIND_AFTER = dict(
    zip(REMINDERS, (timedelta(hours=1), timedelta(days=1), timedelta(days=3)), strict=True)
)
# Telegram redelivers for 24 h; after that an update cannot come a second time.
KEEP_UPDATES = timedelta(days=3)
# Who has so little left after a refund is shown the way to go on.
ENDS_SOON = timedelta(days=3)
FORGET_EVERY = timedelta(hours=6)


@dataclass(frozen=True)
class Notices:
    """The handlers. One per process."""

    settings: Settings
    bots: Bots
    now: Callable[[], datetime]

    async def order_paid(self, job: OrderPaid) -> None:
        """The money has arrived."""
        async with self.bots.database.shared() as conn:
            order = await orders.get_plan_order(conn, job.order_id)
            tenant = await tenants.get(conn, job.tenant_id)
            paid = await subscriptions.get(conn, tenant.id)
            in_review = await was_paid_when_closed(conn, order, tenant)
            waits = not job.is_new and await _waits(conn, tenant)
            autopay = await self._agreed_now(conn, order, tenant)
        with speaking(SALES, order.buyer_language):
            name = inside_quotes(order.company_name)
            if job.is_new:
                text = _("✅ Payment received. We are making the bot for “{name}”…")
            elif in_review:
                text = _(
                    "Payment received, but “{name}” is closed. A person is looking at it and will "
                    "write to you here."
                )
            elif order.charge_key:
                text = _("✅ Autopay: {sum} charged. “{name}” is paid until {day}. Details: /my")
            else:
                text = _("✅ Payment received. “{name}” is paid until {day}.")
            amount = roubles(order.amount)
            text = text.format(sum=amount, name=name, day=day(paid.paid_until, self.settings))
            if autopay:
                text += "\n\n" + next_charge(*autopay, self.settings) + _(". Details: /my")
            await self._say(order.buyer_id, text + pause_note(tenant, self.settings))
        if waits:  # paid for longer, and still without its bot: that is the next step
            await self._prompt(tenant, reminder=True)

    async def _agreed_now(
        self, conn: SharedConnection, order: PlanOrder, tenant: Tenant
    ) -> tuple[SavedMethod, Plan, datetime] | None:
        """Return what will be charged next, if it was agreed to with this very order."""
        charge = await methods.next_charge(conn, self.settings, tenant.id)
        at = await subscriptions.find_next_charge_at(
            conn, self.settings, tenant, autopay=True, now=self.now()
        )
        return (*charge, at) if charge and at and charge[0].order_id == order.id else None

    async def order_canceled(self, job: OrderCanceled) -> None:
        """No money has come, and none will by this payment."""
        async with self.bots.database.shared() as conn:
            order = await orders.get_plan_order(conn, job.order_id)
            tenant = await tenants.get(conn, order.tenant_id) if order.tenant_id else None
        with speaking(SALES, order.buyer_language):
            text = _(
                "The payment for “{name}” did not go through: nothing was charged.\n{reason}"
            ).format(name=inside_quotes(order.company_name), reason=decline_reason(job.reason))
            other = Renew(tenant=order.tenant_id) if order.tenant_id else Go(to="plans")
            buttons = keyboard(
                [link(_("Try again"), checkout_url(self.settings, order.id))],
                [button(_("Choose another plan"), other)],
            )
            note = pause_note(tenant, self.settings) if tenant else ""
            await self._say(order.buyer_id, text + note, buttons)

    async def order_refunded(self, job: OrderRefunded) -> None:
        """Money has gone back to the buyer, and days with it."""
        async with self.bots.database.shared() as conn:
            refund = await refunds.get_refund(conn, job.id)
            order = await orders.get_plan_order(conn, refund.order_id)
            tenant = await tenants.get(conn, order.tenant_id) if order.tenant_id else None
            paid = await subscriptions.find(conn, tenant.id) if tenant else None
        with speaking(SALES, order.buyer_language):
            text = _(
                "↩️ {sum} for “{name}” are on their way back to you, by the way you paid. "
                "It usually takes a few days."
            ).format(sum=roubles(refund.amount), name=inside_quotes(order.company_name))
            buttons = None
            if tenant and paid and tenant.state is not State.ARCHIVED:
                text += "\n\n" + _paid_time(refund.days_taken, paid.paid_until, self)
                if job.ended_autopay:
                    text += " " + _("Autopay is off. Nothing will be charged by itself.")
                if paid.paid_until <= self.now() + ENDS_SOON:
                    buttons = keyboard([button(_("Extend"), Renew(tenant=tenant.id))])
            with _nobody_there():
                await self._say(order.buyer_id, text, buttons)

    async def tenant_ready(self, job: TenantReady) -> None:
        """The schema is there: the owner is asked to create the bot, and reminded of it later."""
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            if not await _waits(conn, tenant):
                return
            for n, pause in REMIND_AFTER.items():
                reminder = RemindToAttach(tenant.id, n)
                at = tenant.changed_at + pause
                await schedule(conn, reminder, at=at, subject=f"{tenant.id}:{n}")
        await self._prompt(tenant, reminder=False)

    async def remind_to_attach(self, job: RemindToAttach) -> None:
        """The button was not pressed: ask again, if that is still so."""
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            if not await _waits(conn, tenant):
                return
        await self._prompt(tenant, reminder=True)

    async def _prompt(self, tenant: Tenant, *, reminder: bool) -> None:
        bot, _row = await self.bots.sales()
        with speaking(SALES, tenant.owner_language):
            await prompt(bot, self.bots.database, tenant, reminder=reminder)

    async def welcome(self, job: Welcome) -> None:
        """The bot works: its owner gets the link."""
        found = await self._bot_and_tenant(job.bot_id)
        if found is None:
            return
        row, tenant = found
        address = bot_link(self.settings, row.username)
        with speaking(SALES, tenant.owner_language):
            text = _welcome(again=job.again).format(username=row.username, link=address)
            buttons = keyboard([link(_("Open @{username}").format(username=row.username), address)])
            with _nobody_there():
                await self._say(tenant.owner_id, text, buttons)
        if not job.again:
            async with self.bots.database.shared() as conn:
                await enqueue(conn, PromptNext(tenant.owner_id))

    async def hello(self, job: Hello) -> None:
        """The bot works: its owner gets a word in it, if it was started."""
        found = await self._bot_and_tenant(job.bot_id)
        if found is None:
            return
        row, tenant = found
        with speaking(SALES, tenant.owner_language), _nobody_there():
            text = _("Hello! This is your booking bot. Press /start: it shows what it begins with.")
            await self.bots.of(row).send_message(tenant.owner_id, text)

    async def prompt_next(self, job: PromptNext) -> None:
        """One bot works, and the button has gone with it: the owner's next one may wait for it."""
        async with self.bots.database.shared() as conn:
            waiting = await store.awaiting(conn, job.owner_id)
            tenant = await tenants.get(conn, waiting) if waiting else None
        if tenant:
            with _nobody_there():
                await self._prompt(tenant, reminder=True)

    async def tenant_changed(self, job: TenantChanged) -> None:
        """A tenant is paused, put away or back: shut or open its bot, and have its owner told."""
        async with self.bots.database.shared() as conn:
            paid = job.restored and await subscriptions.lift_if_paid(
                conn, TenantId(job.tenant_id), self.now()
            )
            if paid:
                return  # and that tells
            tenant = await tenants.get(conn, job.tenant_id)
            if tenant.state == job.state:  # else it has changed again, and that job tells
                await _open_or_shut(conn, tenant)
                await enqueue(conn, TellOfChange(tenant.id, tenant.state))

    async def tell_of_change(self, job: TellOfChange) -> None:
        """Tell the owner that a tenant is paused, put away or back."""
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            waits = await _waits(conn, tenant)
        if tenant.state != job.state:
            return
        with _nobody_there():
            if tenant.state is State.AWAITING_BOT:
                if waits:  # else its bot is being connected, and that tells
                    await self._prompt(tenant, reminder=True)
                return
            with speaking(SALES, tenant.owner_language):
                await self._say(tenant.owner_id, *_change(tenant, self.settings))

    async def ask_for_token(self, job: AskForToken) -> None:
        """Telegram refuses the bot's token: only its owner can help."""
        found = await self._bot_and_tenant(job.bot_id)
        if found is None or not found[0].revoked:
            return
        row, tenant = found
        with speaking(SALES, tenant.owner_language):
            text = _(
                "⚠️ Telegram no longer accepts the token of @{username}, so it cannot answer.\n\n"
                "Open @BotFather, choose the bot, “API Token”, and send me the token here."
            )
            await self._say(tenant.owner_id, text.format(username=row.username))

    async def forget_updates(self, job: ForgetUpdates) -> None:
        """Delete the inbox's old lines, and come again."""
        now = self.now()
        async with self.bots.database.shared() as conn:
            await store.forget_updates(conn, now - KEEP_UPDATES)
            await schedule(conn, job, at=now + FORGET_EVERY, subject="")

    async def _bot_and_tenant(self, bot_id: int) -> tuple[BotRow, Tenant] | None:
        async with self.bots.database.shared() as conn:
            row = await store.find(conn, bot_id)
            if row is None or row.tenant_id is None:
                return None
            return row, await tenants.get(conn, row.tenant_id)

    async def _say(
        self, person_id: int, text: str, buttons: InlineKeyboardMarkup | None = None
    ) -> None:
        bot, _row = await self.bots.sales()
        await bot.send_message(person_id, text, reply_markup=buttons)


def _paid_time(days_taken: int, paid_until: datetime, notices: Notices) -> str:
    """Say until when the bot is paid after a refund."""
    until = day(paid_until, notices.settings)
    if paid_until <= notices.now():
        return _("The bot is not paid for any more.")
    if not days_taken:
        return _("Your days stay: the bot is paid until {day}.").format(day=until)
    return _("The bot is paid until {day}.").format(day=until)


async def _open_or_shut(conn: SharedConnection, tenant: Tenant) -> None:
    """Have an archived bot shut. A suspended one stays open: it says so.

    A restored one is connected anew: our address may have changed meanwhile.
    """
    row = await store.of_tenant(conn, tenant.id)
    if row is None or row.revoked:
        return
    if row.managed:
        await enqueue(conn, SetAccess(row.bot_id))
    if tenant.state is not State.ARCHIVED:
        await enqueue(conn, Attach(row.bot_id))


async def _waits(conn: SharedConnection, tenant: Tenant) -> bool:
    if tenant.state is not State.AWAITING_BOT:
        return False
    return await store.of_tenant(conn, tenant.id) is None


def _welcome(*, again: bool) -> str:
    if again:
        return _("✅ @{username} is connected and works again.")
    return _(
        "🎉 <b>Your bot @{username} works!</b>\n\n"
        "Open it and press Start: it shows what it begins with, and how to put in your own "
        "services and hours. Then give your customers the link: {link}"
    )


def _change(tenant: Tenant, settings: Settings) -> tuple[str, InlineKeyboardMarkup | None]:
    name = inside_quotes(tenant.name)
    if tenant.state is State.ACTIVE:
        return _("▶️ “{name}” works again.").format(name=name), None
    if tenant.state is State.ARCHIVED:
        text = _("📦 “{name}” is closed and its data is put away.").format(name=name)
        return text + reopening_note(settings), None
    if tenant.is_paused_by_operator:
        return _("⏸ “{name}” is paused by support. Your data is safe.").format(name=name), None
    text = _("⏸ “{name}” is paused: it is not paid for. Your data is safe, pay and it goes on.")
    return text.format(name=name), keyboard([button(_("Extend"), Renew(tenant=tenant.id))])


@contextmanager
def _nobody_there() -> Generator[None]:
    """Go on when the person has blocked the bot or has never started it."""
    try:
        yield
    except BlockedByPerson:
        log.info("nobody_to_tell")
