"""How much the ledger reads for what it does: no more in a large ledger than in an empty one.

The connection has made its plans while there was nothing; a plan made then must not turn into a
scan of everything later. PostgreSQL counts what a transaction has read.
"""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from wallets import ANNA, RULES, D, charge

from shared_servers import Servers
from zapisano.credits.model import Item, Verb
from zapisano.credits.store import movements as store
from zapisano.db import RawConnection, SharedConnection
from zapisano.db.database import database_name
from zapisano.db.pool import connect
from zapisano.settings import Settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
# Not a real ledger: only as large as one, with every index full.
ACCOUNTS = """INSERT INTO public.user_balances
           (email, balance, is_test_account, head, movement, expires_at)
       SELECT 'user' || n || '@example.org', 1000, false, '\\x00', n, '2027-01-01Z'
       FROM generate_series(1, 20000) AS n"""
UNKEYED = """
    INSERT INTO credits.postings (account, movement, amount, counter, kind, balance_after,
        remainder, created_at, link)
    SELECT 10 + n % 20000, 500000 + n, -1, -1, 'charge', 1, 0, now(), '\\x00'
    FROM generate_series(1, 20000) AS n"""
FILL = (
    """INSERT INTO public.credit_transactions (email, amount, operation, balance_after)
       SELECT 'user' || n % 20000 || '@example.org', 1, 'x', 1
       FROM generate_series(1, 100000) AS n""",
    """INSERT INTO credits.postings (account, movement, amount, counter, kind, balance_after,
           remainder, key, refers, created_at, link)
       SELECT 10 + n % 20000, 1000000 + n, -1, -1, 'charge', 1, 0, 'k' || n, n, now(), '\\x00'
       FROM generate_series(1, 100000) AS n""",
    # And one account with a long history.
    """INSERT INTO credits.postings (account, movement, amount, counter, kind, balance_after,
           remainder, key, refers, created_at, link)
       SELECT a.id, 2000000 + n, -1, -1, 'charge', 1, 0, 'k' || n, n, now(), '\\x00'
       FROM public.user_balances AS a, generate_series(1, 20000) AS n
       WHERE a.email = 'anna@example.org'""",
    """INSERT INTO credits.postings (account, movement, amount)
       SELECT -1, 1000000 + n, 1 FROM generate_series(1, 100000) AS n""",
    """INSERT INTO credits.holds (id, account, amount, promo, state, opened, expires_at)
       SELECT gen_random_uuid(), 10 + n % 20000, 1, 0, 'open', n, '2027-01-01Z'
       FROM generate_series(1, 50000) AS n""",
    """INSERT INTO credits.grants (id, account, amount, remaining, expires_at)
       SELECT n, 10 + n % 20000, 1, 1, '2027-01-01Z' FROM generate_series(1000000, 1050000) AS n""",
    """INSERT INTO credits.draws (movement, grant_id, amount)
       SELECT n, n, 1 FROM generate_series(1000000, 1050000) AS n""",
    "SELECT setval('credits.movements', 9000000)",
)


@pytest.fixture
async def raw(
    servers: Servers, with_ledger: None, settings: Settings
) -> AsyncGenerator[RawConnection]:
    """A session as ours are, of somebody who may see what a transaction has read."""
    name = database_name(settings.database_url.get_secret_value())
    connection = await connect(servers.postgres.dsn(name, user="postgres"))
    yield connection
    await connection.close()


async def everything(conn: SharedConnection) -> int:
    """Do one of each; return how many things were asked."""

    async def post(*items: Item) -> int | None:
        return (await store.post(conn, RULES, items, NOW))[0].movement

    hold, other, short = uuid4(), uuid4(), uuid4()
    charged = await post(charge(ANNA, "1.00"))
    await store.charge(conn, RULES, charge(ANNA, "1.00"), NOW)
    await store.charge(conn, RULES, charge(ANNA, "1.00", str(uuid4())), NOW)
    await post(Item(ANNA, Verb.REFUND, D("0.10"), refers=charged))
    await post(Item(ANNA, Verb.GRANT, D(9), expires_at=LATER))
    await post(*(_hold(one, LATER) for one in (hold, other)))
    await post(_hold(short, NOW + timedelta(seconds=1)))
    await post(
        Item(ANNA, Verb.SETTLE, D("0.50"), hold=hold, key=str(uuid4())),
        Item(ANNA, Verb.RELEASE, hold=other),
        charge(ANNA, "0.01", "k"),
    )
    await post(charge(ANNA, "0.01", "k"))  # a replay
    await store.renew(conn, ANNA, short, NOW, NOW + timedelta(seconds=2))
    assert await store.expire(conn, RULES, ANNA, LATER) == 2
    await store.open_account(conn, RULES, f"{uuid4()}@example.org")
    await store.open_account(conn, RULES, ANNA)
    return 20


def _hold(hold: UUID, ends: datetime) -> Item:
    return Item(ANNA, Verb.HOLD, D(1), hold=hold, expires_at=ends)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("began", ["empty", "without keys"])
async def test_a_plan_of_a_young_ledger_is_good_for_a_full_one(
    raw: RawConnection, known: bool, began: str
) -> None:
    """Whether or not PostgreSQL has looked at the tables since.

    While no key was ever used, to read all keys looks like the shortest way to one.
    """
    conn = SharedConnection(raw)
    assert await store.open_account(conn, RULES, ANNA)
    if began == "without keys":
        for statement in (ACCOUNTS, UNKEYED, "ANALYZE"):
            await raw.execute(statement)
    for _ in range(6):  # PostgreSQL decides on a plan for good at the sixth time
        await everything(conn)
    for statement in (*([ACCOUNTS] if began == "empty" else []), *FILL):
        await raw.execute(statement)
    if known:
        await raw.execute("ANALYZE")
    # What was read until now is not ours.
    await raw.execute("SELECT pg_stat_force_next_flush()")
    async with raw.transaction():
        asked = await everything(conn)
        rows = await raw.fetch(
            """SELECT relname, seq_tup_read, coalesce(idx_tup_fetch, 0)
               FROM pg_stat_xact_user_tables WHERE schemaname IN ('public', 'credits')"""
        )
        pages = await raw.fetch(
            """SELECT indexrelname AS name, pg_stat_get_xact_blocks_fetched(indexrelid) AS read
               FROM pg_stat_user_indexes WHERE schemaname IN ('public', 'credits')"""
        )
    read = {name: (scanned, fetched) for name, scanned, fetched in rows}
    assert read["user_balances"][1] > 0
    assert {n: r for n, r in read.items() if r[0] > 100 or r[1] > 10 * asked} == {}
    assert max(row["read"] for row in pages) > 0
    assert {row["name"]: row["read"] for row in pages if row["read"] > 20 * asked} == {}


async def test_a_charge_alone_that_was_planned_for_a_handful_of_accounts(
    raw: RawConnection,
) -> None:
    """PostgreSQL has looked at the tables once, when there was next to nothing."""
    conn = SharedConnection(raw)
    assert await store.open_account(conn, RULES, ANNA)
    await raw.execute("ANALYZE")
    for _ in range(12):
        assert await store.charge(conn, RULES, charge(ANNA, "0.01"), NOW)
    await raw.execute(ACCOUNTS)
    await raw.execute("SELECT pg_stat_force_next_flush()")
    async with raw.transaction():
        assert await store.charge(conn, RULES, charge(ANNA, "0.01"), NOW)
        read = await raw.fetchrow(
            """SELECT seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables
               WHERE relname = 'user_balances'"""
        )
    assert read is not None
    assert read["seq_tup_read"] == 0
    assert 0 < read["idx_tup_fetch"] < 20
