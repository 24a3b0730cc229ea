"""The fan-out over tenants: a canary first, batches, the failed named, resumed after a kill."""

import asyncio
import os
import re
import shutil
import signal
import sys
import textwrap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr
from telegram_bots import until
from waiting import somebody_waits

from zapisano.bots.store import insert
from zapisano.db import Database, open_database
from zapisano.db.chains import FOLDER, SHARED_HEAD
from zapisano.db.migrate import Migration, guard_schema
from zapisano.db.names import SchemaName
from zapisano.errors import BrokenSetting, Refused
from zapisano.ops.migrate import TenantsFailed
from zapisano.ops.migrate import migrate as migrate_command
from zapisano.settings import Settings
from zapisano.tenancy import Tenant, archive, export, restore
from zapisano.tenancy.seed import seed
from zapisano.vault import Vault

Witness = asyncpg.Connection
REVISION = '''
"""A column more, and what only a test does."""
from alembic import op

revision = "t9999"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("ALTER TABLE services ADD COLUMN note text")
    op.execute("{more}")
'''
BATCH = 5
COUNT = 2 * BATCH + 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The product's chains, in a place where a revision may be added."""
    copy = tmp_path / "chains"
    shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock is waited for a tenth of the time."""
    monkeypatch.setattr("zapisano.db.migrate.LOCK_TIMEOUT", "500ms")


def add_revision(folder: Path, more: str = "SELECT 1") -> None:
    versions = folder / "tenant" / "versions"
    heads = [re.findall(r'revision = "(t\d+)"', f.read_text())[0] for f in versions.glob("*.py")]
    (versions / "t9999_more.py").write_text(REVISION.format(head=max(heads), more=more))


def migration(settings: Settings, folder: Path) -> Migration:
    return Migration(settings, folder=folder, batch_size=BATCH)


async def many(database: Database, witness: Witness) -> None:
    await seed(database, COUNT, lambda _: None)
    assert await at_head(witness) == 0


async def at_head(witness: Witness) -> int:
    return int(
        await witness.fetchval(
            "SELECT count(*) FROM shared.tenant_versions WHERE version_num = 't9999'"
        )
    )


async def columns(witness: Witness) -> int:
    return int(
        await witness.fetchval(
            """SELECT count(*) FROM information_schema.columns
               WHERE table_name = 'services' AND column_name = 'note'"""
        )
    )


async def test_all_tenants_are_brought_to_the_head_and_progress_is_told(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await many(database, witness)
    add_revision(folder)
    told: list[tuple[int, int]] = []

    def tell(done: int, total: int) -> None:
        told.append((done, total))

    report = await migration(settings, folder).run(tell)
    assert (len(report.migrated), report.failed, report.isolated) == (COUNT, {}, True)
    assert (await at_head(witness), await columns(witness)) == (COUNT, COUNT)
    assert told[0] == (0, COUNT)
    assert told[-1] == (COUNT, COUNT)
    again = await migration(settings, folder).run()
    assert (again.behind, again.migrated) == (0, [])


async def test_a_change_that_fails_on_the_canaries_reaches_nobody_else(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await many(database, witness)
    add_revision(folder, "SELECT no_such_column FROM services")
    report = await migration(settings, folder).run()
    assert list(report.failed) == ["client_001", "client_002"]
    assert "no_such_column" in report.failed["client_001"]
    assert (report.untried, report.migrated) == (COUNT - 2, [])
    assert (await at_head(witness), await columns(witness)) == (0, 0)


@pytest.mark.parametrize("odd", ["client_001", "client_007"])
async def test_one_odd_tenant_stays_behind_alone(
    settings: Settings, database: Database, witness: Witness, folder: Path, odd: str
) -> None:
    await many(database, witness)
    await witness.execute(f"ALTER TABLE {odd}.services ADD COLUMN note text")
    add_revision(folder)
    report = await migration(settings, folder).run()
    assert (list(report.failed), report.untried) == ([odd], 0)
    assert await at_head(witness) == COUNT - 1
    await witness.execute(f"ALTER TABLE {odd}.services DROP COLUMN note")
    assert (await migration(settings, folder).run()).migrated == [odd]


async def test_a_tenant_that_is_in_use_does_not_hold_up_the_others(
    impatient: None, settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await seed(database, 5, lambda _: None)
    add_revision(folder)
    async with witness.transaction():
        await witness.execute("LOCK TABLE client_003.services IN ACCESS SHARE MODE")
        report = await migration(settings, folder).run()
    assert list(report.failed) == ["client_003"]
    assert await at_head(witness) == 4
    assert (await migration(settings, folder).run()).migrated == ["client_003"]


async def test_a_change_that_others_have_had_is_not_suspected_again(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await seed(database, 3, lambda _: None)
    for odd in ("client_002", "client_003"):
        await witness.execute(f"ALTER TABLE {odd}.services ADD COLUMN note text")
    add_revision(folder)
    for migrated in (1, 0):
        report = await migration(settings, folder).run()
        assert len(report.migrated) == migrated
        assert list(report.failed) == ["client_002", "client_003"]
        assert not report.looks_wrong


async def test_a_tenant_that_was_born_with_a_change_proves_nothing(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await seed(database, 4, lambda _: None)
    for odd in ("client_001", "client_002", "client_003"):
        await witness.execute(f"ALTER TABLE {odd}.services ADD COLUMN note text")
    add_revision(folder)
    born = "UPDATE shared.tenant_versions SET version_num = 't9999' WHERE schema_name = $1"
    await witness.execute(born, "client_004")
    report = await migration(settings, folder).run()
    assert (report.looks_wrong, report.untried) == (True, 1)


async def test_tenants_in_use_are_no_canaries(
    impatient: None, settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await seed(database, 4, lambda _: None)
    add_revision(folder)
    async with witness.transaction():
        for tenant in ("client_001", "client_002"):
            await witness.execute(f"LOCK TABLE {tenant}.services IN ACCESS SHARE MODE")
        report = await migration(settings, folder).run()
    assert (list(report.failed), report.locked) == (["client_001", "client_002"], 2)
    assert not report.looks_wrong
    assert await at_head(witness) == 2


async def test_a_shared_table_that_is_in_use_is_waited_for_in_turns(
    impatient: None, settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    """Who waits for an exclusive lock holds up everybody behind: so it lets go and comes again."""
    (folder / "shared" / "versions" / "s9999_more.py").write_text(
        REVISION.format(head=SHARED_HEAD, more="SELECT 1")
        .replace("t9999", "s9999")
        .replace("ALTER TABLE services", "ALTER TABLE shared.orders")
    )

    async def has_let_go() -> bool:
        return not await somebody_waits(witness)

    async def is_waiting() -> bool:
        return await somebody_waits(witness)

    reading = witness.transaction()
    await reading.start()
    await witness.execute("LOCK TABLE shared.orders IN ACCESS SHARE MODE")
    task = asyncio.create_task(migration(settings, folder).run())
    for look in (is_waiting, has_let_go, is_waiting):
        await until(look, look.__name__)
    await reading.rollback()
    assert not (await task).failed
    assert await witness.fetchval("SELECT version_num FROM shared.schema_version") == "s9999"


async def test_a_tenant_that_is_archived_meanwhile_is_left_out_and_the_next_is_the_canary(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await seed(database, 3, lambda _: None)
    add_revision(folder)
    first = SchemaName("client_001")
    async with database.owner() as conn:
        await guard_schema(conn, first)
        run = asyncio.create_task(migration(settings, folder).run())
        await until(lambda: somebody_waits(witness), "the migration waits for the archiving")
        await export.drop(conn, first)
    report = await run
    assert (report.failed, report.behind) == ({}, 2)
    assert report.migrated == ["client_002", "client_003"]


async def test_another_installations_key_changes_nothing(
    settings: Settings, database: Database, tenants: tuple[Tenant, Tenant], folder: Path
) -> None:
    """It would lock the running service out of its own database."""
    async with database.shared() as conn:
        await insert(
            conn,
            bot_id=1,
            tenant_id=tenants[0].id,
            username="a_bot",
            token=Vault(settings).lock("1:a"),
            managed=False,
        )
    other = settings.model_copy(update={"secret_key": SecretStr("another-0123456789-abcdefghijk")})
    with pytest.raises(BrokenSetting, match="encrypted with"):
        await migration(other, folder).run()
    again = await open_database(settings)
    async with again.shared() as conn:
        assert await conn.fetchval("SELECT 1")
    await again.close()


async def test_a_killed_migration_is_resumed(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await many(database, witness)
    add_revision(folder)
    program = textwrap.dedent(
        """
        import asyncio, os, pathlib, signal, sys
        from zapisano.db.migrate import Migration
        from zapisano.settings import load

        def die(done, total):
            if done > 1:
                os.kill(os.getpid(), signal.SIGKILL)

        migration = Migration(load(), folder=pathlib.Path(sys.argv[1]), batch_size=int(sys.argv[2]))
        asyncio.run(migration.run(die))
        """
    )
    env = {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(folder), str(BATCH), env=env
    )
    assert await killed.wait() == -signal.SIGKILL
    assert await at_head(witness) == await columns(witness) == 1 + BATCH
    report = await migration(settings, folder).run()
    assert len(report.migrated) == COUNT - 1 - BATCH
    assert await at_head(witness) == await columns(witness) == COUNT


async def test_two_migrations_at_once_do_the_work_once(
    settings: Settings, database: Database, witness: Witness, folder: Path
) -> None:
    await seed(database, 20, lambda _: None)
    add_revision(folder)
    reports = await asyncio.gather(*(migration(settings, folder).run() for _ in range(2)))
    assert sorted(len(report.migrated) for report in reports) == [0, 20]


async def test_the_command_names_the_failed_and_ends_with_an_error(
    settings: Settings,
    database: Database,
    tenants: tuple[Tenant, Tenant],
    witness: Witness,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await migrate_command(settings)
    assert "tenants migrated: 0" in capsys.readouterr().out
    odd = "UPDATE shared.tenant_versions SET version_num = 't0000'"
    await witness.execute(odd + " WHERE schema_name = 'client_001'")
    with pytest.raises(TenantsFailed, match=r"client_001: It is at version t0000"):
        await migrate_command(settings)
    await migrate_command(settings, go_on=True)  # a start: the others must not stay down
    assert "Not migrated: client_001: It is at version t0000" in capsys.readouterr().out
    await seed(database, 1, lambda _: None)
    await witness.execute(odd)  # all three: nobody has shown that the change is right
    for go_on in (False, True):
        with pytest.raises(TenantsFailed, match=r"client_002: .*\n1 more were not tried"):
            await migrate_command(settings, go_on=go_on)


async def test_an_archive_of_an_older_version_comes_back_at_the_head(
    settings: Settings,
    database: Database,
    tenants: tuple[Tenant, Tenant],
    witness: Witness,
    folder: Path,
) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    await archive(database, settings, "client_001", now=now)
    add_revision(folder)
    await restore(database, settings, "client_001", now=now, chains=folder)
    assert await at_head(witness) == await columns(witness) == 1
    await archive(database, settings, "client_001", now=now + timedelta(days=1))
    with pytest.raises(Refused, match="upgrade Zapisano first"):
        await restore(database, settings, "client_001", now=now)
