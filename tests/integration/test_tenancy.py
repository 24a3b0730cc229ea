"""A tenant's schema, role and state; what one tenant can see of another."""

import asyncio
import secrets
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from pydantic import SecretStr
from telegram_bots import until
from waiting import somebody_waits

from shared_servers import Servers
from zapisano.db import Database, OwnerConnection, open_database, roles, walls
from zapisano.db.migrate import Migration, guard_schema
from zapisano.db.names import tenant_schema
from zapisano.errors import BrokenSetting, Busy, SlotTaken
from zapisano.settings import Settings
from zapisano.tenancy import (
    State,
    Suspension,
    Tenant,
    WrongState,
    activate,
    provision,
    register,
    resume,
    suspend,
)
from zapisano.tenancy.usecases import create_role

Witness = asyncpg.Connection
BOOK = """INSERT INTO bookings (user_id, date, time, service_id, status)
VALUES (123456789, '2026-02-20', '14:00', 1, 'active') RETURNING id"""


async def test_the_documented_insert_works_in_a_new_tenant(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    async with database.tenant(tenants[0].id) as conn:
        await conn.execute(BOOK)
    row = await witness.fetchrow("SELECT busy, time_zone, staff_id FROM client_001.bookings")
    assert row is not None
    assert (row["time_zone"], row["staff_id"]) == ("Europe/Moscow", 1)
    assert row["busy"].lower.isoformat() == "2026-02-20T11:00:00"
    assert row["busy"].upper.isoformat() == "2026-02-20T12:00:00"
    assert await witness.fetchval("SELECT count(*) FROM client_002.bookings") == 0


async def test_an_overlap_is_refused_in_the_domains_words(
    database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    async with database.tenant(tenants[0].id) as conn:
        await conn.execute(BOOK)
    with pytest.raises(SlotTaken):
        async with database.tenant(tenants[0].id) as conn:
            await conn.execute(BOOK)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM client_002.bookings",
        "SELECT count(*) FROM shared.bots",
        "SELECT count(*) FROM shared.orders",
        "SELECT count(*) FROM shared.pgqueuer",
        "SELECT rolpassword FROM pg_catalog.pg_authid",
        "SELECT pg_read_file('postgresql.conf')",
        "SELECT shared.enqueue_job('payments.settle', '{}')",
        "SELECT shared.record_event('payment.settled', 'x', '{}')",
        "CREATE TABLE mine (id int)",
        "SET ROLE booking_user",
        "SELECT rolname FROM pg_roles",
        "SELECT roleid FROM pg_auth_members",
        "SELECT query FROM pg_stat_activity",
        "SELECT pg_stat_get_activity(NULL)",
        "SELECT n_live_tup FROM pg_stat_all_tables",
        "SELECT pg_stat_get_live_tuples('client_002.bookings'::regclass)",
        "SELECT heap_blks_read FROM pg_statio_all_tables",
        "SELECT reltuples FROM pg_class",
        "SELECT pg_total_relation_size('client_002.bookings')",
        "SELECT pg_relation_size('shared.orders')",
        "SELECT pg_database_size(current_database())",
        "SELECT mode FROM pg_locks",
        "SELECT lo_create(0)",
        "SELECT pg_logical_emit_message(false, 'a', 'b')",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(7260921)",
        "SELECT pg_try_advisory_lock_shared(7260921)",
        "SELECT pg_advisory_unlock_all()",
    ],
)
async def test_a_tenant_sees_nothing_but_itself(
    database: Database, tenants: tuple[Tenant, Tenant], sql: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant(tenants[0].id) as conn:
            await conn.execute(sql)  # pyright: ignore[reportArgumentType]  # not literal: a list


async def test_no_temporary_table_takes_the_servers_room(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    """A clone has its own rights on the database, as the migration leaves them."""
    make = "CREATE TEMPORARY TABLE mine (id int)"
    async with database.tenant(tenants[0].id) as conn:
        await conn.execute(make)
    await Migration(settings).run()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant(tenants[0].id) as conn:
            await conn.execute("DROP TABLE IF EXISTS pg_temp.mine")
            await conn.execute("CREATE TEMPORARY TABLE another (id int)")


async def test_an_owner_who_comes_later_is_given_what_the_walls_took(
    dsn: str, postgres: str
) -> None:
    database, later = urlsplit(dsn).path[1:], f"later_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(urlsplit(postgres)._replace(path=f"/{database}").geturl())
    sees = """SELECT has_table_privilege($1::name, 'pg_locks', 'SELECT')
        AND has_function_privilege($1::name, 'pg_advisory_lock(bigint)', 'EXECUTE')
        AND has_column_privilege($1::name, 'pg_class', 'reltuples', 'SELECT')"""
    await admin.execute(f"CREATE ROLE {later}")
    try:
        await admin.execute(f"GRANT CREATE ON DATABASE {database} TO {later}")
        assert not await admin.fetchval(sees, later)
        await admin.execute(walls.statements())
        assert await admin.fetchval(sees, later)
    finally:
        await admin.execute(f"DROP OWNED BY {later}")
        await admin.execute(f"DROP ROLE {later}")
        await admin.close()


async def test_the_owner_dumps_the_walls_and_a_restore_raises_them(
    servers: Servers, dsn: str, postgres: str, tenants: tuple[Tenant, Tenant], tmp_path: Path
) -> None:
    programs, file = servers.postgres.programs, tmp_path / "dump"
    dump = [programs / "pg_dump", "-d", dsn, "-Fc", "-f", file]
    dumped = await asyncio.to_thread(subprocess.run, dump, capture_output=True, check=False)
    assert (dumped.returncode, dumped.stderr) == (0, b"")
    copy = f"copy_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {copy} OWNER booking_user")
    try:
        there = urlsplit(postgres)._replace(path=f"/{copy}").geturl()
        restore = [programs / "pg_restore", "-d", there, file]
        done = await asyncio.to_thread(subprocess.run, restore, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
        inside = await asyncpg.connect(there)
        assert await inside.fetchval("SELECT count(*) FROM client_002.services") == 1
        assert await walls.gaps(OwnerConnection(inside)) == ["make temporary tables"]
        await inside.close()
    finally:
        await admin.execute(f"DROP DATABASE {copy} WITH (FORCE)")
        await admin.close()


async def test_a_tenants_job_is_stamped_with_that_tenant(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    async with database.tenant(tenants[0].id) as conn:
        await conn.execute(
            "SELECT shared.enqueue_job('booking.test', '{\"tenant_id\": \"client_002\"}')"
        )
    payload = await witness.fetchval(
        "SELECT payload FROM shared.pgqueuer WHERE entrypoint = 'booking.test'"
    )
    assert payload == b'{"tenant_id": "client_001"}'


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT shared.enqueue_job('booking.test', NULL)",
        "SELECT shared.enqueue_job('booking.test', 'null')",
        "SELECT shared.enqueue_job('booking.test', '[]')",
        "SELECT shared.enqueue_job(NULL, '{}')",
        "SELECT shared.schedule_job(now(), 'booking.test', 'x', NULL)",
        "SELECT shared.schedule_job(now(), 'booking.test', 'x', '7')",
    ],
)
async def test_a_job_without_a_kind_or_an_object_is_refused(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness, sql: str
) -> None:
    for opened in (database.tenant(tenants[0].id), database.shared()):
        with pytest.raises(asyncpg.InvalidParameterValueError, match="needs a kind"):
            async with opened as conn:
                await conn.execute(sql)  # pyright: ignore[reportArgumentType]  # not literal: a list
    assert await witness.fetchval("SELECT count(*) FROM shared.due") == 0


@pytest.mark.parametrize("kind", ["tenancy.provision", "payments.settle", "xbooking.x", "booking"])
async def test_a_tenant_asks_for_no_other_rooms_jobs(
    database: Database, tenants: tuple[Tenant, Tenant], kind: str
) -> None:
    body = {"tenant_id": "client_002"}
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant(tenants[0].id) as conn:
            await conn.execute("SELECT shared.enqueue_job($1, $2)", kind, body)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant(tenants[0].id) as conn:
            await conn.execute("SELECT shared.schedule_job(now(), $1, 'x', $2)", kind, body)


async def test_what_a_tenant_unschedules_is_its_own(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    for tenant in tenants:
        async with database.tenant(tenant.id) as conn:
            await conn.execute("SELECT shared.schedule_job(now(), 'booking.test', '1', '{}')")
    async with database.tenant(tenants[0].id) as conn:
        await conn.execute("SELECT shared.unschedule_job('booking.test', '1')")
    left = await witness.fetch("SELECT tenant, payload FROM shared.due")
    assert [tuple(row) for row in left] == [("client_002", '{"tenant_id": "client_002"}')]


async def test_provisioning_may_be_repeated_at_any_point(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await provision(database, tenants[0].id)
    assert await witness.fetchval("SELECT count(*) FROM shared.tenant_versions") == 2
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1


async def test_six_workers_that_provision_one_tenant_make_one_schema(
    database: Database, witness: Witness
) -> None:
    async with database.shared() as conn:
        tenant = await register(conn, name="Шестеро", owner_id=1)
    await asyncio.gather(*(provision(database, tenant.id) for _ in range(6)))
    assert await witness.fetchval("SELECT count(*) FROM shared.tenant_versions") == 1
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1
    assert await witness.fetchval("SELECT state FROM shared.tenants") == "awaiting_bot"
    told = "SELECT count(*) FROM shared.journal WHERE kind = $1"
    assert await witness.fetchval(told, "tenant.schema_created") == 1
    assert await witness.fetchval(told, "tenant.awaiting_bot") == 1


async def test_a_late_worker_makes_no_schema_of_a_tenant_that_is_archived_by_now(
    database: Database, witness: Witness
) -> None:
    async with database.shared() as conn:
        tenant = (await register(conn, name="Поздно", owner_id=1)).id
    async with database.owner() as conn:
        await guard_schema(conn, tenant_schema(tenant))
        late = asyncio.create_task(provision(database, tenant))
        await until(lambda: somebody_waits(witness), "the late one waits")
        await witness.execute("UPDATE shared.tenants SET state = 'archived'")
    await late
    assert await witness.fetchval("SELECT to_regnamespace($1)::text", tenant) is None


async def test_two_workers_that_make_one_role_do_it_one_after_the_other(
    database: Database, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    """PostgreSQL before 18 refuses two who grant the same at once: "tuple concurrently updated"."""
    tenant = tenants[0].id
    await witness.execute("UPDATE shared.tenants SET state = 'provisioning'")
    role = f"{database.name}_{tenant}"
    await witness.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {tenant} FROM {role}")
    async with database.owner() as conn:
        await guard_schema(conn, tenant_schema(tenant))
        await roles.create_tenant_role(conn, database.name, tenant_schema(tenant))
        second = asyncio.create_task(create_role(database, tenant))
        await until(lambda: somebody_waits(witness), "the second one waits for the first")
    await second
    async with database.tenant(tenant) as inside:
        assert await inside.fetchval("SELECT count(*) FROM services") == 1


async def test_a_payment_lifts_only_what_is_unpaid(
    database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0].id
    async with database.shared() as conn:
        await suspend(conn, tenant, Suspension.OPERATOR)
        assert (await resume(conn, tenant, Suspension.UNPAID)).state is State.SUSPENDED
        assert (await suspend(conn, tenant, Suspension.UNPAID)).suspended_for is Suspension.OPERATOR
        resumed = await resume(conn, tenant, Suspension.OPERATOR)
        assert (resumed.state, resumed.suspended_for) == (State.SUSPENDED, Suspension.UNPAID)
        assert (await resume(conn, tenant, Suspension.UNPAID)).state is State.AWAITING_BOT


async def test_an_operators_pause_neither_pays_nor_hides_that_it_is_unpaid(
    database: Database, tenants: tuple[Tenant, Tenant]
) -> None:
    tenant = tenants[0].id
    async with database.shared() as conn:
        await suspend(conn, tenant, Suspension.UNPAID)
        paused = await suspend(conn, tenant, Suspension.OPERATOR)
        assert paused.suspended_for is Suspension.OPERATOR
        resumed = await resume(conn, tenant, Suspension.OPERATOR)
        assert resumed.suspended_for is Suspension.UNPAID
        await suspend(conn, tenant, Suspension.OPERATOR)
        await resume(conn, tenant, Suspension.UNPAID)  # paid, below the operator's pause
        assert (await resume(conn, tenant, Suspension.OPERATOR)).state is State.AWAITING_BOT


async def test_a_tenant_without_a_schema_cannot_become_active(database: Database) -> None:
    async with database.shared() as conn:
        tenant = await register(conn, name="Рано", owner_id=1)
        with pytest.raises(WrongState, match="provisioning"):
            await activate(conn, tenant.id)


async def test_a_schema_never_appears_without_the_role_to_log_in_as(
    settings: Settings, witness: Witness
) -> None:
    """Who waits for the schema would log in as its owner, and stay so."""
    await witness.execute("DROP SCHEMA shared CASCADE")
    keyless = settings.model_copy(update={"secret_key": SecretStr("")})
    with pytest.raises(BrokenSetting, match="ZAPISANO_SECRET_KEY"):
        await Migration(keyless).run()
    with pytest.raises(Busy, match="not migrated"):
        await open_database(settings)
    await Migration(settings).run()
    opened = await open_database(settings)
    await opened.close()
    assert opened.isolated


async def test_a_new_tenant_is_where_the_operator_says(
    database: Database, witness: Witness
) -> None:
    async with database.shared() as conn:
        tenant = await register(conn, name="Далеко", owner_id=1)
    await provision(database, tenant.id, time_zone="Asia/Yekaterinburg")
    await witness.execute("UPDATE client_001.settings SET time_zone = 'Asia/Omsk'")
    await provision(database, tenant.id, time_zone="Asia/Yekaterinburg")
    assert await witness.fetchval("SELECT time_zone FROM client_001.settings") == "Asia/Omsk"
    async with database.tenant(tenant.id) as conn:
        await conn.execute(BOOK)
        assert await conn.fetchval("SELECT time_zone FROM bookings") == "Asia/Omsk"


async def test_a_zone_that_is_none_is_refused_where_it_is_typed(
    witness: Witness, tenants: tuple[Tenant, Tenant]
) -> None:
    assert tenants[0].id == "client_001"
    with pytest.raises(asyncpg.InvalidParameterValueError, match="Foo/Bar"):
        await witness.execute("UPDATE client_001.settings SET time_zone = 'Foo/Bar'")


async def test_what_an_english_owner_starts_with_has_english_names(database: Database) -> None:
    async with database.shared() as conn:
        made = [
            await register(conn, name="Salon", owner_id=7, owner_language=language)
            for language in ("en", "ru")
        ]
    names: list[tuple[str, str]] = []
    for tenant in made:
        await provision(database, tenant.id)
        async with database.tenant(tenant.id) as inside:
            service = str(await inside.fetchval("SELECT name FROM services"))
            names.append((service, str(await inside.fetchval("SELECT name FROM staff"))))
    assert names == [("Haircut", "Specialist"), ("Стрижка", "Мастер")]
