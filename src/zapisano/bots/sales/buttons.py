"""The sales bot's buttons, and the one that creates a bot."""

from aiogram.filters.callback_data import CallbackData
from aiogram.types import (
    InlineKeyboardButton,
    KeyboardButton,
    KeyboardButtonRequestManagedBot,
    ReplyKeyboardMarkup,
)
from aiogram.utils.i18n import gettext as _

from zapisano.bots.attach import suggested_name
from zapisano.bots.model import suggest_username
from zapisano.tenancy import Tenant

NEW = "new"
BUTTON_NAME_LENGTH = 24
MOST_BUSINESSES = 10  # of one person, on one screen


class Go(CallbackData, prefix="go"):
    """Open a screen."""

    to: str


class Buy(CallbackData, prefix="buy"):
    """A plan was picked: for a tenant that exists, for a `NEW` one, or it is not said yet."""

    plan: str
    tenant: str = ""


class Renew(CallbackData, prefix="renew"):
    """Pay for a tenant that exists."""

    tenant: str


class Unlink(CallbackData, prefix="unlink"):
    """Switch autopay off for a tenant."""

    tenant: str


class Stars(CallbackData, prefix="stars"):
    """Pay an order in Telegram Stars instead."""

    order: str


class Create(CallbackData, prefix="create"):
    """Show again how to create the tenant's bot."""

    tenant: str


class Enter(CallbackData, prefix="promo"):
    """Enter a promo code for an order."""

    order: str


class SeeOrder(CallbackData, prefix="order"):
    """Show an order again."""

    order: str


class DropCode(CallbackData, prefix="nopromo"):
    """Take the promo code off an order."""

    order: str


class Tariff(CallbackData, prefix="tariff"):
    """Show a tenant's plan and what may follow it."""

    tenant: str


class Switch(CallbackData, prefix="switch"):
    """Go over to a longer plan now."""

    tenant: str
    plan: str


class Later(CallbackData, prefix="later"):
    """Go over to another plan with the next renewal; to none: stay.

    It carries the price and the days that the button has shown: a press agrees to those alone.
    """

    tenant: str
    plan: str = ""
    price: str = ""
    days: int = 0


class Invite(CallbackData, prefix="invite"):
    """Show a tenant's link for friends."""

    tenant: str


def short(name: str) -> str:
    """Cut a business's name to what a button can show."""
    return name if len(name) <= BUTTON_NAME_LENGTH else name[: BUTTON_NAME_LENGTH - 1] + "…"


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    """Return a button that comes back to us."""
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def back(to: str) -> list[InlineKeyboardButton]:
    """Return the row with the way back."""
    return [button(_("‹ Back"), Go(to=to))]


def create_bot_keyboard(tenant: Tenant) -> ReplyKeyboardMarkup:
    """Return the one button: Telegram opens its own dialog, filled in and editable."""
    number = int(tenant.id.removeprefix("client_"))
    request = KeyboardButtonRequestManagedBot(
        request_id=number,
        suggested_name=suggested_name(tenant),
        suggested_username=suggest_username(tenant.name, number),
    )
    return ReplyKeyboardMarkup(
        keyboard=[[KeyboardButton(text=_("🤖 Create my bot"), request_managed_bot=request)]],
        resize_keyboard=True,
        one_time_keyboard=True,
    )
