"""Errors in the person's language."""

from collections.abc import Mapping

from aiogram.types import BotCommand

from zapisano.bots.i18n import SALES
from zapisano.errors import AppError


def _(text: str) -> str:
    """Mark a text for translation; it is translated when it is shown."""
    return text


BY_CODE = {
    "not_found": _("This is no longer there."),
    "conflict": _("This is no longer possible."),
    "unknown_tenant": _("This business is closed, or not yours."),
    "refused": _("This cannot be accepted. Please check what you have written."),
    "unauthorized": _("You have no right to do this."),
    "slot_taken": _("This time has just been taken."),
    "wrong_state": _("This is not possible now."),
    "wrong_token": _(
        "This token opens no bot. Copy it from @BotFather once more and send it here."
    ),
    "mistyped_token": _(
        "This is not a whole token. It is digits, a colon and 35 more characters: press it in "
        "@BotFather to copy it, and send it here. I have removed your message: a token is a key."
    ),
    "bot_taken": _("This bot is already connected to another business. Please create a new one."),
    "trial_used": _(
        "The free trial is for those who have not had a bot here yet. /start shows the prices."
    ),
    "no_promo": _("There is no such promo code, or it has ended. Please check how it is written."),
    "promo_used_up": _("This promo code has been used up. The order stays at its price."),
    "promo_used_once": _("You have used this promo code already: it is for one time."),
    "promo_other_plan": _("This promo code is for other plans."),
    "order_closed": _("This order is being paid already, or is over."),
    "unknown_order": _("This order is no longer there, or is not yours."),
    "nothing_awaits": _(
        "None of your subscriptions is waiting for a bot. To buy one, press /start."
    ),
}
SALES_COMMANDS = {
    "start": _("Plans and prices"),
    "my": _("My bots"),
    "help": _("Help"),
    "paysupport": _("Questions about a payment"),
    "privacy": _("Privacy"),
}
TENANT_COMMANDS = {
    "start": _("Start"),
    "book": _("Book a visit"),
    "my": _("My bookings"),
    "settings": _("Settings"),
    "help": _("Help"),
    "privacy": _("Privacy"),
}
OWNER_COMMANDS = {"admin": _("Manage"), **TENANT_COMMANDS}
# What a bot says about itself before Start is pressed; by whether it is the sales bot.
DESCRIPTIONS = {
    True: _(
        "A Telegram bot that books your customers while you work. Ready a minute after payment."
    ),
    False: _("Book a visit here, any time of the day. Press Start."),
}
OTHERWISE = _("Something went wrong on our side. Please try again a little later.")


def command_menu(commands: Mapping[str, str], language: str) -> list[BotCommand]:
    """Return a menu of commands in a language."""
    return [
        BotCommand(command=name, description=SALES.gettext(text, locale=language))
        for name, text in commands.items()
    ]


def error_text(error: AppError, language: str) -> str:
    """Return what to tell a person about an error."""
    return SALES.gettext(BY_CODE.get(error.code, OTHERWISE), locale=language)
