"""The place's time zone: the usual ones as buttons, any other typed."""

from html import escape
from zoneinfo import ZoneInfo

from aiogram.utils.i18n import gettext as _

from zapisano.booking import next_visit, owner, rules_of
from zapisano.bots.booking.buttons import Do, button
from zapisano.bots.booking.owner.press import Press
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Rows, Screen


def usual() -> dict[str, str]:
    """Return the usual zones, west to east, and what people call them."""
    return {
        "Europe/Kaliningrad": _("Kaliningrad"),
        "Europe/Moscow": _("Moscow"),
        "Europe/Samara": _("Samara"),
        "Asia/Yekaterinburg": _("Yekaterinburg"),
        "Asia/Omsk": _("Omsk"),
        "Asia/Krasnoyarsk": _("Krasnoyarsk"),
        "Asia/Irkutsk": _("Irkutsk"),
        "Asia/Yakutsk": _("Yakutsk"),
        "Asia/Vladivostok": _("Vladivostok"),
        "Asia/Magadan": _("Magadan"),
        "Asia/Kamchatka": _("Kamchatka"),
    }


def zone_name(key: str) -> str:
    """Name a zone as people do: by its city."""
    return usual().get(key) or key.rpartition("/")[2].replace("_", " ")


def zone_key(typed: str) -> str:
    """Return the zone that was typed: a city of ours by its name, anything else as it is."""
    wanted = typed.strip().casefold()
    return next((key for key, name in usual().items() if name.casefold() == wanted), typed)


async def zone(press: Press) -> Screen:
    """The zones with the time it is there, so that the right one is seen at once."""
    current = (await rules_of(press.conn)).zone
    rows: Rows = [
        [button(f"{_now_in(key, press.visitor)} · {name}", Do(act="zone!", word=key))]
        for key, name in usual().items()
    ]
    rows.append([button(_("✏️ Another zone"), Do(act="type", word="zone"))])
    rows.append([button(_("‹ Back"), Do(act="menu"))])
    text = _("<b>Time zone</b>: {zone}\nWhat time is it at your place now?")
    text = text.format(zone=escape(zone_name(current.key)))
    if await owner.staff_with_misfits(press.conn, press.visitor.now):
        text += "\n\n" + _("⚠️ Some bookings are outside the schedule: see 👥 Staff.")
        rows.insert(-1, [button(_("👥 Staff"), Do(act="staff"))])
    if await next_visit(press.conn, press.visitor.now):
        text += "\n\n" + _("No booking is moved by this: each is shown by the new clock.")
    return Screen(text, rows)


def _now_in(name: str, visitor: Visitor) -> str:
    return f"{visitor.now.astimezone(ZoneInfo(name)):%H:%M}"


async def choose(press: Press) -> Screen:
    """Move the place to another zone."""
    await owner.set_zone(press.conn, press.do.word)
    return await zone(press)
