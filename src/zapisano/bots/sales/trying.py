"""The free trial: a name is asked for, and the bot is made at once."""

from datetime import datetime

from aiogram import F, Router
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State as Step
from aiogram.fsm.state import StatesGroup
from aiogram.types import CallbackQuery, Message
from aiogram.utils.i18n import get_i18n
from aiogram.utils.i18n import gettext as _

from zapisano import subscriptions
from zapisano.bots.inbox import SEALED_MARK
from zapisano.bots.model import MISTYPED
from zapisano.bots.sales.buttons import NEW, Buy, Go, back, button
from zapisano.bots.sales.words import day, days_text, inside_quotes, plan_line
from zapisano.bots.screens import keyboard, remove, show
from zapisano.db import Database
from zapisano.errors import Refused
from zapisano.settings import Settings
from zapisano.subscriptions import TrialUsed


class Trying(StatesGroup):
    """Where somebody is who tries."""

    name = Step()


async def ask_for_name(
    tap: CallbackQuery, state: FSMContext, database: Database, settings: Settings
) -> None:
    """Say what the trial is and ask for the business's name; who has tried sees the prices."""
    async with database.shared() as conn:
        may = await subscriptions.may_try(conn, tap.from_user.id)
    if settings.trial is None or not may:
        await _prices_instead(tap, state, settings)
        return
    text = _(
        "<b>{days} for free</b>\n\n"
        "Everything works as in every plan. No card is asked for, and nothing is charged "
        "afterwards: you decide.\n\nWhat is your business called? Write its name here."
    ).format(days=days_text(settings.trial.days))
    shown = await show(tap, text, keyboard(back("start")))
    await state.set_state(Trying.name)
    await state.set_data({"screen": shown})


async def _prices_instead(
    event: Message | CallbackQuery, state: FSMContext, settings: Settings
) -> None:
    await state.clear()
    text = _(
        "The free trial is for those who have not had a bot here yet, and you know us already. "
        "Thank you for coming back! Here are the prices:"
    )
    rows = [
        [button(plan_line(plan), Buy(plan=plan.id, tenant=NEW))] for plan in settings.plans.values()
    ]
    await show(event, text, keyboard(*rows, back("start")))


async def begin(
    message: Message, state: FSMContext, database: Database, settings: Settings, now: datetime
) -> None:
    """The name is written: make the tenant. Handled again, it finds the same one."""
    assert message.from_user is not None  # noqa: S101 # a private chat
    data = await state.get_data()
    if settings.trial is None:
        await _prices_instead(message, state, settings)
        return
    try:
        async with database.shared() as conn:
            tenant = await subscriptions.start_trial(
                conn,
                settings.trial,
                person_id=message.from_user.id,
                language=get_i18n().current_locale,
                name=message.text or "",
                now=now,
            )
            paid = await subscriptions.get(conn, tenant.id)
    except TrialUsed:
        await _prices_instead(message, state, settings)
        return
    except Refused:
        again = _("The name may have 1 to 100 letters, in one line. Please write it once more.")
        await message.answer(again)
        return
    text = _("🎁 “{name}” is free until {day}. We are making its bot…")
    text = text.format(name=inside_quotes(tenant.name), day=day(paid.paid_until, settings))
    await message.answer(text)
    if data.get("screen"):
        await remove(message, data["screen"])
    await state.clear()  # last: until then the next attempt reads the same name in the same place


def routes() -> Router:
    """Return these handlers as a router; a router belongs to one dispatcher for good."""
    router = Router(name="trying")
    router.callback_query.register(ask_for_name, Go.filter(F.to == "trial"))
    router.message.register(
        begin,
        Trying.name,
        F.text,
        ~F.text.startswith("/"),
        ~F.text.contains(SEALED_MARK),
        ~F.text.regexp(MISTYPED),
    )
    return router
