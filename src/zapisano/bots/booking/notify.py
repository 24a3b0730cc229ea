"""Handlers of booking's jobs: the other side is told, the customer is reminded."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from html import escape

from aiogram import Bot
from aiogram.utils.i18n import gettext as _

from zapisano import journal
from zapisano.booking import (
    Actor,
    AskPhone,
    Booking,
    BookingChanged,
    Change,
    Person,
    Remind,
    SendFile,
    Tell,
    ask_phone_once,
    booking_of,
    customer_of,
    note_blocked,
    people_in_charge,
    staff_offered,
)
from zapisano.booking.reminders import is_needed
from zapisano.bots import store
from zapisano.bots.booking import phone
from zapisano.bots.booking.buttons import Act, Go, Mine, Place, button
from zapisano.bots.booking.calendar_file import calendar_file
from zapisano.bots.booking.screen import Rows, Screen
from zapisano.bots.booking.words import details, moment, who
from zapisano.bots.errors import BlockedByPerson
from zapisano.bots.i18n import BOOKING, speaking
from zapisano.bots.registry import Bots
from zapisano.db import Database
from zapisano.errors import NotFound
from zapisano.jobs import enqueue
from zapisano.telemetry import get_logger
from zapisano.tenancy import State, Tenant
from zapisano.tenancy import store as tenants

log = get_logger("zapisano.bots")


@dataclass(frozen=True)
class Scene:
    """What a notice speaks of: a booking in a tenant that is served, and by which bot."""

    tenant: Tenant
    bot: Bot
    booking: Booking
    customer: Person | None
    staff: bool  # whether it is worth a word who does it

    @property
    def language(self) -> str:
        """The customer's."""
        return _language(self.customer, self.tenant)


@dataclass(frozen=True)
class BookingNotices:
    """Tells people about bookings, in the bot of their tenant. One per process."""

    database: Database
    bots: Bots
    now: Callable[[], datetime]

    async def changed(self, job: BookingChanged) -> None:
        """Have the customer and who is in charge told, but for who did it: a job for each."""
        found = await self._tenant(job.tenant_id)
        if found is None:
            return
        tenant, _bot = found
        async with self.database.tenant(tenant.id) as conn:
            booking = await booking_of(conn, job.booking_id, None)
            in_charge = await people_in_charge(conn, tenant.owner_id)
            actor = booking.user_id if job.by is Actor.CUSTOMER else job.actor_id
            for user_id in {booking.user_id, *in_charge} - {actor}:
                await enqueue(conn, Tell(**asdict(job), user_id=user_id))

    async def tell(self, job: Tell) -> None:
        """Tell one person of a change."""
        scene = await self._scene(job.tenant_id, job.booking_id)
        if scene is None:
            return
        if job.user_id == scene.booking.user_id:
            with speaking(BOOKING, scene.language):
                screen = _for_customer(scene.booking, job, staff=scene.staff)
            await self._to_customer(scene, screen)
            return
        async with self.database.tenant(scene.tenant.id) as conn:
            in_charge = await people_in_charge(conn, scene.tenant.owner_id)
        if job.user_id in in_charge:
            actor = in_charge.get(job.actor_id) if job.actor_id else None
            with speaking(BOOKING, _language(in_charge[job.user_id], scene.tenant)):
                screen = _for_owner(scene, job, actor)
            await self._to_one_in_charge(scene, job.user_id, screen)

    async def remind(self, job: Remind) -> None:
        """Remind the customer, if the booking still stands and it is the time to."""
        scene = await self._scene(job.tenant_id, job.booking_id)
        if scene is None:
            return
        tenant, booking = scene.tenant, scene.booking
        if not is_needed(booking, job.hours, self.now()):
            log.info("reminder_not_needed", booking=booking.id, hours=job.hours)
            return
        with speaking(BOOKING, scene.language):
            screen = _reminder(booking, tenant, staff=scene.staff)
        if await self._to_customer(scene, screen):
            async with self.database.tenant(tenant.id) as conn:
                await journal.record(
                    conn, "booking.reminded", str(booking.id), by="system", hours=job.hours
                )

    async def send_file(self, job: SendFile) -> None:
        """Send the booking as a file; then have the number asked for, once per person."""
        scene = await self._scene(job.tenant_id, job.booking_id)
        if scene is None or not scene.booking.stands(self.now()):
            return
        tenant, booking = scene.tenant, scene.booking
        with speaking(BOOKING, scene.language):
            file = calendar_file(booking, tenant, self.now())
            caption = _caption(booking, moved=job.moved)
        sending = scene.bot.send_document(booking.user_id, file, caption=caption)
        if await self._reaches(tenant, booking.user_id, sending):
            async with self.database.tenant(tenant.id) as conn:
                if await ask_phone_once(conn, booking.user_id, self.now()):
                    await enqueue(conn, AskPhone(booking_id=booking.id))

    async def ask_phone(self, job: AskPhone) -> None:
        """Ask a customer for their number."""
        scene = await self._scene(job.tenant_id, job.booking_id)
        if scene is None:
            return
        person = scene.booking.user_id
        with speaking(BOOKING, scene.language):
            await self._reaches(scene.tenant, person, phone.ask(scene.bot, person))

    async def _scene(self, tenant_id: str, booking_id: int) -> Scene | None:
        """Return what there is to speak of; None when there is nobody to speak."""
        found = await self._tenant(tenant_id)
        if found is None:
            return None
        tenant, bot = found
        async with self.database.tenant(tenant.id) as conn:
            booking = await booking_of(conn, booking_id, None)
            customer = await customer_of(conn, booking)
            many = len(await staff_offered(conn)) > 1
        return Scene(tenant, bot, booking, customer, many)

    async def _tenant(self, tenant_id: str) -> tuple[Tenant, Bot] | None:
        """Return a tenant that is served, and its bot; None when there is nobody to speak."""
        async with self.database.shared() as conn:
            tenant = await tenants.get(conn, tenant_id)
            row = await store.of_tenant(conn, tenant_id)
        if row is None or tenant.state in {State.SUSPENDED, State.ARCHIVED}:
            log.info("nobody_is_told", tenant=tenant_id, state=tenant.state)
            return None
        return tenant, self.bots.of(row)

    async def _tell_in_sales_chat(self, tenant: Tenant, screen: Screen) -> bool:
        """An owner who has not opened the tenant's bot yet has opened the one that sold it."""
        try:
            sales, _row = await self.bots.sales()
            await sales.send_message(tenant.owner_id, f"{escape(tenant.name)}\n{screen.text}")
        except (BlockedByPerson, NotFound) as error:
            log.warning("owner_not_told", tenant=tenant.id, reason=error.code)
            return False
        return True

    async def _to_customer(self, scene: Scene, screen: Screen) -> bool:
        """Write to a customer, unless they have blocked the bot; the owner's screens say so."""
        if scene.customer and scene.customer.blocked_at:
            log.info("customer_has_blocked_the_bot", booking=scene.booking.id)
            return False
        return await self._send(scene, scene.booking.user_id, screen)

    async def _to_one_in_charge(self, scene: Scene, user_id: int, screen: Screen) -> None:
        told = await self._send(scene, user_id, screen)
        if user_id != scene.tenant.owner_id:
            return
        if told or await self._tell_in_sales_chat(scene.tenant, screen):
            async with self.database.tenant(scene.tenant.id) as conn:
                await journal.record(conn, "booking.owner_told", str(scene.booking.id), by="system")

    async def _send(self, scene: Scene, user_id: int, screen: Screen) -> bool:
        sending = scene.bot.send_message(user_id, screen.text, reply_markup=screen.keyboard)
        return await self._reaches(scene.tenant, user_id, sending)

    async def _reaches(self, tenant: Tenant, user_id: int, sending: Awaitable[object]) -> bool:
        """Send; False, and remembered, when the person has blocked the bot."""
        try:
            await sending
        except BlockedByPerson:
            async with self.database.tenant(tenant.id) as conn:
                await note_blocked(conn, user_id, self.now())
            return False
        return True


def _language(person: Person | None, tenant: Tenant) -> str:
    return person.language if person else tenant.owner_language


def _for_owner(scene: Scene, job: BookingChanged, actor: Person | None) -> Screen:
    booking = scene.booking
    titles = {
        Change.CREATED: _("🆕 New booking"),
        Change.MOVED: _("🔁 Booking moved"),
        Change.CANCELLED: _("✖️ Booking cancelled"),
    }
    lines = [f"<b>{titles[job.change]}</b>", details(booking, staff=scene.staff)]
    if job.was_at:
        lines.append(_("Was: {moment}").format(moment=moment(job.was_at, booking.time_zone)))
    lines.append(f"🙋 {who(booking, scene.customer)}")
    if actor and actor.name and job.change is Change.CANCELLED:
        lines.append(_("Cancelled by {name}").format(name=escape(actor.name)))
    return Screen("\n".join(lines))


def _for_customer(booking: Booking, job: BookingChanged, *, staff: bool) -> Screen:
    if job.change is Change.CANCELLED:
        title = _("Sorry, your booking had to be cancelled")
        rows: Rows = [[button(_("Choose another time"), Go(to=Place.BOOK))]]
    else:
        title = _("Your booking was moved")
        rows = [[button(_("My bookings"), Go(to=Place.MINE))]]
    return Screen(f"<b>{title}</b>\n{details(booking, staff=staff)}", rows)


def _caption(booking: Booking, *, moved: bool) -> str:
    if not moved:
        return _("Open it, and the visit is in your phone's calendar.")
    text = _("Moved to {moment}. Open it, and your calendar is corrected.")
    return text.format(moment=moment(booking.starts_at, booking.time_zone))


def _reminder(booking: Booking, tenant: Tenant, *, staff: bool) -> Screen:
    title = _("🔔 We are expecting you: {name}").format(name=escape(tenant.name))
    rows: Rows = [
        [
            button(_("🔁 Move"), Mine(act=Act.MOVE, booking=booking.id)),
            button(_("✖️ Cancel"), Mine(act=Act.ASK_CANCEL, booking=booking.id)),
        ]
    ]
    if not booking.confirmed_at:
        rows.insert(0, [button(_("✅ I will come"), Mine(act=Act.CONFIRM, booking=booking.id))])
    return Screen(f"<b>{title}</b>\n{details(booking, staff=staff)}", rows)
