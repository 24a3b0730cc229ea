"""What the sales bot says of autopay by itself: a charge that failed, or the end of it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.registry import Bots
from zapisano.bots.sales.buttons import Renew, button
from zapisano.bots.sales.renewal import checkout_url
from zapisano.bots.sales.words import day, decline_reason, inside_quotes, roubles
from zapisano.bots.screens import keyboard, link
from zapisano.db import SharedConnection
from zapisano.payments import AutopayEnded, ChargeDeclined, PlanOrder, methods
from zapisano.payments import store as orders
from zapisano.payments.charges import is_of_period
from zapisano.payments.declines import REFUSED
from zapisano.settings import Settings
from zapisano.tenancy import Tenant, TenantId
from zapisano.tenancy import store as tenants


@dataclass(frozen=True)
class AutopayNotices:
    """The handlers. One per process."""

    settings: Settings
    bots: Bots
    now: Callable[[], datetime]

    async def charge_declined(self, job: ChargeDeclined) -> None:
        """Autopay has brought no money this time. Nothing is said if that does not matter now."""
        async with self.bots.database.shared() as conn:
            order = await orders.get_plan_order(conn, job.order_id)
            tenant = await tenants.get(conn, order.tenant_id or "")
            paid = await subscriptions.get(conn, tenant.id)
            again_at = await self._again_at(conn, tenant)
        if not is_of_period(order, paid):
            return
        with speaking(SALES, tenant.owner_language):
            pay = _("Pay {sum}").format(sum=roubles(order.amount))
            buttons = keyboard([link(pay, checkout_url(self.settings, order.id))])
            text = self._declined(order, job.reason, again_at)
            await self._say(tenant.owner_id, text, buttons)

    async def _again_at(self, conn: SharedConnection, tenant: Tenant) -> datetime | None:
        """Return when it is tried again by itself, None if it is not."""
        autopay = await methods.will_charge(self.settings, conn, tenant.id)
        return await subscriptions.find_next_charge_at(
            conn, self.settings, tenant, autopay=autopay, now=self.now()
        )

    def _declined(self, order: PlanOrder, reason: str, again_at: datetime | None) -> str:
        name = inside_quotes(order.company_name)
        if reason == REFUSED:
            return _(
                "We could not renew “{name}” by autopay: it does not work right now, and that is "
                "not your card's fault. Nothing was charged; please pay with the button."
            ).format(name=name)
        text = _("Autopay for “{name}” did not go through: nothing was charged.\n{reason}").format(
            name=name, reason=decline_reason(reason)
        )
        if again_at is not None:
            text += "\n\n" + _("We will try again on {day}, or you can pay now.").format(
                day=day(again_at, self.settings)
            )
        else:
            text += "\n\n" + _("We will not try again by ourselves: please pay with the button.")
        return text

    async def autopay_ended(self, job: AutopayEnded) -> None:
        """Autopay is over though its owner has not ended it."""
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            if await methods.find(conn, TenantId(job.tenant_id)) is not None:
                return  # another card is there already
        with speaking(SALES, tenant.owner_language):
            reasons = {
                "card_expired": _("The card has expired."),
                "permission_revoked": _("The bank says that autopay for this card was withdrawn."),
                "terms": _("The price or the period has changed, and you agreed to the old ones."),
            }
            text = (
                _(
                    "Autopay for “{name}” is off, nothing was charged.\n{reason}\n\n"
                    "Renew with the button; you can switch autopay on there again."
                )
                .format(name=inside_quotes(tenant.name), reason=reasons.get(job.reason, ""))
                .strip()
            )
            buttons = keyboard([button(_("Extend"), Renew(tenant=tenant.id))])
            await self._say(tenant.owner_id, text, buttons)

    async def _say(self, person_id: int, text: str, buttons: InlineKeyboardMarkup) -> None:
        bot, _row = await self.bots.sales()
        await bot.send_message(person_id, text, reply_markup=buttons)
