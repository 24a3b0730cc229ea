"""The verbs of a tenant's life. Those that take `conn` commit with their caller."""

import hashlib
import time

from zapisano import journal
from zapisano.db import Database, SharedConnection, roles
from zapisano.db.migrate import create_tenant_schema, guard_schema
from zapisano.db.names import tenant_schema
from zapisano.errors import Conflict
from zapisano.jobs import enqueue
from zapisano.tenancy import store
from zapisano.tenancy.jobs import Provision, TenantChanged, TenantReady
from zapisano.tenancy.model import State, Suspension, Tenant, TenantId, WrongState


async def register(
    conn: SharedConnection,
    *,
    name: str,
    owner_id: int,
    owner_language: str = "ru",
    by: str = "operator",
) -> Tenant:
    """Register a tenant and ask for its provisioning. `by` is whose doing that is."""
    tenant = await store.insert(
        conn,
        await store.new_id(conn),
        name=name,
        owner_id=owner_id,
        owner_language=owner_language,
    )
    await enqueue(conn, Provision(tenant.id))
    await journal.record(
        conn, "tenant.provisioning", tenant.id, tenant=tenant.id, by=by, after=tenant.state
    )
    return tenant


async def register_once(
    conn: SharedConnection, *, key: str, name: str, owner_id: int, owner_language: str = "ru"
) -> Tenant:
    """Register a tenant, or return the one that was registered under the same key.

    Raises:
        Conflict: the key was used for another tenant.
    """
    asked = hashlib.sha256(repr((name, owner_id, owner_language)).encode()).digest()
    if before := await store.request_once(conn, key):
        request_hash, made = before
        if request_hash != asked:
            raise Conflict("This Idempotency-Key was used with another body; draw a new one.")
        return await store.get(conn, made)
    tenant = await register(conn, name=name, owner_id=owner_id, owner_language=owner_language)
    await store.remember_request(conn, key, asked, tenant.id)
    return tenant


async def provision(database: Database, tenant: TenantId, *, time_zone: str | None = None) -> None:
    """Make the schema, then the role, then let the tenant wait for its bot.

    `time_zone` is where its business is, until its owner says otherwise. Every step may be
    repeated: a worker that is killed between any two leaves nothing to mend.
    """
    schema = tenant_schema(tenant)
    started = time.perf_counter()
    async with database.owner() as owner:
        await guard_schema(owner, schema)
        # Under the guard: a late repetition must not make the schema of an archived tenant anew.
        found = await store.get(owner, tenant, lock=True)
        if found.state is not State.PROVISIONING:
            return
        is_new = await create_tenant_schema(owner, schema)
        await store.furnish(owner, schema, found.owner_language, time_zone)
        if is_new:
            took_ms = round((time.perf_counter() - started) * 1000)
            await journal.record(
                owner, "tenant.schema_created", tenant, tenant=tenant, by="system", took_ms=took_ms
            )
    await create_role(database, tenant)
    async with database.shared() as conn:
        found = await store.get(conn, tenant, lock=True)
        if found.state is not State.PROVISIONING:
            return
        await store.set_state(conn, tenant, State.AWAITING_BOT)
        await enqueue(conn, TenantReady(tenant))
        await _note(conn, "tenant.awaiting_bot", found, by="system", after=State.AWAITING_BOT)


async def create_role(database: Database, tenant: TenantId) -> None:
    """Make the role, unless others were quicker and the tenant may be archived by now."""
    schema = tenant_schema(tenant)
    async with database.owner() as owner:
        await guard_schema(owner, schema)
        if (await store.get(owner, tenant)).state is State.PROVISIONING:
            await roles.create_tenant_role(owner, database.name, schema)


async def activate(conn: SharedConnection, tenant: TenantId) -> None:
    """The tenant's bot is attached: it works from now. Repeating changes nothing.

    Raises:
        WrongState: the tenant is not provisioned yet, or archived.
    """
    found = await store.get(conn, tenant, lock=True)
    if found.state in {State.ACTIVE, State.SUSPENDED}:
        return
    if found.state is not State.AWAITING_BOT:
        raise WrongState(f"{tenant} is {found.state}; only a tenant that awaits its bot starts.")
    await store.set_state(conn, tenant, State.ACTIVE)
    await _note(conn, "tenant.active", found, by="owner", after=State.ACTIVE)


async def suspend(
    conn: SharedConnection, tenant: TenantId, reason: Suspension, *, by: str = "operator"
) -> Tenant:
    """Pause a tenant: its bot answers that it is paused, its data stays. `by` is who does it.

    An operator's suspension outweighs an unpaid one, which comes back when it is lifted.

    Raises:
        WrongState: the tenant is being provisioned, or archived.
    """
    found = await store.get(conn, tenant, lock=True)
    if found.state in {State.PROVISIONING, State.ARCHIVED}:
        raise WrongState(f"{tenant} is {found.state} and cannot be suspended.")
    if {found.suspended_for, reason} == {Suspension.OPERATOR, Suspension.UNPAID}:
        await store.set_also_unpaid(conn, tenant, unpaid=True)
        if reason is Suspension.UNPAID:
            await journal.record(conn, "tenant.unpaid", tenant, tenant=tenant, by=by)
    if found.suspended_for in {reason, Suspension.OPERATOR}:
        return found
    await store.set_state(conn, tenant, State.SUSPENDED, reason)
    await enqueue(conn, TenantChanged(tenant, State.SUSPENDED))
    await _note(conn, "tenant.suspended", found, by=by, after=State.SUSPENDED, reason=reason)
    return await store.get(conn, tenant)


async def resume(
    conn: SharedConnection, tenant: TenantId, lifting: Suspension, *, by: str = "operator"
) -> Tenant:
    """Lift a suspension for `lifting`; one for another reason stays. Repeating changes nothing.

    Raises:
        WrongState: an operator wants an archived or an unpaid tenant to go on; a payment for an
            archived one is nobody's error.
    """
    found = await store.get(conn, tenant, lock=True)
    if found.state is State.ARCHIVED and lifting is Suspension.OPERATOR:
        raise WrongState(
            f"{tenant} is archived, restore it first: zapisano tenants restore {tenant}"
        )
    if found.suspended_for is Suspension.UNPAID and lifting is Suspension.OPERATOR:
        raise WrongState(f"{tenant} is not paid for: a payment lifts that, not the operator.")
    if found.suspended_for is not lifting:
        await store.set_also_unpaid(conn, tenant, unpaid=False)
        return found
    if lifting is Suspension.OPERATOR and await store.is_also_unpaid(conn, tenant):
        return await _leave_unpaid(conn, found, by)
    state = State.ACTIVE if await store.has_bot(conn, tenant) else State.AWAITING_BOT
    await store.set_state(conn, tenant, state)
    await enqueue(conn, TenantChanged(tenant, state))
    await _note(conn, "tenant.resumed", found, by=by, after=state, state=state)
    return await store.get(conn, tenant)


async def _leave_unpaid(conn: SharedConnection, found: Tenant, by: str) -> Tenant:
    """The operator's pause is over, and below it is the one that only a payment lifts."""
    await store.set_also_unpaid(conn, found.id, unpaid=False)
    await store.set_state(conn, found.id, State.SUSPENDED, Suspension.UNPAID)
    await enqueue(conn, TenantChanged(found.id, State.SUSPENDED))
    unpaid = Suspension.UNPAID
    await _note(conn, "tenant.suspended", found, by=by, after=State.SUSPENDED, reason=unpaid)
    return await store.get(conn, found.id)


async def _note(
    conn: SharedConnection, kind: str, found: Tenant, *, by: str, after: State, **more: object
) -> None:
    """Write who has brought a tenant from one state into another."""
    await journal.record(
        conn, kind, found.id, tenant=found.id, by=by, before=found.state, after=after, **more
    )
