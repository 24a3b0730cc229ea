"""What the sales bot says when somebody has given: days, a bot, or the same message once more."""

from dataclasses import dataclass

from aiogram.types import InlineKeyboardMarkup
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots import store
from zapisano.bots.errors import BlockedByPerson
from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.jobs import PromptNext, SetAccess
from zapisano.bots.registry import Bots
from zapisano.bots.sales.buttons import Go, button
from zapisano.bots.sales.renewal import checkout_url
from zapisano.bots.sales.words import day, days_text, inside_quotes, plan_label, roubles
from zapisano.bots.screens import keyboard, link
from zapisano.jobs import enqueue
from zapisano.payments import OrderWaits
from zapisano.payments import store as orders
from zapisano.settings import Settings
from zapisano.subscriptions import DaysGiven, Gift
from zapisano.telemetry import get_logger
from zapisano.tenancy import State, TenantMoved
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.bots")


@dataclass(frozen=True)
class PeopleNotices:
    """The handlers. One per process."""

    settings: Settings
    bots: Bots

    async def days_given(self, job: DaysGiven) -> None:
        """Days have come without a payment."""
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            paid = await subscriptions.get(conn, tenant.id)
        with speaking(SALES, tenant.owner_language):
            text = _gift(job.gift) + " " + _("“{name}” is paid until {day}.")
            text = text.format(
                days=days_text(job.days),
                name=inside_quotes(tenant.name),
                day=day(paid.paid_until, self.settings),
            )
            await self._say(tenant.owner_id, text)

    async def order_waits(self, job: OrderWaits) -> None:
        """Support sends the order again."""
        async with self.bots.database.shared() as conn:
            order = await orders.get_plan_order(conn, job.order_id)
        if not order.is_open:
            return  # it was paid or canceled meanwhile, and that was told
        with speaking(SALES, order.buyer_language):
            text = _("Your order for “{name}”: {plan}, <b>{sum}</b>. It is paid here:").format(
                name=inside_quotes(order.company_name),
                plan=plan_label(order.plan, self.settings),
                sum=roubles(order.amount),
            )
            pay = link(
                _("Pay {sum}").format(sum=roubles(order.amount)),
                checkout_url(self.settings, order.id),
            )
            await self._say(order.buyer_id, text, keyboard([pay]))

    async def tenant_moved(self, job: TenantMoved) -> None:
        """Somebody else owns the tenant now: greet that person, and show what is left to do."""
        async with self.bots.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id)
            row = await store.of_tenant(conn, tenant.id)
            if tenant.owner_id != job.owner_id:
                return  # moved again, and that tells
            if row is None and tenant.state is State.AWAITING_BOT:
                await enqueue(conn, PromptNext(tenant.owner_id))
            if row is not None and row.managed:  # one that is shut lets in its owner alone
                await enqueue(conn, SetAccess(row.bot_id))
        with speaking(SALES, tenant.owner_language):
            text = _("👋 “{name}” is yours now: support has put it into your hands.")
            text = text.format(name=inside_quotes(tenant.name))
            if row is not None:
                text += "\n" + _("Its bot is @{username}; send /admin there to manage it.").format(
                    username=row.username
                )
            await self._say(tenant.owner_id, text, keyboard([button(_("My bots"), Go(to="mine"))]))

    async def _say(
        self, person_id: int, text: str, buttons: InlineKeyboardMarkup | None = None
    ) -> None:
        bot, _row = await self.bots.sales()
        try:
            await bot.send_message(person_id, text, reply_markup=buttons)
        except BlockedByPerson:
            log.info("nobody_to_tell")


def _gift(gift: str) -> str:
    match gift:
        case Gift.HOST:
            return _("🎁 Your friend has paid for a bot. Thank you! Your gift: {days}.")
        case Gift.GUEST:
            return _("🎁 Your gift for coming by invitation: {days}.")
        case _:
            return _("🎁 Support has added days for you: {days}.")
