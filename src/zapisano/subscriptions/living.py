"""Do what is due in a tenant's paid life. One due row per tenant brings it here."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.jobs import enqueue, schedule
from zapisano.settings import Settings
from zapisano.subscriptions import store
from zapisano.subscriptions.jobs import Charge, Live, Notice
from zapisano.subscriptions.life import (
    REMINDERS,
    Agenda,
    Archive,
    Attempt,
    Pause,
    Step,
    Subject,
    Tell,
    Word,
    agenda,
    daytime,
    daytime_began,
    done,
    next_charge_at,
    reminder,
    terms_of,
)
from zapisano.subscriptions.model import Subscription
from zapisano.tenancy import State, Suspension, Tenant, TenantId, WrongState, archive, suspend
from zapisano.tenancy import store as tenants

BY = "schedule"  # who has done it, in the history
LOOK_AGAIN = timedelta(days=1)


@dataclass(frozen=True)
class Living:
    """The handler. One per process.

    `will_charge` says whether the next period is charged by itself: payments know, above us.
    """

    database: Database
    settings: Settings
    now: Callable[[], datetime]
    will_charge: Callable[[SharedConnection, TenantId], Awaitable[bool]]

    async def live(self, job: Live) -> None:
        """Do what is due and ask for the next moment, in one transaction; archive after it.

        Raises:
            UnknownTenant: there is no such tenant.
            Busy, DiskTrouble: it could not be archived yet.
        """
        now = self.now()
        async with self.database.shared() as conn:
            tenant = await tenants.get(conn, job.tenant_id, lock=True)
            subscription = await store.find(conn, tenant.id)
            if subscription is None or tenant.state is State.ARCHIVED:
                return
            archives = await self._live(conn, tenant, subscription, now)
        if archives:
            await self._put_away(tenant.id, now)

    async def _live(
        self, conn: SharedConnection, tenant: Tenant, subscription: Subscription, now: datetime
    ) -> bool:
        """Return whether the tenant is to be archived."""
        terms = terms_of(self.settings)
        so_far = await store.so_far(conn, tenant.id)
        autopay = await self.will_charge(conn, tenant.id)
        subject = Subject(subscription.paid_until, subscription.changed_at, autopay, so_far)
        found = _while_it_may(tenant, agenda(subject, terms, now), now)
        for step in found.due:
            await _do(conn, subscription, step)
            so_far = done(so_far, step, now)
        await store.keep_so_far(conn, tenant.id, so_far)
        if found.next_at is not None:
            at = daytime(found.next_at, terms)
            await schedule(conn, Live(tenant.id), at=at, subject=tenant.id)
        return Archive() in found.due

    async def _put_away(self, tenant: TenantId, now: datetime) -> None:
        try:
            await archive(
                self.database,
                self.settings,
                tenant,
                now=now,
                only_for=Suspension.UNPAID,
                by=BY,
            )
        except WrongState:  # paid for at this very moment
            return


async def worded_now(
    conn: SharedConnection, settings: Settings, notice: Notice, now: datetime
) -> Notice | None:
    """Return a notice as it is true at `now`, None if nothing of it is: it may come late.

    Somebody has paid meanwhile, a newer one is on its way, or what it announces has happened.
    """
    tenant = TenantId(notice.tenant_id)
    paid = await store.find(conn, tenant)
    if paid is None or paid.paid_until != notice.paid_until:
        return None
    terms, word = terms_of(settings), Word(notice.word)
    if notice.charge_at is not None and notice.charge_at < daytime_began(now, terms):
        if word is Word.CHARGE:
            return None
        notice = replace(notice, charge_at=None)
    if word not in REMINDERS:
        return notice if notice.acts_at is None or notice.acts_at > now else None
    told = (await store.so_far(conn, tenant)).told
    said = reminder(word, paid.paid_until, terms, now)
    if said is None or (told is not None and told > -(notice.days or 0)):
        return None
    return replace(notice, word=said[0], days=said[1])


async def put_off(
    conn: SharedConnection, settings: Settings, notice: Notice, now: datetime
) -> bool:
    """Keep a notice that comes at night for the morning; return False where it is day."""
    at = daytime(now, terms_of(settings))
    if at == now:
        return False
    await schedule(conn, notice, at=at, subject=f"{notice.tenant_id}:{notice.word}")
    return True


async def find_next_charge_at(
    conn: SharedConnection, settings: Settings, tenant: Tenant, *, autopay: bool, now: datetime
) -> datetime | None:
    """Return when a tenant's saved method is charged next, None if it is not: the day to name.

    `autopay` says, as `Living.will_charge`, whether there is anything to charge. Nobody is charged
    for a bot that is closed, or while support has paused it.
    """
    paid = await store.find(conn, tenant.id)
    if paid is None or tenant.state is State.ARCHIVED or tenant.is_paused_by_operator:
        return None
    so_far = await store.so_far(conn, tenant.id)
    subject = Subject(paid.paid_until, paid.changed_at, autopay, so_far)
    return next_charge_at(subject, terms_of(settings), now)


def _while_it_may(tenant: Tenant, found: Agenda, now: datetime) -> Agenda:
    """Leave out what must not be yet.

    The operator has paused this tenant: nobody is reminded or charged meanwhile, though unpaid time
    runs. One that is being made cannot be paused.
    """
    if tenant.state is State.PROVISIONING:
        due = tuple(step for step in found.due if not isinstance(step, Pause))
    elif tenant.is_paused_by_operator:
        due = tuple(step for step in found.due if isinstance(step, Pause))
    else:
        return found
    if due == found.due:
        return found
    return Agenda(due, now + LOOK_AGAIN)


async def _do(conn: SharedConnection, subscription: Subscription, step: Step) -> None:
    tenant, end = subscription.tenant_id, subscription.paid_until
    match step:
        case Pause():
            await suspend(conn, tenant, Suspension.UNPAID, by=BY)
        case Attempt(number):
            await enqueue(conn, Charge(tenant, end, number))
            await _note(conn, "subscription.charge_due", tenant, paid_until=end, attempt=number)
        case Tell(word):
            days = -step.rank if step.rank is not None and word is Word.BEFORE else None
            await enqueue(
                conn,
                Notice(tenant, end, word, days, acts_at=step.acts_at, charge_at=step.charge_at),
            )
            more = {} if days is None else {"days": days}
            await _note(conn, "subscription.told", tenant, word=word, paid_until=end, **more)
        case Archive():
            pass  # a workflow of its own, once this is committed


async def _note(conn: SharedConnection, kind: str, tenant: TenantId, **data: object) -> None:
    await journal.record(conn, kind, tenant, tenant=tenant, by=BY, **data)
