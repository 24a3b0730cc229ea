"""A friend is invited: once she has paid for the first time, both get days."""

import hmac
import re
from datetime import datetime
from enum import StrEnum

from zapisano import journal
from zapisano.db import SharedConnection
from zapisano.jobs import enqueue
from zapisano.settings import Settings
from zapisano.subscriptions import invited, store
from zapisano.subscriptions.jobs import DaysGiven
from zapisano.subscriptions.model import Grant, Reason
from zapisano.subscriptions.usecases import give
from zapisano.tenancy import State, TenantId
from zapisano.tenancy import store as tenants

INVITATION = re.compile(r"i_([0-9]{3,9})_([0-9a-f]{20})")
SIGNED_CHARACTERS = 20


class Gift(StrEnum):
    """What days were given for."""

    HOST = "host"
    GUEST = "guest"
    SUPPORT = "support"


def invitation(settings: Settings, host: TenantId) -> str:
    """Return what a link of this tenant carries; only who knows the secret key can make one."""
    return f"i_{host.removeprefix('client_')}_{_signature(settings, host)}"


def invited_by(settings: Settings, payload: str) -> TenantId | None:
    """Return whose invitation this is; None for one that we have not made."""
    if not (found := INVITATION.fullmatch(payload)):
        return None
    host = TenantId(f"client_{found[1]}")
    return host if hmac.compare_digest(found[2], _signature(settings, host)) else None


def _signature(settings: Settings, host: TenantId) -> str:
    secret = settings.secret_key.get_secret_value().encode()
    return hmac.digest(secret, f"invitation {host}".encode(), "sha256").hex()[:SIGNED_CHARACTERS]


async def accept_invitation(
    conn: SharedConnection, host: TenantId, guest_id: int, now: datetime
) -> bool:
    """Remember who has brought a person; say whether it counts.

    It does for whoever has never had a bot, tried one, or come by another's invitation.
    """
    tenant = await tenants.find(conn, host)
    if tenant is None or tenant.owner_id == guest_id or tenant.state is State.ARCHIVED:
        return False
    if await tenants.of_owner(conn, guest_id, archived=True):
        return False
    if await invited.insert(conn, guest_id, host, now):
        await journal.record(conn, "invitation.accepted", host, tenant=host, by="guest")
    return await invited.find_open(conn, guest_id) == host


async def reward(
    conn: SharedConnection, *, guest_id: int, tenant: TenantId, plan: str, days: int, now: datetime
) -> None:
    """Give both sides their days for the guest's first payment, once.

    A host whose time is not counted needs none. Guests had no bot when they came, so nobody's host
    is their guest: locking the guest's tenant and then the host's makes no circle.
    """
    host = await invited.find_open(conn, guest_id)
    if host is None or host == tenant or not await invited.close(conn, guest_id, now):
        return
    found = await tenants.get(conn, host)
    if found.owner_id == guest_id:
        return
    theirs = await store.find(conn, host)
    sides = [(tenant, plan, Gift.GUEST)]
    if theirs is not None and found.state is not State.ARCHIVED:
        sides.append((host, theirs.plan, Gift.HOST))
    for one, its_plan, gift in sides:
        source = f"referral:{guest_id}:{gift}"
        await give(
            conn, one, Grant(source, days, Reason.REFERRAL, by="referral"), plan=its_plan, now=now
        )
        await enqueue(conn, DaysGiven(one, days, gift))
