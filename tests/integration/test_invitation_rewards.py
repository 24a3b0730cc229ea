"""Days for an invitation: each side its own transaction, so that nobody waits in a circle."""

import asyncio
from datetime import UTC, datetime

import asyncpg

from zapisano.db import Database
from zapisano.subscriptions import RewardHost, Rewarding, accept_invitation, extend, reward
from zapisano.tenancy import Tenant, TenantId

Witness = asyncpg.Connection
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
ANNA, BORIS = 101, 102
DAYS = """SELECT tenant_id, days FROM shared.day_grants WHERE source LIKE 'referral:%'
          ORDER BY tenant_id, source"""


async def invited_in_a_circle(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    """Each of two owners has come by an invitation of the business that is the other's by now."""
    anna, boris = tenants[0].id, tenants[1].id
    async with database.shared() as conn:
        assert await accept_invitation(conn, boris, ANNA, NOW)
        assert await accept_invitation(conn, anna, BORIS, NOW)
        for tenant in (anna, boris):  # their trials
            await extend(conn, tenant, plan="1m", days=14, payment_id=f"trial:{tenant}", now=NOW)
    for owner, tenant in ((ANNA, anna), (BORIS, boris)):
        await witness.execute(
            "UPDATE shared.tenants SET owner_id = $1 WHERE id = $2", owner, tenant
        )


async def test_two_hosts_who_are_each_others_guests_can_pay_at_one_moment(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await invited_in_a_circle(database, tenants, witness)
    both_have_paid = asyncio.Barrier(2)

    async def pays(owner: int, tenant: TenantId) -> None:
        async with database.shared() as conn:
            await extend(conn, tenant, plan="1m", days=30, payment_id=f"p{owner}", now=NOW)
            await both_have_paid.wait()
            await reward(conn, guest_id=owner, tenant=tenant, plan="1m", days=14, now=NOW)

    async with asyncio.TaskGroup() as group:
        group.create_task(pays(ANNA, tenants[0].id))
        group.create_task(pays(BORIS, tenants[1].id))
    asked = await witness.fetchval(
        "SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = $1", RewardHost.kind
    )
    assert asked == 2
    rewarding = Rewarding(database, lambda: NOW)
    for host, guest in ((tenants[1].id, ANNA), (tenants[0].id, BORIS)):
        await rewarding.reward_host(RewardHost(host, guest, 14))
    rows = await witness.fetch(DAYS)
    assert [tuple(row) for row in rows] == [(one.id, 14) for one in tenants for _ in range(2)]


async def test_a_host_is_rewarded_and_told_once_however_often_the_job_runs(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    host, other = (one.id for one in tenants)
    async with database.shared() as conn:
        await extend(conn, host, plan="1m", days=30, payment_id="p1", now=NOW)
    rewarding = Rewarding(database, lambda: NOW)
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(rewarding.reward_host(RewardHost(host, ANNA, 14)))
    await rewarding.reward_host(RewardHost(other, BORIS, 14))  # its time is not counted
    assert [tuple(row) for row in await witness.fetch(DAYS)] == [(host, 14)]
    told = "SELECT count(*) FROM shared.pgqueuer WHERE entrypoint = 'subscriptions.days_given'"
    assert await witness.fetchval(told) == 1
