"""The owner's services: list, one service, hide and show."""

from html import escape

from aiogram.utils.i18n import gettext as _

from zapisano.booking import owner
from zapisano.bots.booking.buttons import Do, button
from zapisano.bots.booking.owner.press import Press
from zapisano.bots.booking.screen import Rows, Screen
from zapisano.bots.booking.words import length, money, service_line


async def services(press: Press) -> Screen:
    """Every service, a button each; hidden ones are marked."""
    there = await owner.services(press.conn)
    rows: Rows = [
        [button(("" if one.active else "🙈 ") + service_line(one), Do(act="service", id=one.id))]
        for one in there
    ]
    rows.append([button(_("➕ Add a service"), Do(act="type", word="service.add"))])
    rows.append([button(_("‹ Back"), Do(act="menu"))])
    text = _("<b>Services</b>\nPress one to change it.")
    for one in filter(owner.is_sample_service, there):
        note = _("“{name}” is an example: rename it, or hide it.")
        text += "\n" + note.format(name=escape(one.name))
    return Screen(text, rows)


async def service(press: Press) -> Screen:
    """One service, and what can be changed."""
    one = await owner.service(press.conn, press.do.id)
    state = _("Customers see it.") if one.active else _("🙈 Hidden from customers.")
    lines = [
        f"<b>{escape(one.name)}</b>",
        f"{length(one.duration_minutes)} · {money(one.price)}",
        state,
    ]
    shown = (
        button(_("🙈 Hide"), Do(act="hide", id=one.id))
        if one.active
        else button(_("👁 Show"), Do(act="show", id=one.id))
    )
    rows: Rows = [
        [
            button(_("Name"), Do(act="type", id=one.id, word="service.name")),
            button(_("Minutes"), Do(act="type", id=one.id, word="service.minutes")),
            button(_("Price"), Do(act="type", id=one.id, word="service.price")),
        ],
        [shown],
        [button(_("‹ Back"), Do(act="services"))],
    ]
    return Screen("\n".join(lines), rows)


async def hide(press: Press) -> Screen:
    """Customers no longer see it."""
    await owner.show_service(press.conn, press.do.id, active=False)
    return await service(press)


async def show(press: Press) -> Screen:
    """Customers see it again."""
    await owner.show_service(press.conn, press.do.id, active=True)
    return await service(press)
