"""A database prepared exactly as the guide's step 1.2 says: no right to create roles."""

import json
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from simulator import ready_socket

from own_settings import settings_for
from shared_servers import FAST
from zapisano import journal
from zapisano.db import Database, open_database, roles
from zapisano.db.migrate import Migration
from zapisano.errors import Refused
from zapisano.jobs import enqueue
from zapisano.jobs.model import Job
from zapisano.ops.doctor import examine
from zapisano.ops.migrate import migrate
from zapisano.ops.model import Outcome
from zapisano.stack.servers import embedded_postgres
from zapisano.tenancy import provision, register

GUIDE = """
-- Создать БД
CREATE DATABASE booking_saas;

-- Создать пользователя
CREATE USER booking_user WITH PASSWORD 'SecurePass2026!';

-- Выдать права
GRANT ALL PRIVILEGES ON DATABASE booking_saas TO booking_user;

-- Подключиться к БД
\\c booking_saas

-- Выдать права на схему public
GRANT ALL ON SCHEMA public TO booking_user;
GRANT ALL PRIVILEGES ON ALL TABLES IN SCHEMA public TO booking_user;
GRANT ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA public TO booking_user;

\\q
"""
BOOK = """INSERT INTO bookings (user_id, date, time, service_id, status)
VALUES (123456789, '2026-02-20', '14:00', 1, 'active')"""
OTHERS = "SELECT count(*) FROM client_002.bookings"


class BookingTest(Job):
    kind = "booking.test"


@pytest.fixture(scope="module")
def cluster() -> Generator[str]:
    """A superuser's address on a cluster of this module's own: roles belong to the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="zapisano-tests-"))
    folder.chmod(0o711)
    try:
        with embedded_postgres(folder, FAST) as server:
            yield server.dsn("postgres", user="postgres")
    finally:
        shutil.rmtree(folder)


async def run(dsn: str, script: str) -> None:
    """Run statements one by one, as psql does."""
    connection = await asyncpg.connect(dsn)
    try:
        lines = [line for line in script.splitlines() if not line.startswith("--")]
        for statement in "\n".join(lines).split(";"):
            if statement.strip():
                await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def guides(cluster: str) -> str:
    """The owner's address of a database that the guide has just prepared."""
    await run(
        cluster,
        """DROP DATABASE IF EXISTS booking_saas WITH (FORCE);
           DROP ROLE IF EXISTS booking_saas_client_001;
           DROP ROLE IF EXISTS booking_saas_client_002;
           DROP ROLE IF EXISTS booking_saas_client_003;
           DROP ROLE IF EXISTS booking_app; DROP ROLE IF EXISTS booking_tenant;
           DROP ROLE IF EXISTS booking_user""",
    )
    before, after = GUIDE.split("\\c booking_saas")
    await run(cluster, before)
    prepared = urlsplit(cluster)._replace(path="/booking_saas")
    await run(prepared.geturl(), after.partition("\\q")[0])
    host = prepared.netloc.rpartition("@")[2]
    return prepared._replace(netloc=f"booking_user:SecurePass2026!@{host}").geturl()


async def two_tenants(database: Database) -> None:
    for name in ("Салон Ромашка", "Барбершоп Борода"):
        async with database.shared() as conn:
            tenant = await register(conn, name=name, owner_id=1)
        await provision(database, tenant.id)


async def test_everything_works_with_one_warning_until_the_remedy(
    guides: str, cluster: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(guides, tmp_path)
    assert (await Migration(settings).run()).isolated is False
    capsys.readouterr()
    database = await open_database(settings)
    said = capsys.readouterr()
    warned = (said.out + said.err).count("isolation_by_role_is_off")
    assert warned == 1
    assert roles.remedy(settings) in said.out + said.err
    await two_tenants(database)
    async with database.tenant("client_001") as conn:
        await conn.execute(BOOK)
        await enqueue(conn, BookingTest())
        await journal.record(conn, "booking.created", "1")
    async with database.tenant("client_002") as conn:
        assert await conn.fetchval("SELECT count(*) FROM bookings") == 0
    async with database.shared() as conn:
        job = await conn.fetchval(
            "SELECT payload FROM shared.pgqueuer WHERE entrypoint = 'booking.test'"
        )
        event = await conn.fetchval(
            "SELECT tenant FROM shared.journal WHERE kind = 'booking.created'"
        )
    assert (json.loads(job), event) == ({"tenant_id": "client_001"}, "client_001")
    check = next(c for c in await examine(settings) if c.name == "Isolation by role")
    assert (check.outcome, check.remedy) == (Outcome.WARNING, roles.remedy(settings))
    # Without roles nothing but our own care keeps tenants apart: that is what the warning is for.
    async with database.tenant("client_001") as conn:
        assert await conn.fetchval(OTHERS) == 0
    await database.close()

    await run(cluster, roles.remedy(settings).partition("  --")[0])
    assert (await Migration(settings).run()).isolated is True
    database = await open_database(settings)
    assert database.isolated
    async with database.tenant("client_001") as conn:
        assert await conn.fetchval("SELECT count(*) FROM bookings") == 1
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.tenant("client_001") as conn:
            await conn.fetchval(OTHERS)
    check = next(c for c in await examine(settings) if c.name == "Isolation by role")
    assert check.outcome is Outcome.OK
    await database.close()


async def test_the_migration_tells_its_supervisor_too(
    guides: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(guides, tmp_path)
    with ready_socket() as (address, wait):
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        await migrate(settings)
        wait(f"STATUS=Isolation by role is off. To turn it on: {roles.remedy(settings)}")


async def test_roles_of_another_owner_are_named_with_the_way_out(
    guides: str, cluster: str, tmp_path: Path
) -> None:
    await run(cluster, "CREATE ROLE booking_app; CREATE ROLE booking_tenant")
    settings = settings_for(guides, tmp_path)
    await run(cluster, roles.remedy(settings).partition("  --")[0])
    with pytest.raises(Refused, match="another owner's") as refused:
        await Migration(settings).run()
    await run(cluster, refused.value.detail.partition("superuser run: ")[2])
    assert (await Migration(settings).run()).isolated is True


async def test_a_process_that_was_running_goes_on_after_the_remedy(
    guides: str, cluster: str, tmp_path: Path
) -> None:
    settings = settings_for(guides, tmp_path)
    await Migration(settings).run()
    database = await open_database(settings)
    await two_tenants(database)
    await run(cluster, roles.remedy(settings).partition("  --")[0])
    await Migration(settings).run()
    async with database.tenant("client_001") as conn:
        await conn.execute(BOOK)
        await enqueue(conn, BookingTest())
    check = next(c for c in await examine(settings) if c.name == "Tenants' roles")
    assert (check.outcome, check.remedy) == (Outcome.WARNING, "start Zapisano again")
    # A tenant that it makes meanwhile has a role, and is there after its next start.
    async with database.shared() as conn:
        third = await register(conn, name="Третий", owner_id=1)
    await provision(database, third.id)
    await database.close()
    restarted = await open_database(settings)
    async with restarted.tenant(third.id) as conn:
        await conn.execute(BOOK)
    await restarted.close()
    inside = urlsplit(cluster)._replace(path="/booking_saas").geturl()
    await run(inside, f"DROP OWNED BY booking_saas_{third.id}; DROP ROLE booking_saas_{third.id}")
    check = next(c for c in await examine(settings) if c.name == "Tenants' roles")
    assert (check.outcome, third.id in check.found) == (Outcome.FAILED, True)
    assert (await Migration(settings).run()).roles_made == 1
