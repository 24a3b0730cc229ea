"""The time to try it for nothing: once per person, for ever."""

from datetime import datetime

from zapisano.db import SharedConnection
from zapisano.errors import Conflict
from zapisano.plans import TRIAL, Trial
from zapisano.subscriptions import store
from zapisano.subscriptions.model import Grant, Reason
from zapisano.subscriptions.usecases import give
from zapisano.tenancy import Tenant, checked_name, register
from zapisano.tenancy import store as tenants


class TrialUsed(Conflict):
    """The person has tried already, or has had a bot."""

    code, text = "trial_used", "The trial is for those who have not had a bot yet."


async def may_try(conn: SharedConnection, person_id: int) -> bool:
    """Say whether a person has never tried, nor had a bot."""
    if await store.find_source(conn, _source(person_id)):
        return False
    return not await tenants.of_owner(conn, person_id, archived=True)


async def start_trial(
    conn: SharedConnection,
    trial: Trial,
    *,
    person_id: int,
    language: str,
    name: str,
    now: datetime,
) -> Tenant:
    """Make a tenant with its first days, without an order or a payment.

    Asking again for the same business returns it. The row of its grant is the one trial there is.

    Raises:
        Refused: the name is not acceptable.
        TrialUsed: this person has tried already, or has had a bot.
    """
    name = checked_name(name)
    await store.lock_person(conn, person_id)
    made = await store.find_source(conn, _source(person_id))
    if made is not None:
        tenant = await tenants.get(conn, made)
        if tenant.owner_id == person_id and tenant.name == name:
            return tenant
    if not await may_try(conn, person_id):
        raise TrialUsed
    tenant = await register(
        conn, name=name, owner_id=person_id, owner_language=language, by="owner"
    )
    days = Grant(_source(person_id), trial.days, Reason.TRIAL, by="owner")
    await give(conn, tenant.id, days, plan=TRIAL, now=now)
    return tenant


def _source(person_id: int) -> str:
    return f"trial:{person_id}"
