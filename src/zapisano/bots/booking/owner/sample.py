"""What a new tenant starts with, as long as it is still there: the owner is told, to change it."""

from html import escape

from aiogram.utils.i18n import gettext as _

from zapisano.booking import owner, rules_of
from zapisano.bots.booking.owner.zone import zone_name
from zapisano.bots.booking.words import hours, service_line
from zapisano.db import TenantConnection


async def sample_lines(conn: TenantConnection) -> list[str]:
    """Return a line for each thing that nobody has changed yet; none when all is the owner's."""
    lines = [
        _("✂️ a service: {service}").format(service=escape(service_line(one)))
        for one in await owner.services(conn)
        if owner.is_sample_service(one)
    ]
    weeks = [await owner.week(conn, one.id) for one in await owner.staff(conn) if one.active]
    if weeks and all(owner.is_sample_week(week) for week in weeks):
        every_day = hours(list(owner.FIRST_HOURS))
        lines.append(_("🕘 hours: {hours} every day").format(hours=every_day))
    if lines:
        zone = (await rules_of(conn)).zone.key
        lines.append(_("🌍 time: {city}").format(city=escape(zone_name(zone))))
    return lines
