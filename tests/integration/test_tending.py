"""What time brings to credits: it is done for accounts that nobody asks for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import asyncpg
import pytest

from zapisano.clock import utc_now
from zapisano.credits.jobs import EVERY, LOOK_AGAIN, Tend, Tending, sweep
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Item, Rules, Verb
from zapisano.db import Database, ledger
from zapisano.errors import Busy
from zapisano.jobs import Runner
from zapisano.settings import Settings
from zapisano.worker import handlers_of, open_parts, prepare

Witness = asyncpg.Connection
HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def install(database: Database) -> None:
    async with database.owner() as conn:
        await ledger.upgrade(conn)


@pytest.fixture
def installed(with_ledger: None, database: Database) -> Database:
    return database


@pytest.fixture
def book(installed: Database, settings: Settings, clock: Clock) -> Ledger:
    return Ledger(installed, Rules.of(settings), clock)


async def hold(book: Ledger, email: str, until: datetime) -> None:
    await book.account(email)
    item = Item(email, Verb.HOLD, Decimal("7.00"), operation="call", hold=uuid4(), expires_at=until)
    await book.post(item)


async def grant(book: Ledger, email: str, until: datetime) -> None:
    await book.account(email)
    item = Item(email, Verb.GRANT, Decimal("5.00"), operation="promo", expires_at=until)
    await book.post(item)


async def balances(witness: Witness) -> dict[str, tuple[Decimal, Decimal]]:
    rows = await witness.fetch("SELECT email, balance, held FROM public.user_balances")
    return {row["email"].partition("@")[0]: (row["balance"], row["held"]) for row in rows}


async def until(holds: Callable[[], Awaitable[object]]) -> None:
    deadline = time.monotonic() + 30
    while not await holds():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.05)


FULL, HELD = (Decimal("50.00"), Decimal(0)), (Decimal("43.00"), Decimal("7.00"))


async def test_what_is_due_ends_and_the_rest_goes_on(
    book: Ledger, installed: Database, settings: Settings, clock: Clock, witness: Witness
) -> None:
    await hold(book, "held@example.org", clock() + HOUR)
    await hold(book, "longer@example.org", clock() + 3 * HOUR)
    await grant(book, "granted@example.org", clock() + HOUR)
    await hold(book, "both@example.org", clock() + HOUR)
    await grant(book, "both@example.org", clock() + HOUR)
    assert await sweep(installed, settings, clock) == 0
    clock.now += HOUR
    assert await sweep(installed, settings, clock) == 4
    assert await balances(witness) == {
        "held": FULL,
        "longer": HELD,
        "granted": FULL,
        "both": FULL,
    }
    assert await sweep(installed, settings, clock) == 0


async def test_two_sweeps_at_once_end_each_thing_once(
    book: Ledger, installed: Database, settings: Settings, clock: Clock, witness: Witness
) -> None:
    for n in range(20):
        await hold(book, f"{n}@example.org", clock() + HOUR)
    clock.now += HOUR
    ended = await asyncio.gather(*(sweep(installed, settings, clock) for _ in range(3)))
    assert sum(ended) == 20
    assert set((await balances(witness)).values()) == {FULL}


async def test_an_account_that_fails_does_not_stop_the_others(
    book: Ledger, installed: Database, settings: Settings, clock: Clock, witness: Witness
) -> None:
    for n, name in enumerate(("broken", "one", "two")):
        await hold(book, f"{name}@example.org", clock() + HOUR + timedelta(seconds=n))
    await witness.execute(
        """CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               RAISE EXCEPTION 'a bug'; END $$;
           CREATE TRIGGER refuse BEFORE UPDATE ON public.user_balances
               FOR EACH ROW WHEN (OLD.email LIKE 'broken%') EXECUTE FUNCTION public.refuse()"""
    )
    clock.now += 2 * HOUR
    assert await sweep(installed, settings, clock) == 2
    assert await balances(witness) == {"broken": HELD, "one": FULL, "two": FULL}
    await witness.execute("DROP TRIGGER refuse ON public.user_balances")
    assert await sweep(installed, settings, clock) == 1


async def test_a_lost_database_is_no_fault_of_an_account(
    book: Ledger,
    installed: Database,
    settings: Settings,
    clock: Clock,
    witness: Witness,
    postgres: str,
) -> None:
    for n in range(3):
        await hold(book, f"{n}@example.org", clock() + HOUR)
    clock.now += HOUR
    lock = witness.transaction()
    await lock.start()
    await witness.execute("SELECT id FROM public.user_balances FOR UPDATE")
    sweeping = asyncio.create_task(sweep(installed, settings, clock))
    admin = await asyncpg.connect(postgres)
    hang_up = """SELECT pg_terminate_backend(a.pid)
                 FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid
                 WHERE a.datname = $1 AND NOT l.granted"""
    await until(lambda: admin.fetchval(hang_up, installed.name))
    with pytest.raises(Busy):
        await sweeping
    await lock.rollback()
    await admin.close()
    assert set((await balances(witness)).values()) == {HELD}
    assert await sweep(installed, settings, clock) == 3


async def test_it_comes_again_and_notices_an_installation(
    database: Database, settings: Settings, clock: Clock, witness: Witness
) -> None:
    tending = Tending(settings, database, clock)

    async def next_after() -> timedelta:
        await tending.tend(Tend())
        at = await witness.fetchval("SELECT at FROM shared.due WHERE kind = 'credits.tend'")
        return at - clock()

    assert await next_after() == LOOK_AGAIN
    await install(database)
    assert await next_after() == EVERY
    assert await next_after() == EVERY


async def test_a_worker_does_it_for_credits_that_were_installed_while_it_ran(
    settings: Settings, clock: Clock, witness: Witness
) -> None:
    async with open_parts(settings, clock) as parts:
        await prepare(parts)
        runner = Runner(parts.database, handlers_of(parts), clock)
        running = asyncio.create_task(runner.run(lambda: None))
        looks = "SELECT at > $1 FROM shared.due WHERE kind = 'credits.tend'"
        await until(lambda: witness.fetchval(looks, clock()))
        await install(parts.database)
        book = Ledger(parts.database, Rules.of(settings), clock)
        await hold(book, "anna@example.org", clock() + HOUR)
        clock.now += HOUR
        await until(lambda: witness.fetchval("SELECT held = 0 FROM public.user_balances"))
        assert (await balances(witness))["anna"] == FULL
        await book.close()
        runner.stop()
        await running
