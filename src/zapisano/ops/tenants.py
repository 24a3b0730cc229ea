"""`zapisano tenants …`: the same verbs as the master API, on the command line."""

import time
from pathlib import Path

from zapisano import subscriptions, tenancy
from zapisano.clock import utc_now
from zapisano.db import SharedConnection
from zapisano.db.names import tenant_schema
from zapisano.errors import Refused
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.store import sales_bot
from zapisano.payments import methods
from zapisano.settings import Settings
from zapisano.tenancy import Overview, State, Suspension, Tenant, TenantId, store
from zapisano.tenancy.seed import seed as seed_tenants

PAGE = 500
NONE_YET = "No tenants yet: one is made by a sale, or by: zapisano tenants create NAME --owner ID"

COLUMNS = ("id", "state", "name", "bot", "paid until", "plan", "autopay", "version")
TOLD_BETTER = ("plan", "autopay")  # of one tenant


def _id(name: str) -> TenantId:
    return TenantId(tenant_schema(name))


async def show_all(settings: Settings, state: State | None) -> None:
    """List tenants, in the order in which they were made."""
    found: list[Overview] = []
    async with opened(settings) as database:
        while True:
            after = found[-1].tenant.id if found else ""
            async with database.shared() as conn:
                page = await store.page(conn, after=after, limit=PAGE, state=state)
            found.extend(page)
            if len(page) < PAGE:
                break
    if found:
        screen.table(COLUMNS, [_row(one) for one in found])
    else:
        screen.note(f"No tenant is {state}." if state else NONE_YET)


def _row(one: Overview) -> tuple[str, ...]:
    tenant = one.tenant
    state = f"{tenant.state} ({tenant.suspended_for})" if tenant.suspended_for else tenant.state
    return (
        tenant.id,
        state,
        tenant.name,
        f"@{one.bot_username}" if one.bot_username else "-",
        f"{one.paid_until:%Y-%m-%d}" if one.paid_until else "-",
        one.plan or "-",
        "on" if one.has_autopay else "off",
        one.schema_version or "-",
    )


async def show(settings: Settings, name: str) -> None:
    """Show one tenant."""
    async with opened(settings) as database, database.shared() as conn:
        one = await store.overview(conn, _id(name))
        paying = await _paying(conn, settings, one.tenant)
    tenant = one.tenant
    screen.table(
        ("what", "value"),
        [
            *(pair for pair in zip(COLUMNS, _row(one), strict=True) if pair[0] not in TOLD_BETTER),
            *paying,
            ("owner", f"{tenant.owner_id} ({tenant.owner_language})"),
            ("created", f"{tenant.created_at:%Y-%m-%d %H:%M} UTC"),
            ("changed", f"{tenant.changed_at:%Y-%m-%d %H:%M} UTC"),
        ],
    )


async def _paying(
    conn: SharedConnection, settings: Settings, tenant: Tenant
) -> list[tuple[str, str]]:
    """Say by which plan a tenant is paid, whether autopay is on, and what it charges next."""
    paid = await subscriptions.find(conn, tenant.id)
    if paid is None:
        return [("plan", "-"), ("autopay", "off")]
    plan = f"{paid.plan}, then {paid.next_plan}" if paid.next_plan else paid.plan
    said = [("plan", plan), ("paid until, to the minute", f"{paid.paid_until:%Y-%m-%d %H:%M} UTC")]
    charge = await methods.next_charge(conn, settings, tenant.id)
    if charge is None:
        has_one = await methods.find(conn, tenant.id) is not None
        return [*said, ("autopay", "will not charge: see history" if has_one else "off")]
    at = await subscriptions.find_next_charge_at(
        conn, settings, tenant, autopay=True, now=utc_now()
    )
    next_ = f"{at:%Y-%m-%d %H:%M} UTC, {charge[1].price} ₽" if at else "-"
    return [*said, ("autopay", "on"), ("next charge", next_)]


async def create(settings: Settings, name: str, owner_id: int, language: str) -> None:
    """Register a tenant and make its schema and role here and now, or wait while a worker does.

    Raises:
        Refused: the name or the owner's id cannot be.
    """
    name = tenancy.checked_name(name)
    if not 0 < owner_id < tenancy.TELEGRAM_IDS_END:
        raise Refused("owner: is a Telegram id, a number above zero and below 2^52")
    if language not in tenancy.LANGUAGES:
        raise Refused("language: is ru or en")
    async with opened(settings) as database:
        async with database.shared() as conn:
            made = await tenancy.register(
                conn, name=name, owner_id=owner_id, owner_language=language
            )
        # The job that makes it is queued, too: whoever comes second finds it made.
        await tenancy.provision(database, made.id, time_zone=settings.time_zone)
        async with database.shared() as conn:
            username = await sales_bot(conn)
    screen.say(f"{made.id} is made and awaits its bot. Its time zone is {settings.time_zone}.")
    where = f"@{username}" if username else "your sales bot"
    screen.note(
        f"Ask its owner to press Start in {where}: the button that creates the bot comes there "
        "(Telegram lets no bot write first)."
    )


async def seed(settings: Settings, count: int) -> None:
    """Make tenants that nobody owns, until there are so many of them."""
    began = time.monotonic()
    async with opened(settings) as database:
        with screen.progress("Tenants") as show_progress:
            await seed_tenants(database, count, lambda done: show_progress(done, count))
    screen.say(f"{count} tenants are there ({time.monotonic() - began:.1f} s).")


async def suspend(settings: Settings, name: str) -> None:
    """Pause a tenant."""
    async with opened(settings) as database, database.shared() as conn:
        tenant = await tenancy.suspend(conn, _id(name), Suspension.OPERATOR)
    screen.say(f"{tenant.id} is {tenant.state} ({tenant.suspended_for}).")


async def resume(settings: Settings, name: str) -> None:
    """Lift the operator's pause."""
    async with opened(settings) as database, database.shared() as conn:
        tenant = await tenancy.resume(conn, _id(name), Suspension.OPERATOR)
    why = f" ({tenant.suspended_for})" if tenant.suspended_for else ""
    screen.say(f"{tenant.id} is {tenant.state}{why}.")


async def archive(settings: Settings, name: str, *, ask: bool = True) -> None:
    """Put a tenant away into a file, once a person has agreed to what that means."""
    tenant = _id(name)
    async with opened(settings) as database:
        async with database.shared() as conn:
            one = await store.overview(conn, tenant)
        if ask and one.tenant.state is not State.ARCHIVED and not _may_be_archived(settings, one):
            screen.note(f"{tenant} stays as it is.")
            return
        path = await tenancy.archive(database, settings, name, now=utc_now())
    screen.say(f"{name} is archived in {path}")
    screen.note(_what_customers_see(one))


def _what_customers_see(one: Overview) -> str:
    away = "Bookings are put away with the rest: no reminder goes out, and nobody is told."
    if not one.bot_username:
        return away
    if one.bot_managed:
        return f"Telegram shuts @{one.bot_username} to everybody but its owner. {away}"
    return f"@{one.bot_username} answers nobody. {away}"


def _may_be_archived(settings: Settings, one: Overview) -> bool:
    tenant = one.tenant
    return screen.agreed(
        f"{tenant.id} ({tenant.name}, {tenant.state}): its data goes into a file in "
        f"{settings.data_dir / 'archive'}, then its schema is dropped.\n"
        f"{_what_customers_see(one)}\n"
        f"It comes back by: zapisano tenants restore {tenant.id}\nArchive it?",
        otherwise=f"tenants archive: drops the schema of {tenant.id} and asks before; where nobody "
        "can be asked, add --yes",
    )


async def restore(settings: Settings, name: str, file: Path | None) -> None:
    """Bring a tenant back."""
    async with opened(settings) as database:
        tenant = await tenancy.restore(database, settings, name, now=utc_now(), file=file)
    screen.say(f"{tenant.id} is {tenant.state} again.")
