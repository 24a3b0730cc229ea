"""What the owner types: what is asked, how it is read, and where it leads."""

from dataclasses import dataclass, replace
from html import escape

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.utils.i18n import gettext as _
from pydantic import TypeAdapter

from zapisano.booking import owner, rules_of
from zapisano.booking.availability import today
from zapisano.booking.model import (
    checked_days,
    checked_duration,
    checked_name,
    checked_price,
)
from zapisano.bots.booking.buttons import Do, button
from zapisano.bots.booking.owner.staff import EVERY_DAY
from zapisano.bots.booking.owner.zone import zone_key
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Screen
from zapisano.bots.booking.words import example
from zapisano.db import TenantConnection

MAX_ECHO = 40
ADDING = (("name", checked_name), ("minutes", checked_duration), ("price", checked_price))


class Typing(StatesGroup):
    """The owner is expected to write a value."""

    value = State()


@dataclass(frozen=True)
class Asked:
    """What was asked: the field, of which row, in which message, and what was said before.

    What is added comes after the newest there was then (`after`): read twice, it is added once.
    """

    field: str
    id: int
    message_id: int
    draft: tuple[str, ...] = ()
    after: int | None = None


_ASKED = TypeAdapter(Asked)


async def newest(conn: TenantConnection, field: str) -> int | None:
    """Return the newest id of what this field adds to; None if it adds nothing."""
    if field == "service.add":
        return await owner.newest_service(conn)
    return await owner.newest_staff(conn) if field == "staff.add" else None


async def remember(state: FSMContext, asked: Asked) -> None:
    """Expect the answer."""
    await state.set_state(Typing.value)
    await state.set_data(_ASKED.dump_python(asked, mode="json"))


async def recall(state: FSMContext) -> Asked:
    """Return what was asked."""
    return _ASKED.validate_python(await state.get_data())


def known(field: str) -> bool:
    """Say whether this is something we ask for."""
    head, _dot, tail = field.partition(".")
    return field in {
        "service.add",
        "service.name",
        "service.minutes",
        "service.price",
        "staff.add",
        "staff.name",
        "off",
        "zone",
    } or (head == "hours" and tail in {str(day) for day in (EVERY_DAY, *owner.WEEKDAYS)})


def prompt(asked: Asked, refused: str | None = None) -> Screen:
    """Ask, with an example; after a refusal say what could not be read."""
    kind = _kind(asked)
    lines = (
        [_("“{value}” will not do.").format(value=escape(refused[:MAX_ECHO]))] if refused else []
    )
    lines.append(_staff_example() if asked.field.startswith("staff.") else example(kind))
    if kind == "hours":
        lines.append(_("With a break: 10:00-14:00, 15:00-19:00. Closed: -"))
    back = button(_("‹ Back"), leads_to(asked))
    return Screen("\n".join(lines), [[back]])


def _kind(asked: Asked) -> str:
    """Return the field of the domain whose example helps."""
    match asked.field.partition("."):
        case ("service", _, "add"):
            return ADDING[len(asked.draft)][0]
        case ("hours", _, _):
            return "hours"
        case ("off", _, _):
            return "day"
        case ("zone", _, _):
            return "time zone"
        case (_, _, field):
            return field


def _staff_example() -> str:
    return _("Please write the name, for example: Olga")


def leads_to(asked: Asked) -> Do:
    """Return the screen to show afterwards."""
    head = asked.field.partition(".")[0]
    if head == "service":
        return Do(act="service", id=asked.id) if asked.id else Do(act="services")
    if head == "staff":
        return Do(act="member", id=asked.id) if asked.id else Do(act="staff")
    if head == "hours":
        return Do(act="week", id=asked.id)
    return Do(act=head, id=asked.id)


async def accept(
    conn: TenantConnection, visitor: Visitor, asked: Asked, value: str
) -> Asked | None:
    """Do what was typed; return what to ask next, or None when that was all.

    Raises:
        BadField, TooMany: it cannot be done.
    """
    match asked.field.partition("."):
        case ("service", _, "add"):
            return await _add_service(conn, asked, value)
        case ("service", _, field):
            await owner.edit_service(conn, asked.id, field, value)
        case ("staff", _, "add"):
            await owner.add_staff(conn, value, after=asked.after)
        case ("staff", _, _):
            await owner.rename_staff(conn, asked.id, value)
        case ("hours", _, weekday):
            days = owner.WEEKDAYS if int(weekday) == EVERY_DAY else (int(weekday),)
            for day in days:
                await owner.set_hours(conn, asked.id, day, value)
        case ("off", _, _):
            here = today(await rules_of(conn), visitor.now)
            await owner.close_days(conn, asked.id, checked_days(value, here))
        case _:
            await owner.set_zone(conn, zone_key(value))
    return None


async def _add_service(conn: TenantConnection, asked: Asked, value: str) -> Asked | None:
    check = ADDING[len(asked.draft)][1]
    check(value)
    draft = (*asked.draft, value)
    if len(draft) < len(ADDING):
        return replace(asked, draft=draft)
    await owner.add_service(
        conn, name=draft[0], minutes=draft[1], price=draft[2], after=asked.after
    )
    return None
