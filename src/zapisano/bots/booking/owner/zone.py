"""The place's time zone: the usual ones as buttons, any other typed."""

from zoneinfo import ZoneInfo

from aiogram.utils.i18n import gettext as _

from zapisano.booking import owner, rules_of
from zapisano.bots.booking.buttons import Do, button
from zapisano.bots.booking.owner.press import Press
from zapisano.bots.booking.person import Visitor
from zapisano.bots.booking.screen import Rows, Screen

USUAL = (
    "Europe/Kaliningrad",
    "Europe/Moscow",
    "Europe/Samara",
    "Asia/Yekaterinburg",
    "Asia/Omsk",
    "Asia/Krasnoyarsk",
    "Asia/Irkutsk",
    "Asia/Yakutsk",
    "Asia/Vladivostok",
    "Asia/Magadan",
    "Asia/Kamchatka",
)


async def zone(press: Press) -> Screen:
    """The zones with the time it is there, so that the right one is seen at once."""
    current = (await rules_of(press.conn)).zone
    rows: Rows = [
        [button(f"{_now_in(name, press.visitor)} · {name}", Do(act="zone!", word=name))]
        for name in USUAL
    ]
    rows.append([button(_("✏️ Another zone"), Do(act="type", word="zone"))])
    rows.append([button(_("‹ Back"), Do(act="menu"))])
    text = _("<b>Time zone</b>: {zone}\nWhat time is it at your place now?")
    return Screen(text.format(zone=current.key), rows)


def _now_in(name: str, visitor: Visitor) -> str:
    return f"{visitor.now.astimezone(ZoneInfo(name)):%H:%M}"


async def choose(press: Press) -> Screen:
    """Move the place to another zone."""
    await owner.set_zone(press.conn, press.do.word)
    return await zone(press)
