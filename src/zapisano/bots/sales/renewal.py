"""The screens with a sum in them: pay for a new business, extend one that exists."""

import hmac
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from aiogram.types import CallbackQuery, InlineKeyboardButton, Message, Update
from aiogram.utils.i18n import get_i18n
from aiogram.utils.i18n import gettext as _

from zapisano.bots.model import BotRow
from zapisano.bots.sales.buttons import Buy, DropCode, Enter, Stars, back, button
from zapisano.bots.sales.words import (
    inside_quotes,
    ordered_plan,
    pause_note,
    plan_line,
    roubles,
)
from zapisano.bots.screens import keyboard, link, show
from zapisano.db import Database
from zapisano.payments import PlanOrder, create_order, sold_for_stars
from zapisano.payments.model import OrderId
from zapisano.settings import Settings
from zapisano.tenancy import State, Tenant, UnknownTenant
from zapisano.tenancy import store as tenants


def order_of(settings: Settings, row: BotRow, update: Update) -> OrderId:
    """Return the id of the order that an update asks for: the same however often it is handled.

    It is the key to the checkout page, so only who knows the secret key can reckon it.
    """
    secret = settings.secret_key.get_secret_value().encode()
    name = f"order {row.bot_id} {update.update_id}".encode()
    digest = hmac.digest(secret, name, "sha256")
    return OrderId(str(UUID(bytes=digest[:16], version=4)))


def checkout_url(settings: Settings, order_id: str | UUID) -> str:
    """Return the address of our page where an order is paid."""
    return f"{settings.checkout_base}/checkout/{order_id}"


async def own_tenant(database: Database, tenant_id: str, person_id: int) -> Tenant:
    """Return a tenant of this person.

    Raises:
        UnknownTenant: there is none, or it is somebody else's.
    """
    async with database.shared() as conn:
        tenant = await tenants.find(conn, tenant_id)
    if tenant is None or tenant.owner_id != person_id or tenant.state is State.ARCHIVED:
        raise UnknownTenant
    return tenant


async def show_renewal(
    event: Message | CallbackQuery, tenant_id: str, database: Database, settings: Settings
) -> None:
    """Let the owner choose for how long to extend."""
    assert event.from_user is not None  # noqa: S101 # a private chat
    tenant = await own_tenant(database, tenant_id, event.from_user.id)
    rows = [
        [button(plan_line(plan), Buy(plan=plan.id, tenant=tenant.id))]
        for plan in settings.plans.values()
    ]
    text = _("<b>Extend “{name}”</b>\n\nDays that are left are kept.").format(
        name=inside_quotes(tenant.name)
    )
    text += pause_note(tenant, settings)
    await show(event, text, keyboard(*rows, back("mine")))


async def pay_for(
    tap: CallbackQuery,
    tenant: Tenant,
    plan_id: str,
    database: Database,
    settings: Settings,
    now: datetime,
    order_id: OrderId,
    *,
    is_switch: bool = False,
) -> None:
    """Make an order for a tenant that exists, and show how to pay it."""
    async with database.shared() as conn:
        order = await create_order(
            conn,
            settings,
            buyer_id=tap.from_user.id,
            language=get_i18n().current_locale,
            company_name=tenant.name,
            plan=plan_id,
            tenant_id=tenant.id,
            order_id=order_id,
            is_switch=is_switch,
            now=now,
        )
    await show_order(tap, order, settings, to="mine", note=pause_note(tenant, settings))


async def show_order(
    event: Message | CallbackQuery, order: PlanOrder, settings: Settings, *, to: str, note: str = ""
) -> int | None:
    """Show what is bought, the sum, the terms in a sentence, and one button to pay."""
    text = (
        _(
            "<b>A bot for “{name}”</b>\n{plan} · <b>{sum}</b>\n\n"
            "You pay on YooKassa's secure page, and your bot is made right after. It is one "
            "payment, nothing is charged automatically."
        )
        if order.tenant_id is None
        else _(
            "<b>More days for “{name}”</b>\n{plan} · <b>{sum}</b>\n\n"
            "You pay on YooKassa's secure page, and the days are added right after. It is one "
            "payment, nothing is charged automatically."
        )
    )
    if settings.yookassa_autopay:
        text = (
            _(
                "<b>A bot for “{name}”</b>\n{plan} · <b>{sum}</b>\n\n"
                "You pay on YooKassa's secure page, and your bot is made right after. You are "
                "charged again only if you tick the box for it on the next page."
            )
            if order.tenant_id is None
            else _(
                "<b>More days for “{name}”</b>\n{plan} · <b>{sum}</b>\n\n"
                "You pay on YooKassa's secure page, and the days are added right after. You are "
                "charged again only if you tick the box for it on the next page."
            )
        )
    text = text.format(
        name=inside_quotes(order.company_name),
        plan=ordered_plan(order, settings),
        sum=_price(order, settings),
    )
    in_stars = _in_stars(order, settings)
    if in_stars:
        text += _("\n\nOr pay with Telegram Stars, right here in the chat.")
    pay = link(_("Pay {sum}").format(sum=roubles(order.amount)), checkout_url(settings, order.id))
    text += _promo_note(order, settings)
    return await show(event, text + note, keyboard([pay], in_stars, _promo_row(order), back(to)))


def _promo_row(order: PlanOrder) -> list[InlineKeyboardButton]:
    """The way to a lower price, as long as the price is not before YooKassa."""
    if not order.is_open or order.requested_at:
        return []
    if order.promo_code:
        other = button(_("Another promo code"), Enter(order=order.id))
        return [other, button(_("Remove the code"), DropCode(order=order.id))]
    return [button(_("I have a promo code"), Enter(order=order.id))]


def _saved(order: PlanOrder, settings: Settings) -> Decimal:
    """Return what a promo code has taken off, in roubles."""
    plan = settings.plans.get(order.plan)
    return plan.price - order.amount if order.promo_code and plan else Decimal(0)


def _price(order: PlanOrder, settings: Settings) -> str:
    """Write the sum, behind the usual one where a promo code has lowered it."""
    saved = _saved(order, settings)
    usual = f"<s>{roubles(order.amount + saved)}</s> " if saved > 0 else ""
    return usual + roubles(order.amount)


def _promo_note(order: PlanOrder, settings: Settings) -> str:
    """Say what a promo code has taken off; '' where there is none."""
    if (saved := _saved(order, settings)) <= 0:
        return ""
    note = _("\n\n🎟 <b>{code}</b>: you save {sum}.")
    return note.format(code=order.promo_code, sum=roubles(saved))


def _in_stars(order: PlanOrder, settings: Settings) -> list[InlineKeyboardButton]:
    """Return the row with the button that pays in Stars; an empty one where they are off."""
    price = sold_for_stars(settings, order)
    if price is None:
        return []
    return [button(_("Pay {stars} ⭐").format(stars=price), Stars(order=order.id))]
