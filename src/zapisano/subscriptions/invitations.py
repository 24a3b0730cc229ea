"""A friend is invited: once she has paid for the first time, both get days."""

import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.jobs import enqueue
from zapisano.settings import Settings
from zapisano.subscriptions import invited, store
from zapisano.subscriptions.jobs import DaysGiven, RewardHost
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
    """Give the guest her days for her first payment, and ask for the host's, once.

    The host's come in a transaction of their own: one that locked both tenants could meet one that
    has locked them the other way round, as tenants can change owners.
    """
    host = await invited.find_open(conn, guest_id)
    if host is None or host == tenant or not await invited.close(conn, guest_id, now):
        return
    if (await tenants.get(conn, host)).owner_id == guest_id:
        return
    await _give(conn, tenant, guest_id, days, Gift.GUEST, plan=plan, now=now)
    await enqueue(conn, RewardHost(host, guest_id, days))


@dataclass(frozen=True)
class Rewarding:
    """The handler of the host's side. One per process."""

    database: Database
    now: Callable[[], datetime]

    async def reward_host(self, job: RewardHost) -> None:
        """Give whoever has invited a guest the days for it; repeating changes nothing.

        A host whose time is not counted needs none.

        Raises:
            UnknownTenant: there is no such tenant.
        """
        async with self.database.shared() as conn:
            host = await tenants.get(conn, job.host, lock=True)
            paid = await store.find(conn, host.id)
            if paid is None or host.state is State.ARCHIVED:
                return
            await _give(
                conn, host.id, job.guest_id, job.days, Gift.HOST, plan=paid.plan, now=self.now()
            )


async def _give(
    conn: SharedConnection,
    tenant: TenantId,
    guest_id: int,
    days: int,
    gift: Gift,
    *,
    plan: str,
    now: datetime,
) -> None:
    """Give days and tell of them, once in the world for a guest and a side."""
    grant = Grant(f"referral:{guest_id}:{gift}", days, Reason.REFERRAL, by="referral")
    await tenants.get(conn, tenant, lock=True)
    if await store.find_source(conn, grant.source) is not None:
        return
    await give(conn, tenant, grant, plan=plan, now=now)
    await enqueue(conn, DaysGiven(tenant, days, gift))
