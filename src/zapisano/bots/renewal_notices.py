"""What the sales bot says as paid time ends: reminders, grace, the coming charge, the last call.

Each is said once, as long as it is still so; see `notices` about the rest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.i18n import gettext as _
from aiogram.utils.i18n import ngettext

from zapisano import subscriptions
from zapisano.bots.errors import BlockedByPerson
from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.registry import Bots
from zapisano.bots.sales.buttons import Renew, button
from zapisano.bots.sales.words import day, inside_quotes, roubles
from zapisano.bots.screens import keyboard, quote
from zapisano.payments import SavedMethod, methods
from zapisano.settings import Plan, Settings
from zapisano.subscriptions import REMINDERS, Notice, Word
from zapisano.telemetry import get_logger
from zapisano.tenancy import State, Tenant
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.bots")


@dataclass(frozen=True)
class RenewalNotices:
    """The handler. One per process."""

    settings: Settings
    bots: Bots
    now: Callable[[], datetime]

    async def tell(self, job: Notice) -> None:
        """Give a notice as it is true now, by day; nothing where nothing of it is true."""
        now = self.now()
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            true = await subscriptions.worded_now(conn, self.settings, job, now)
            if true is None or not _matters(tenant, true):
                return
            if await subscriptions.put_off(conn, self.settings, job, now):
                return
            charge = await methods.next_charge(conn, self.settings, tenant.id)
        with speaking(SALES, tenant.owner_language):
            text = "\n\n".join((_news(true, tenant, self.settings), self._advice(true, charge)))
            await self._say(tenant.owner_id, text, _extend(tenant))

    def _advice(self, job: Notice, charge: tuple[SavedMethod, Plan] | None) -> str:
        if charge is not None and job.charge_at is not None:
            return _charge(*charge, job.charge_at, self.settings)
        if job.word in REMINDERS:
            return _("Extend it now: the days that are left are kept.")
        return _("Your data is safe. Pay at any moment, and everything goes on as it was.")

    async def _say(self, person_id: int, text: str, buttons: InlineKeyboardMarkup) -> None:
        bot, _row = await self.bots.sales()
        try:
            await bot.send_message(person_id, text, reply_markup=buttons)
        except BlockedByPerson:
            log.info("nobody_to_tell")


def _matters(tenant: Tenant, notice: Notice) -> bool:
    """Say whether the owner of a business in this state is to hear it."""
    if tenant.state is State.SUSPENDED:
        still = {Word.LAST_CALL, Word.CHARGE}
        return not tenant.is_paused_by_operator and notice.word in still
    return tenant.state is not State.ARCHIVED


def _news(job: Notice, tenant: Tenant, settings: Settings) -> str:
    """Say how it stands."""
    texts = {
        Word.BEFORE: _("🗓 “{name}” is paid until {end}: {left} left."),
        Word.TODAY: _("🗓 “{name}” is paid until today, {end}."),
        Word.EVE: _("🗓 The paid time of “{name}” ends tomorrow, {end}, at {time}."),
        Word.CHARGE: _("💳 “{name}”: paid until {end}."),
        Word.OVER: _("⌛ The paid time of “{name}” is over. The bot still works until {acts}."),
        Word.LAST_DAY: _("⚠️ The bot of “{name}” is not paid for, and pauses on {acts}."),
        Word.LAST_CALL: _(
            "📦 “{name}” has been paused for long. On {acts} we close it and put its data away."
        ),
    }
    left = ngettext("{days} day", "{days} days", job.days or 0).format(days=job.days or 0)
    return texts[Word(job.word)].format(
        name=inside_quotes(tenant.name),
        end=day(job.paid_until, settings),
        time=f"{job.paid_until.astimezone(ZoneInfo(settings.time_zone)):%H:%M}",
        left=left,
        acts=day(job.acts_at or job.paid_until, settings),
    )


def _charge(card: SavedMethod, plan: Plan, at: datetime, settings: Settings) -> str:
    """Say what is charged, when and from what, that there is nothing to do, and how to end it."""
    if card.last4:
        text = _("On {day} we will charge {sum} to the card •• {last4}. There is nothing to do.")
    else:
        text = _("On {day} we will charge {sum} to {title}. There is nothing to do.")
    text += " " + _("Autopay can be switched off in /my.")
    return text.format(
        day=day(at, settings), sum=roubles(plan.price), last4=card.last4, title=quote(card.title)
    )


def _extend(tenant: Tenant) -> InlineKeyboardMarkup:
    return keyboard([button(_("Extend"), Renew(tenant=tenant.id))])
