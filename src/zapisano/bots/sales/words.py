"""How the sales bot words prices, dates and states. Called inside an i18n context."""

from datetime import datetime
from decimal import ROUND_UP, Decimal
from zoneinfo import ZoneInfo

from aiogram.utils.i18n import get_i18n, ngettext
from aiogram.utils.i18n import gettext as _

from zapisano.bots.i18n import RUSSIAN
from zapisano.bots.screens import quote
from zapisano.payments import PlanOrder, SavedMethod
from zapisano.plans import TRIAL, Trial
from zapisano.settings import Plan, Settings
from zapisano.tenancy import State, Suspension, Tenant

MONTH_DAYS = 30
NO_BREAK = "\N{NO-BREAK SPACE}"
INNER_RUSSIAN = str.maketrans("«»", "„“")
INNER_ENGLISH = str.maketrans("“”", "‘’")


def roubles(amount: Decimal) -> str:
    """Write a sum: `299 ₽`, `1 490 ₽`, `99,50 ₽`; in English `99.50 ₽`."""
    whole = amount == amount.to_integral_value()
    digits = f"{amount:,.{0 if whole else 2}f}".replace(",", NO_BREAK)
    if get_i18n().current_locale == RUSSIAN:
        digits = digits.replace(".", ",")
    return f"{digits} ₽"


def inside_quotes(name: str) -> str:
    """Make a business's name ready to stand in quotation marks: its own become the inner kind."""
    inner = INNER_RUSSIAN if get_i18n().current_locale == RUSSIAN else INNER_ENGLISH
    return quote(name.translate(inner))


def plan_name(plan: Plan) -> str:
    """Name a plan: as the price list does in Russian, else by its days."""
    return plan.name if get_i18n().current_locale == RUSSIAN else in_days(plan.days)


def ordered_plan(order: PlanOrder, settings: Settings) -> str:
    """Name what an order is for; its plan may be sold no more, and its price stands."""
    plan = settings.plans.get(order.plan)
    return plan_name(plan) if plan else in_days(order.days)


def in_days(days: int) -> str:
    """Say a number of days."""
    return ngettext("{days} day", "{days} days", days).format(days=days)


def plan_line(plan: Plan) -> str:
    """Name a plan with its price, and what a month comes to where that is a saving."""
    line = f"{plan_name(plan)} · {roubles(plan.price)}"
    if plan.days <= MONTH_DAYS:
        return line
    months = round(plan.days / MONTH_DAYS)
    monthly = (plan.price / months).quantize(Decimal(1), ROUND_UP)  # never less than it is
    return _("{line} ({price} a month)").format(line=line, price=roubles(monthly))


def trial_offer(trial: Trial) -> str:
    """Offer the trial, on a button."""
    return ngettext("🎁 Try {days} day for free", "🎁 Try {days} days for free", trial.days).format(
        days=trial.days
    )


def days_text(days: int) -> str:
    """Write a number of days."""
    return ngettext("{days} day", "{days} days", days).format(days=days)


def plan_label(plan_id: str, settings: Settings) -> str:
    """Name what a tenant has: a plan, the trial, or one that is not sold any more."""
    if plan_id == TRIAL:
        return _("free trial")
    plan = settings.plans.get(plan_id)
    return plan_name(plan) if plan else quote(plan_id)


def day(moment: datetime, settings: Settings) -> str:
    """Write a day as the operator's calendar has it."""
    return moment.astimezone(ZoneInfo(settings.time_zone)).strftime("%d.%m.%Y")


def next_charge(method: SavedMethod, plan: Plan, at: datetime, settings: Settings) -> str:
    """Say what will be charged by itself, when, and from which card."""
    text = _("🔁 Autopay: {sum} on {day}").format(sum=roubles(plan.price), day=day(at, settings))
    return text + (_(", card •• {last4}").format(last4=method.last4) if method.last4 else "")


def pause_note(tenant: Tenant, settings: Settings) -> str:
    """Say that money does not end the operator's pause; '' where there is none."""
    if not tenant.is_paused_by_operator:
        return ""
    note = _("\n\n⏸ Support has paused it: paying adds days, but does not end the pause.")
    if settings.support_contact:
        note += " " + _("Ask about it: {contact}").format(contact=quote(settings.support_contact))
    return note


def reopening_note(settings: Settings) -> str:
    """Say whom to ask about a closed business; '' where there is no contact."""
    if not settings.support_contact:
        return ""
    note = _("\n\nTo have a closed business opened again, write: {contact}")
    return note.format(contact=quote(settings.support_contact))


def decline_reason(reason: str) -> str:
    """Say why no money has come; YooKassa's reasons are an open set, so some stay unsaid."""
    known = {
        "insufficient_funds": _("There was not enough money on the card."),
        "card_expired": _("The card has expired."),
        "invalid_card_number": _("The card number was mistyped."),
        "invalid_csc": _("The code on the back of the card was mistyped."),
        "3d_secure_failed": _("The bank did not get your confirmation."),
        "call_issuer": _("The bank declined it; its support knows why."),
        "expired_on_confirmation": _("The time to pay ran out."),
        "payment_method_limit_exceeded": _("The card's limit is used up."),
    }
    return known.get(reason, _("The bank declined it."))


def state_name(tenant: Tenant) -> str:
    """Say in a word or two how a tenant is."""
    match tenant.state:
        case State.PROVISIONING:
            return _("⏳ being prepared")
        case State.AWAITING_BOT:
            return _("👉 waiting for its bot")
        case State.ACTIVE:
            return _("🟢 working")
        case State.SUSPENDED if tenant.suspended_for is Suspension.UNPAID:
            return _("⏸ paused: not paid")
        case State.SUSPENDED:
            return _("⏸ paused by support")
        case State.ARCHIVED:
            return _("📦 archived")
