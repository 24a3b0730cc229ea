"""Many tenants at once, for the demo and the benchmarks: real schemas and roles, silent owners."""

from collections.abc import Callable

from zapisano.db import Database, roles
from zapisano.db.migrate import create_tenant_schema
from zapisano.db.names import tenant_schema
from zapisano.tenancy import store
from zapisano.tenancy.model import State, TenantId

BATCH_SIZE = 20
NOBODY = 0  # no Telegram account has this id, so nobody is told


async def seed(database: Database, count: int, on_progress: Callable[[int], None]) -> None:
    """Add tenants until `count` of the seeded ones exist; each batch is one step that may repeat.

    They wait for a bot like any tenant whose buyer has not pressed the button yet.
    """
    async with database.shared() as conn:
        there = await store.of_owner(conn, NOBODY)
    await _provision(database, [t.id for t in there if t.state is State.PROVISIONING])
    done = len(there)
    on_progress(min(done, count))
    while done < count:
        size = min(BATCH_SIZE, count - done)
        batch = await _register(database, size, first=done + 1)
        await _provision(database, batch)
        done += size
        on_progress(done)


async def _register(database: Database, size: int, *, first: int) -> list[TenantId]:
    async with database.shared() as conn:
        return [
            (
                await store.insert(
                    conn,
                    await store.new_id(conn),
                    name=f"Салон № {number}",
                    owner_id=NOBODY,
                    owner_language="ru",
                )
            ).id
            for number in range(first, first + size)
        ]


async def _provision(database: Database, batch: list[TenantId]) -> None:
    async with database.owner() as owner:
        for tenant in batch:
            schema = tenant_schema(tenant)
            await create_tenant_schema(owner, schema)
            await roles.create_tenant_role(owner, database.name, schema)
    async with database.shared() as conn:
        for tenant in batch:
            await store.set_state(conn, tenant, State.AWAITING_BOT)
