"""Jobs: committed with their transaction, done at least once, picked up after a crash."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import httpx
import pytest
from programs.job_worker import Errand

from zapisano.app import create_webhook
from zapisano.db import Database
from zapisano.errors import BrokenSetting, NotFound
from zapisano.jobs import enqueue, schedule, tick, unschedule
from zapisano.jobs.runner import ATTEMPTS_ON_A_BUG, backoff
from zapisano.jobs.store import page, prune
from zapisano.ops.database import check_database
from zapisano.ops.jobs import requeue, show_all
from zapisano.settings import Settings

Witness = asyncpg.Connection
PROGRAM = Path(__file__).with_name("programs") / "job_worker.py"
HINT = "Held ones are shown by: zapisano jobs list --held"
NOW = datetime(2026, 2, 14, 12, 0, tzinfo=UTC)


def environment(settings: Settings) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "DATABASE_POOL_SIZE": "3",
    }


@asynccontextmanager
async def worker(settings: Settings) -> AsyncGenerator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, PROGRAM], env=environment(settings), stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(holds: Callable[[], object], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not await holds():  # pyright: ignore[reportGeneralTypeIssues]  # lambdas of awaitables
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.05)


@pytest.fixture
async def errands(witness: Witness, database: Database) -> None:
    await witness.execute(
        """CREATE TABLE shared.errands
           (name text PRIMARY KEY, starts int NOT NULL, done boolean NOT NULL DEFAULT false,
            mended boolean NOT NULL DEFAULT false);
           GRANT ALL ON shared.errands TO booking_app"""
    )


async def give(database: Database, name: str, how: str = "well") -> None:
    async with database.shared() as conn:
        await enqueue(conn, Errand(name, how))


def is_done(witness: Witness, name: str) -> Callable[[], object]:
    return lambda: witness.fetchval("SELECT done FROM shared.errands WHERE name = $1", name)


async def test_a_job_lives_and_dies_with_its_transaction(
    database: Database, witness: Witness
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.shared() as conn:
            await enqueue(conn, Errand("never"))
            raise ZeroDivisionError
    assert await witness.fetchval("SELECT count(*) FROM shared.pgqueuer") == 0


@pytest.mark.usefixtures("errands")
async def test_a_killed_workers_job_is_taken_up_within_ten_seconds(
    database: Database, witness: Witness, settings: Settings
) -> None:
    await give(database, "survivor", "hang once")
    async with worker(settings) as first:
        await until(lambda: witness.fetchval("SELECT starts = 1 FROM shared.errands"))
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.monotonic()
        async with worker(settings):
            await until(is_done(witness, "survivor"))
        # A product promise, not a benchmark: the issue's own bound.
        assert time.monotonic() - killed < 10


@pytest.mark.usefixtures("errands")
async def test_what_is_away_is_retried_and_what_is_refused_is_dropped(
    database: Database, witness: Witness, settings: Settings
) -> None:
    await give(database, "flaky", "away twice")
    await give(database, "wrong", "refused")
    async with worker(settings):
        await until(is_done(witness, "flaky"))
        await until(lambda: witness.fetchval("SELECT count(*) = 0 FROM shared.pgqueuer"))
    rows = await witness.fetch("SELECT name, starts, done FROM shared.errands ORDER BY name")
    assert [tuple(row) for row in rows] == [("flaky", 3, True), ("wrong", 1, False)]


@pytest.mark.usefixtures("errands")
async def test_a_job_that_kills_its_worker_again_and_again_is_held(
    database: Database, witness: Witness, settings: Settings
) -> None:
    await give(database, "poison", "poison")
    for kills in (1, 2):
        async with worker(settings) as killed:
            await ended(killed)
        assert killed.returncode == -signal.SIGKILL
        counted = (
            "SELECT starts, attempts FROM shared.job_starts JOIN shared.pgqueuer ON id = job_id"
        )
        assert tuple(await witness.fetchrow(counted) or ()) == (kills, 0)
        # How long the dead worker's job is left alone is another test's matter.
        await witness.execute("UPDATE shared.pgqueuer SET heartbeat = now() - interval '1 minute'")
    # Three more kills, then the next start is one too many.
    await witness.execute("UPDATE shared.job_starts SET starts = starts + 3")
    async with worker(settings):
        await until(lambda: witness.fetchval("SELECT status = 'failed' FROM shared.pgqueuer"))
    assert await witness.fetchval("SELECT starts FROM shared.errands") == 2


async def ended(process: subprocess.Popen[bytes]) -> None:
    await asyncio.wait_for(asyncio.to_thread(process.wait), 20)


async def hold_a_bug(database: Database, witness: Witness, name: str = "clumsy") -> int:
    """Beside a worker: let a job with a bug fail until it is held; return the job's id."""
    await give(database, name, "bug")

    async def failed(times: int) -> bool:
        found = await witness.fetchval("SELECT starts FROM shared.errands WHERE name = $1", name)
        return (found or 0) >= times

    # A bug may pass, so it is tried again, and after a pause.
    await until(lambda: failed(3))

    async def all_but_the_last_failure() -> bool:
        """Spare the test the two minutes that the other five take."""
        return bool(
            await witness.fetchval(
                """WITH waiting AS (
                       UPDATE shared.pgqueuer SET execute_after = now()
                       WHERE status = 'queued' AND attempts >= 3 RETURNING id
                   )
                   UPDATE shared.job_starts AS s SET bugs = $1 FROM waiting AS w
                   WHERE s.job_id = w.id RETURNING true""",
                ATTEMPTS_ON_A_BUG - 1,
            )
        )

    await until(all_but_the_last_failure)
    await until(
        lambda: witness.fetchval("SELECT true FROM shared.pgqueuer WHERE status = 'failed'")
    )
    return int(await witness.fetchval("SELECT id FROM shared.pgqueuer WHERE status = 'failed'"))


FULL_DISK = """CREATE SEQUENCE shared.refusals;
    CREATE FUNCTION shared.no_room() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
        PERFORM nextval('shared.refusals');
        RAISE EXCEPTION USING ERRCODE = 'disk_full', MESSAGE = 'No space left on device';
    END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON shared.pgqueuer_log
        FOR EACH ROW WHEN (NEW.status IN ('queued', 'failed')) EXECUTE FUNCTION shared.no_room();
    CREATE TRIGGER no_room BEFORE UPDATE ON shared.pgqueuer
        FOR EACH ROW WHEN (NEW.status = 'picked') EXECUTE FUNCTION shared.no_room()"""
ROOM_AGAIN = """DROP TRIGGER no_room ON shared.pgqueuer;
    DROP TRIGGER no_room ON shared.pgqueuer_log; DROP FUNCTION shared.no_room();
    UPDATE shared.errands SET mended = true"""


@pytest.mark.usefixtures("errands")
async def test_a_full_disk_holds_no_job_and_ends_no_worker(
    database: Database, witness: Witness, settings: Settings
) -> None:
    """The server answers as one without room, again and again."""
    await give(database, "paid", "no room")
    async with worker(settings) as process:
        await until(lambda: witness.fetchval("SELECT starts > 0 FROM shared.errands"))
        async with witness.transaction():
            await witness.execute(FULL_DISK)
        await give(database, "later")
        await until(lambda: witness.fetchval("SELECT last_value >= 8 FROM shared.refusals"))
        assert process.poll() is None
        assert not await witness.fetchval("SELECT bool_or(done) FROM shared.errands")
        await witness.execute(ROOM_AGAIN)
        await until(is_done(witness, "paid"))
        await until(is_done(witness, "later"))
    bugs = "SELECT count(*) FROM shared.job_starts WHERE bugs > 0"
    assert await witness.fetchval(bugs) == 0


@pytest.mark.usefixtures("errands")
async def test_housekeeping_that_fails_holds_up_nothing_that_is_due(
    database: Database, witness: Witness, settings: Settings
) -> None:
    await witness.execute(
        """INSERT INTO shared.pgqueuer_log (job_id, status, entrypoint, priority, created)
           VALUES (1, 'successful', 'test.errand', 0, now() - interval '9 days');
           CREATE FUNCTION shared.refuse() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'lock_not_available'; END $$;
           CREATE TRIGGER refuse BEFORE DELETE ON shared.pgqueuer_log
               FOR EACH ROW EXECUTE FUNCTION shared.refuse()"""
    )
    async with database.shared() as conn:
        await schedule(conn, Errand("due"), at=datetime.now(UTC), subject="")
    async with worker(settings):
        await until(is_done(witness, "due"))


@pytest.mark.usefixtures("errands")
async def test_a_missing_file_and_a_wrong_call_are_bugs_and_no_lost_connections(
    database: Database, witness: Witness, settings: Settings
) -> None:
    for how in ("no file", "wrong call"):
        await give(database, how, how)
    counted = "SELECT count(*) = 2 FROM shared.job_starts WHERE bugs > 0"
    async with worker(settings):
        await until(lambda: witness.fetchval(counted))


def zapisano(settings: Settings, *arguments: str) -> tuple[int, str]:
    """Run the command; how it ended and what it said."""
    ran = subprocess.run(
        [sys.executable, "-P", "-m", "zapisano", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.usefixtures("errands")
async def test_a_bug_is_retried_then_held_shown_and_done_again_when_it_is_mended(
    database: Database, witness: Witness, settings: Settings
) -> None:
    async with worker(settings):
        job = await hold_a_bug(database, witness)
        app = create_webhook(settings, database)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://webhook"
        ) as client:
            metrics = (await client.get("/metrics")).text
        assert 'zapisano_held_jobs{kind="test.errand"} 1.0\n' in metrics
        jobs = next(check for check in await check_database(settings) if check.name == "Jobs")
        assert jobs.found == "held, since they failed for good: test.errand: 1"
        code, listed = await asyncio.to_thread(zapisano, settings, "jobs", "list", "--held")
        _headings, row = listed.splitlines()
        assert (code, row.split("\t")[:3]) == (0, [str(job), "test.errand", "held"])
        starts = await witness.fetchval("SELECT starts FROM shared.errands")
        assert row.endswith(f"\t{starts - 1}\t{starts}\tZeroDivisionError")

        await witness.execute("UPDATE shared.errands SET mended = true")
        assert "zapisano jobs requeue" in jobs.remedy
        told = await asyncio.to_thread(zapisano, settings, "jobs", "requeue", str(job), "987654")
        assert told == (1, f"Queued again: {job}.\nNot held: 987654. {HINT}\n")
        await until(is_done(witness, "clumsy"))
        await until(lambda: witness.fetchval("SELECT count(*) = 0 FROM shared.pgqueuer"))


@pytest.mark.usefixtures("errands")
async def test_requeued_jobs_are_as_if_never_tried(
    database: Database, witness: Witness, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with worker(settings):
        job = await hold_a_bug(database, witness)
    await give(database, "waiting")
    with pytest.raises(NotFound, match=r"other\.kind"):
        await requeue(settings, [], "other.kind")
    for ids, kind in (([], ""), ([job], Errand.kind)):
        with pytest.raises(BrokenSetting):
            await requeue(settings, ids, kind)
    await requeue(settings, [], Errand.kind)
    assert capsys.readouterr().out == f"Queued again: {job}.\n"
    await show_all(settings, only_held=True)
    assert capsys.readouterr().out == ""
    await show_all(settings, only_held=False)
    headings, *rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert headings[4:] == ["failures", "starts", "last error"]
    states = [(row[0], row[2], row[4], row[5]) for row in rows]
    assert states == [(str(job), "waiting", "0", "0"), (str(job + 1), "waiting", "0", "0")]


async def test_pruning_keeps_what_went_wrong_with_jobs_that_are_still_there(
    database: Database, witness: Witness
) -> None:
    await give(database, "held")
    job = await witness.fetchval(
        "UPDATE shared.pgqueuer SET status = 'failed', entrypoint = 'x' RETURNING id"
    )
    for about in (job, job + 1):
        for traceback in ({"exception_type": "ZeroDivisionError"}, None):
            await witness.execute(
                """INSERT INTO shared.pgqueuer_log
                       (job_id, status, priority, entrypoint, traceback, created)
                   VALUES ($1, 'failed', 0, 'x', $2::text::jsonb, $3)""",
                about,
                json.dumps(traceback) if traceback else None,
                NOW - timedelta(days=30),
            )
    async with database.shared() as conn:
        await prune(conn, log_before=NOW, held_before=NOW, held_kinds=[])
        (shown,) = await page(conn, after=0, limit=9, only_held=True)
    assert shown.error == "ZeroDivisionError"
    assert await witness.fetch("SELECT job_id FROM shared.pgqueuer_log") == [(job,)]


async def test_due_rows_become_jobs_when_their_time_has_come(
    database: Database, witness: Witness
) -> None:
    async with database.shared() as conn:
        await schedule(conn, Errand("soon"), at=NOW + timedelta(hours=1), subject="soon")
        await schedule(conn, Errand("moved"), at=NOW + timedelta(hours=1), subject="moved")
        await schedule(conn, Errand("moved"), at=NOW + timedelta(hours=3), subject="moved")
        await schedule(conn, Errand("gone"), at=NOW, subject="gone")
        await unschedule(conn, Errand, subject="gone")
        assert await tick(conn, NOW) == 0
        assert await tick(conn, NOW + timedelta(hours=2)) == 1
        assert await tick(conn, NOW + timedelta(hours=2)) == 0
    payload = await witness.fetchval("SELECT payload FROM shared.pgqueuer")
    assert b"soon" in payload
    assert await witness.fetchval("SELECT subject FROM shared.due") == "moved"


async def test_two_ticks_at_once_make_each_job_once(database: Database, witness: Witness) -> None:
    async with database.shared() as conn:
        for number in range(50):
            await schedule(conn, Errand(f"e{number}"), at=NOW, subject=str(number))

    async def one_tick() -> int:
        async with database.shared() as conn:
            return await tick(conn, NOW)

    made = await asyncio.gather(*(one_tick() for _ in range(4)))
    assert sum(made) == 50
    assert await witness.fetchval("SELECT count(*) FROM shared.pgqueuer") == 50


@pytest.mark.usefixtures("errands")
async def test_a_partner_that_asks_for_patience_gets_it(
    database: Database, witness: Witness, settings: Settings
) -> None:
    await give(database, "patient", "told to wait")
    async with worker(settings):
        await until(
            lambda: witness.fetchval(
                """SELECT execute_after > now() + interval '9 minutes' FROM shared.pgqueuer
                   WHERE attempts = 1"""
            )
        )


def test_the_pause_doubles_and_is_bounded() -> None:
    pauses = [backoff(n).total_seconds() for n in range(30)]
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert max(pauses) == 300


@pytest.mark.usefixtures("errands")
async def test_a_busy_database_holds_no_job(
    database: Database, witness: Witness, settings: Settings
) -> None:
    """A worker that cannot even count a start tries again, as with any other trouble."""
    await give(database, "patient")
    lock = witness.transaction()
    await lock.start()
    await witness.execute("LOCK TABLE shared.job_starts IN ACCESS EXCLUSIVE MODE")
    async with worker(settings):
        other = await asyncpg.connect(settings.database_url.get_secret_value())
        await until(
            lambda: other.fetchval("SELECT max(attempts) > 0 FROM shared.pgqueuer"), seconds=40
        )
        await other.close()
        await lock.rollback()
        await until(is_done(witness, "patient"))
