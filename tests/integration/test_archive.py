"""Archive and restore: nothing lost, nothing half done, nobody else touched."""

import asyncio
import os
import resource
import signal
import sys
import zipfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from telegram_bots import until
from waiting import somebody_waits

from zapisano.db import Database, open_database
from zapisano.errors import Busy, NotFound, Refused
from zapisano.settings import Settings
from zapisano.tenancy import (
    DiskTrouble,
    State,
    Suspension,
    Tenant,
    UnknownTenant,
    WrongState,
    archive,
    restore,
    store,
    suspend,
)
from zapisano.tenancy.manifest import BrokenArchive

Witness = asyncpg.Connection
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)

# Every kind of value that a text format could lose, in a table no migration knows.
CURIOSITIES = '''
CREATE TABLE client_001.curiosities (
    "Odd ""name""" text,
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number serial UNIQUE,
    empty text DEFAULT 'a; DROP SCHEMA client_002 --',
    bytes bytea, amount numeric(12, 4), tiny smallint, big bigint, real4 real, real8 float8,
    flag boolean, day date, clock time, clock_tz timetz, at timestamptz, at_naive timestamp,
    span interval, document jsonb, old_document json, uid uuid, words text[], matrix int[][],
    busy tsrange, spans int4multirange, address inet, mac macaddr, bits bit varying, point point,
    search tsvector, xml_free "char", fixed char(5),
    doubled numeric GENERATED ALWAYS AS (amount * 2) STORED,
    parent bigint REFERENCES client_001.curiosities (id),
    service_id bigint REFERENCES client_001.services (id),
    CONSTRAINT positive CHECK (tiny > 0)
)'''
ROWS = r'''
INSERT INTO client_001.curiosities ("Odd ""name""", empty, bytes, amount, tiny, big, real4, real8,
    flag, day, clock, clock_tz, at, at_naive, span, document, old_document, uid, words, matrix,
    busy, spans, address, mac, bits, point, search, xml_free, fixed, parent, service_id)
VALUES
  (E'line one\nline "two"\r\n\ttab, \\. and \\N; ''x'' .', '', '\x00ff0a', 12345.6789, 1,
   9223372036854775807, 0.1, 0.1, true, 'infinity', '23:59:59.999999', '10:00+05:30',
   '2026-02-20 14:00+03', '0044-03-15 12:00 BC', '1 year 2 mons -3 days 04:05:06.789',
   '{"a": [1, null, "x\ny"]}', '{"b" : 1,  "b": 2}', gen_random_uuid(), '{NULL,"","a,b"}',
   '{{1,2},{3,NULL}}', '[2026-01-01,2026-01-02)', '{[1,3),[5,7)}', '::1/128', '08:00:2b:01:02:03',
   B'10110', '(1.5,-2)', to_tsvector('simple', 'a b'), 'x', 'ab', NULL, 1),
  (NULL, NULL, NULL, 'NaN', NULL, NULL, 'Infinity', '-0', NULL, NULL, NULL, NULL, '-infinity', NULL,
   NULL, 'null', NULL, NULL, '{}', NULL, 'empty', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
   1, NULL),
  (E'\\.', 'NULL', '', 0, 2, 0, 0, 1e-300, false, '2026-02-28', '00:00', '00:00Z', 'epoch', 'epoch',
   '0', '[]', '[]', NULL, NULL, '{}', NULL, '{}', '10.0.0.0/8', NULL, '', NULL, '', '', '', 2, NULL)
'''
CONTENT = """SELECT
    (SELECT jsonb_agg(to_jsonb(c) ORDER BY c.id) FROM client_001.curiosities c)::text
    || (SELECT jsonb_agg(to_jsonb(b) ORDER BY b.id) FROM client_001.bookings b)::text
    || (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.id) FROM client_001.services s)::text
    || (SELECT string_agg(c::text, '' ORDER BY id) FROM client_001.curiosities c)"""
SHAPE = """SELECT array_agg(x ORDER BY x) FROM (
    SELECT c.relname || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || a.attnotnull || a.attgenerated::text || a.attidentity::text
        || coalesce(pg_get_expr(d.adbin, d.adrelid), '') AS x
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'client_001'::regnamespace AND c.relkind = 'r' AND a.attnum > 0
    UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'client_001'::regnamespace
    UNION ALL SELECT pg_get_indexdef(indexrelid)
    FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
    WHERE c.relnamespace = 'client_001'::regnamespace)"""


async def furnish(witness: Witness) -> None:
    await witness.execute(CURIOSITIES)
    await witness.execute(ROWS)
    await witness.execute("CREATE INDEX curious ON client_001.curiosities (lower(empty))")
    await witness.execute("ALTER TABLE client_001.services ADD COLUMN note text DEFAULT 'hm'")
    await witness.execute("INSERT INTO client_001.services (name, note) VALUES ('Окраска', '')")
    await witness.execute(
        """INSERT INTO client_001.bookings (user_id, date, time, service_id, status)
           VALUES (1, '2026-02-20', '14:00', 1, 'active')"""
    )
    await witness.execute(
        """INSERT INTO shared.due (tenant, kind, subject, at, payload)
           VALUES ('client_001', 'booking.remind', '1:24', '2026-02-19', '{"booking_id": 1}'),
                  ('client_002', 'booking.remind', '1:24', '2026-02-19', '{"booking_id": 1}')"""
    )


async def test_a_tenant_comes_back_as_it_was(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await furnish(witness)
    before = await witness.fetchval(CONTENT), await witness.fetchval(SHAPE)
    path = await archive(database, settings, "client_001", now=NOW)
    assert not await witness.fetchval("SELECT to_regnamespace('client_001') IS NOT NULL")
    assert await witness.fetchval("SELECT state FROM shared.tenants WHERE id = 'client_001'") == (
        "archived"
    )
    role = f"{database.name}_client_001"
    assert not await witness.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    assert await witness.fetch("SELECT tenant FROM shared.due") == [("client_002",)]
    assert path.stat().st_mode & 0o777 == 0o600

    restored = await restore(database, settings, "client_001", now=NOW)
    assert restored.state is State.AWAITING_BOT
    assert (await witness.fetchval(CONTENT), await witness.fetchval(SHAPE)) == before
    assert await witness.fetchval("SELECT count(*) FROM shared.due") == 2
    assert await witness.fetchval("SELECT doubled FROM client_001.curiosities WHERE id = 3") == 0
    async with database.tenant("client_001") as conn:
        assert await conn.fetchval("SELECT count(*) FROM bookings") == 1
    assert await witness.fetchval("SELECT count(*) FROM client_002.services") == 1


async def test_numbers_go_on_after_the_largest_ever_given(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await furnish(witness)
    await witness.execute("DELETE FROM client_001.services WHERE id = 2")
    await archive(database, settings, "client_001", now=NOW)
    await restore(database, settings, "client_001", now=NOW)
    new = "INSERT INTO client_001.services (name) VALUES ('Новая') RETURNING id"
    assert await witness.fetchval(new) == 3
    insert = "INSERT INTO client_001.curiosities (tiny) VALUES (1) RETURNING (id, number)"
    assert await witness.fetchval(insert) == (4, 4)


async def test_both_may_be_repeated(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant]
) -> None:
    first = await archive(database, settings, "client_001", now=NOW)
    assert await archive(database, settings, "client_001", now=NOW + timedelta(days=1)) == first
    await restore(database, settings, "client_001", now=NOW)
    with pytest.raises(WrongState, match="awaiting_bot"):
        await restore(database, settings, "client_001", now=NOW)
    second = await archive(database, settings, "client_001", now=NOW + timedelta(days=2))
    assert second != first
    assert first.exists()


async def test_a_suspended_tenant_comes_back_suspended(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant]
) -> None:
    async with database.shared() as conn:
        await suspend(conn, tenants[0].id, Suspension.OPERATOR)
    await archive(database, settings, "client_001", now=NOW)
    restored = await restore(database, settings, "client_001", now=NOW)
    assert (restored.state, restored.suspended_for) == (State.SUSPENDED, Suspension.OPERATOR)


@contextmanager
def no_file_larger_than(limit: int) -> Generator[None]:
    """The nearest thing to a full disk that needs no mount: the kernel refuses to grow a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_drops_nothing(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    with no_file_larger_than(500), pytest.raises(DiskTrouble, match="nothing was dropped"):
        await archive(database, settings, "client_001", now=NOW)
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1
    assert list((settings.data_dir / "archive").iterdir()) == []
    async with database.shared() as conn:
        assert (await store.get(conn, "client_001")).state is State.AWAITING_BOT
    assert (await archive(database, settings, "client_001", now=NOW)).exists()


async def test_a_drop_that_fails_leaves_no_file_behind(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    """It would be full of personal data, and nobody would know of it."""
    await witness.execute(
        """CREATE FUNCTION shared.refuse() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'lock_not_available'; END $$;
           CREATE TRIGGER refuse BEFORE INSERT ON shared.archives
               FOR EACH ROW EXECUTE FUNCTION shared.refuse()"""
    )
    with pytest.raises(Busy):
        await archive(database, settings, "client_001", now=NOW)
    assert list((settings.data_dir / "archive").iterdir()) == []
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1


async def test_what_a_file_cannot_keep_is_named_and_nothing_is_dropped(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    await witness.execute("CREATE VIEW client_001.mine AS SELECT 1 AS one")
    await witness.execute("CREATE TYPE client_001.mood AS ENUM ('good')")
    with pytest.raises(Refused, match=r"type mood, view or partitioned table mine"):
        await archive(database, settings, "client_001", now=NOW)
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1


@pytest.mark.parametrize(
    "name", ["../x", "client_001; drop", "client_001/../..", "shared", "public", "", "client_1"]
)
async def test_a_name_is_checked_before_anything_else(
    database: Database, settings: Settings, name: str
) -> None:
    with pytest.raises(Refused):
        await archive(database, settings, name, now=NOW)
    with pytest.raises(Refused):
        await restore(database, settings, name, now=NOW)


async def test_who_is_not_there_is_not_archived(database: Database, settings: Settings) -> None:
    with pytest.raises(UnknownTenant):
        await archive(database, settings, "client_777", now=NOW)


async def test_a_half_written_or_foreign_file_is_refused(
    database: Database,
    settings: Settings,
    tenants: tuple[Tenant, Tenant],
    witness: Witness,
    tmp_path: Path,
) -> None:
    path = await archive(database, settings, "client_001", now=NOW)
    other = await archive(database, settings, "client_002", now=NOW)
    whole = path.read_bytes()
    half = tmp_path / "half.zip"
    half.write_bytes(whole[: len(whole) // 2])
    for file, error in ((half, BrokenArchive), (other, BrokenArchive), (tmp_path / "no", NotFound)):
        with pytest.raises(error):
            await restore(database, settings, "client_001", now=NOW, file=file)
    assert not await witness.fetchval("SELECT to_regnamespace('client_001') IS NOT NULL")
    assert (await restore(database, settings, "client_001", now=NOW, file=path)).state


@pytest.mark.parametrize("member", ["services.csv", "manifest.json"])
async def test_an_altered_archive_is_refused(
    database: Database,
    settings: Settings,
    tenants: tuple[Tenant, Tenant],
    tmp_path: Path,
    member: str,
) -> None:
    path = await archive(database, settings, "client_001", now=NOW)
    altered = tmp_path / "altered.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(altered, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == member:
                data, whole = data.replace(b"1500.00", b"0001.00").replace(b"t0001", b"t0002"), data
                assert data != whole
            new.writestr(name, data)
    with pytest.raises(BrokenArchive, match="altered"):
        await restore(database, settings, "client_001", now=NOW, file=altered)


async def test_a_writer_in_the_schema_is_waited_for_and_its_row_is_in_the_archive(
    database: Database, settings: Settings, tenants: tuple[Tenant, Tenant], witness: Witness
) -> None:
    writing = witness.transaction()
    await writing.start()
    await witness.execute("INSERT INTO client_001.services (name) VALUES ('В последний миг')")
    task = asyncio.create_task(archive(database, settings, "client_001", now=NOW))
    watcher = await open_database(settings)

    async def archive_waits() -> bool:
        async with watcher.owner() as conn:
            return await somebody_waits(conn.raw)

    await until(archive_waits, "the archive waits for the writer")
    await watcher.close()
    await writing.commit()
    await task
    await restore(database, settings, "client_001", now=NOW)
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 2


@pytest.mark.parametrize("held", ["client_001.services", "shared.archives"])
async def test_an_archiving_that_is_killed_has_dropped_nothing(
    database: Database,
    settings: Settings,
    tenants: tuple[Tenant, Tenant],
    witness: Witness,
    held: str,
) -> None:
    """Killed before the first row is read, and after the file is in its place."""
    async with stopped_at(witness, f"LOCK TABLE {held} IN EXCLUSIVE MODE"):
        await kill_when_waiting(settings, witness, "archive")
    async with database.shared() as conn:
        assert (await store.get(conn, "client_001")).state is State.AWAITING_BOT
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1
    files = list((settings.data_dir / "archive").glob("client_001-*.zip"))
    assert len(files) == (held == "shared.archives")
    path = await archive(database, settings, "client_001", now=NOW)
    assert path not in files
    await restore(database, settings, "client_001", now=NOW)
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1


@pytest.mark.parametrize("held", ["shared.tenant_versions", "shared.due", "shared.journal"])
async def test_a_restoring_that_is_killed_has_made_nothing(
    database: Database,
    settings: Settings,
    tenants: tuple[Tenant, Tenant],
    witness: Witness,
    held: str,
) -> None:
    await archive(database, settings, "client_001", now=NOW)
    async with stopped_at(witness, f"LOCK TABLE {held} IN EXCLUSIVE MODE"):
        await kill_when_waiting(settings, witness, "restore")
    async with database.shared() as conn:
        assert (await store.get(conn, "client_001")).state is State.ARCHIVED
    assert not await witness.fetchval("SELECT to_regnamespace('client_001') IS NOT NULL")
    await restore(database, settings, "client_001", now=NOW)
    assert await witness.fetchval("SELECT count(*) FROM client_001.services") == 1


@asynccontextmanager
async def stopped_at(witness: Witness, lock: str) -> AsyncGenerator[None]:
    """Hold a lock, so that whoever needs it waits there."""
    async with witness.transaction():
        await witness.execute(lock)
        yield


async def kill_when_waiting(settings: Settings, witness: Witness, verb: str) -> None:
    """Run the command, and kill it by SIGKILL when it waits for a lock that somebody holds."""
    env = {
        **os.environ,
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "ZAPISANO_DATA_DIR": str(settings.data_dir),
    }
    agreed = ("--yes",) if verb == "archive" else ()
    command = (sys.executable, "-P", "-m", "zapisano", "tenants", verb, "client_001", *agreed)
    process = await asyncio.create_subprocess_exec(*command, env=env)
    async with asyncio.timeout(30):
        while not await somebody_waits(witness):
            assert process.returncode is None
    process.kill()
    assert await process.wait() == -signal.SIGKILL
