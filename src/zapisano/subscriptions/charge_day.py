"""When a tenant's saved method is charged next, for its owner to read."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.settings import Settings
from zapisano.subscriptions import store
from zapisano.subscriptions.life import Subject, charge_at, terms_of
from zapisano.tenancy import State, Tenant


async def charge_day(
    conn: SharedConnection, settings: Settings, tenant: Tenant, now: datetime
) -> datetime | None:
    """Return when a tenant that `will be charged` is charged next; None where all attempts failed.

    None, too, while support has paused it: nobody is charged meanwhile.
    """
    paid = await store.find(conn, tenant.id)
    if paid is None or tenant.is_paused_by_operator or tenant.state is State.ARCHIVED:
        return None
    so_far = await store.so_far(conn, tenant.id)
    subject = Subject(paid.paid_until, paid.changed_at, autopay=True, so_far=so_far)
    return charge_at(subject, terms_of(settings), now)
