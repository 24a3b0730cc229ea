"""What you get, what it costs, help: the screens that only speak."""

from aiogram import Bot, F, Router
from aiogram.filters import Command, CommandObject, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, InlineKeyboardMarkup, Message
from aiogram.utils.i18n import gettext as _

from zapisano.bots.sales.buttons import NEW, Buy, Go, back, button
from zapisano.bots.sales.prompt import find_awaiting, prompt
from zapisano.bots.sales.renewal import show_renewal
from zapisano.bots.sales.words import plan_line, trial_offer
from zapisano.bots.screens import keyboard, quote, show
from zapisano.db import Database
from zapisano.plans import Trial
from zapisano.settings import Settings
from zapisano.subscriptions import may_try

RENEW = "renew_"


async def start_with_payload(
    message: Message,
    command: CommandObject,
    bot: Bot,
    state: FSMContext,
    database: Database,
    settings: Settings,
) -> None:
    """Open the screen a link leads to."""
    payload = command.args or ""
    if payload.startswith(RENEW):
        await state.clear()
        await show_renewal(message, payload.removeprefix(RENEW), database, settings)
    else:
        await arrive(message, bot, state, database, settings)


async def arrive(
    message: Message,
    bot: Bot,
    state: FSMContext,
    database: Database,
    settings: Settings,
    *,
    first: str = "",
) -> None:
    """Greet, below what a link has brought `first`; whose bot is awaited gets its button.

    Telegram lets no bot write first, so an owner whom the operator has entered meets it here.
    """
    assert message.from_user is not None  # noqa: S101 # a private chat
    tenant = await find_awaiting(database, message.from_user.id)
    if tenant is None:
        await _greet(message, state, database, settings, first=first)
        return
    await state.clear()
    text = first + _(
        "Hello! Here are the prices and your bots. What is left to do for yours is below."
    )
    await show(message, text, _start_buttons(None))
    await prompt(bot, database, tenant, reminder=True)


async def arrive_for_prices(
    message: Message,
    bot: Bot,
    state: FSMContext,
    database: Database,
    settings: Settings,
    *,
    first: str,
) -> None:
    """Say a line, and go on to the prices; whose bot is awaited gets its button instead."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    if await find_awaiting(database, message.from_user.id):
        await arrive(message, bot, state, database, settings, first=f"{first}\n\n")
        return
    trial = await _trial_for(message.from_user.id, database, settings)
    await _show_plans(message, state, settings, tenant="", first=f"{first}\n\n", trial=trial)


async def _trial_for(person_id: int, database: Database, settings: Settings) -> Trial | None:
    """Return the trial if this person may try."""
    if settings.trial is None:
        return None
    async with database.shared() as conn:
        return settings.trial if await may_try(conn, person_id) else None


async def start(
    event: Message | CallbackQuery, state: FSMContext, database: Database, settings: Settings
) -> None:
    """Say what you get."""
    await _greet(event, state, database, settings)


async def _greet(
    event: Message | CallbackQuery,
    state: FSMContext,
    database: Database,
    settings: Settings,
    *,
    first: str = "",
) -> None:
    """Say what you get, below what is to be said `first`; offer the trial to whoever may try."""
    assert event.from_user is not None  # noqa: S101 # a private chat
    await state.clear()
    trial = await _trial_for(event.from_user.id, database, settings)
    text = first + _(
        "<b>A booking bot for your business</b>\n\n"
        "Customers book themselves in Telegram, at night and on holidays too.\n\n"
        "🗓 Services, staff and hours as you set them\n"
        "🔔 Reminders a day and two hours before\n"
        "👀 Your day at a glance, in the same bot\n\n"
        "It is ready a minute after payment."
    )
    await show(event, text, _start_buttons(trial))


def _start_buttons(trial: Trial | None) -> InlineKeyboardMarkup:
    return keyboard(
        [button(trial_offer(trial), Go(to="trial"))] if trial else [],
        [button(_("See the prices"), Go(to="plans"))],
        [button(_("My bots"), Go(to="mine")), button(_("Help"), Go(to="help"))],
    )


async def plans(event: Message | CallbackQuery, state: FSMContext, settings: Settings) -> None:
    """Show the price list; whatever was being written is over."""
    await _show_plans(event, state, settings, tenant="")


async def plans_of_one_more(tap: CallbackQuery, state: FSMContext, settings: Settings) -> None:
    """Show the price list to an owner who wants one more bot."""
    await _show_plans(tap, state, settings, tenant=NEW)


async def _show_plans(
    event: Message | CallbackQuery,
    state: FSMContext,
    settings: Settings,
    *,
    tenant: str,
    first: str = "",
    trial: Trial | None = None,
) -> None:
    rows = [
        [button(plan_line(plan), Buy(plan=plan.id, tenant=tenant))]
        for plan in settings.plans.values()
    ]
    text = _(
        "<b>Choose for how long</b>\n\n"
        "One payment, no automatic charges. Everything is included in every plan."
    )
    if settings.yookassa_autopay:
        text = _(
            "<b>Choose for how long</b>\n\n"
            "Nothing is charged by itself unless you ask for it. Everything is included in every "
            "plan."
        )
    free = [button(trial_offer(trial), Go(to="trial"))] if trial else []
    await show(event, first + text, keyboard(free, *rows, back("start")))
    await state.clear()


async def help_screen(event: Message | CallbackQuery, settings: Settings) -> None:
    """Say how it works and whom to ask."""
    text = _(
        "<b>How it works</b>\n\n"
        "1. Choose a plan and write your business's name.\n"
        "2. Pay on a secure page.\n"
        "3. Press one button, and Telegram creates your bot.\n\n"
        "/my shows your bots and until when they are paid.\n"
        "A bot of your own already? After paying, send its token from @BotFather: we connect it."
    )
    await show(event, text + _contact(settings), keyboard(back("start")))


async def privacy(message: Message, settings: Settings) -> None:
    """Say what is kept."""
    await message.answer(privacy_text(settings))


def privacy_text(settings: Settings) -> str:
    """Word it; nobody is told to write to us where there is no contact."""
    text = _(
        "<b>Privacy</b>\n\n"
        "We keep your Telegram id, your language, your business's name and your payments, to run "
        "your bot and to keep our books. Card details stay with YooKassa; we never see them. "
        "Bot tokens are kept encrypted. What your customers write in your bot belongs to your "
        "business alone."
    )
    if settings.support_contact:
        text += "\n\n" + _("To have your data exported or deleted, write to us.")
    return text + _contact(settings)


async def paysupport(message: Message, settings: Settings) -> None:
    """Say where to turn with a question about money."""
    await message.answer(paysupport_text(settings))


def paysupport_text(settings: Settings) -> str:
    """Word it, with or without a contact."""
    text = _(
        "<b>Questions about a payment</b>\n\n"
        "Paid, and nothing has come? The bank sometimes needs a few minutes. We ask YooKassa "
        "about every payment ourselves, and write here as soon as it has arrived; /my shows it."
    )
    if settings.support_contact:
        text += "\n\n" + _(
            "Still nothing, or charged by mistake? Write to us and name the date and the sum: we "
            "answer and, where something is due, pay back."
        )
    return text + _contact(settings)


def _contact(settings: Settings) -> str:
    lines = ""
    if settings.support_contact:
        lines += _("\n\nSupport: {contact}").format(contact=quote(settings.support_contact))
    if settings.operator_terms:
        lines += _("\n\nTerms: {terms}").format(terms=quote(settings.operator_terms))
    return lines


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="showcase")
    router.message.register(start_with_payload, CommandStart(deep_link=True))
    router.message.register(arrive, CommandStart())
    router.callback_query.register(start, Go.filter(F.to == "start"))
    router.callback_query.register(plans, Go.filter(F.to == "plans"))
    router.callback_query.register(plans_of_one_more, Go.filter(F.to == "more"))
    router.message.register(help_screen, Command("help"))
    router.callback_query.register(help_screen, Go.filter(F.to == "help"))
    router.message.register(privacy, Command("privacy"))
    router.message.register(paysupport, Command("paysupport"))
    return router
