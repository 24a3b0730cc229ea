"""An account's history: pages of it, what narrows them, and all of it as text."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import simplejson
from credit_book import ANNA, BORIS, Book, the_original

from zapisano.credits import export, history
from zapisano.credits.entry import Entry, Filter, Kind, Place
from zapisano.credits.model import Account, Verb
from zapisano.credits.store import history as store
from zapisano.db import Database
from zapisano.errors import Refused

Witness = asyncpg.Connection
LONG_AGO = datetime(2026, 1, 22, tzinfo=UTC)


async def pages(
    book: Book, account: Account, where: Filter = history.EVERYTHING, limit: int = 3
) -> list[Entry]:
    """All pages, each with the cursor as a client gives it back."""
    found: list[Entry] = []
    cursor: str | None = None
    while True:
        async with book.database.shared() as conn:
            after = Place.of(cursor) if cursor else None
            page = await history.page(conn, account, where=where, after=after, limit=limit)
        assert len(page.entries) <= limit
        found += page.entries
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_history_tells_every_movement_once_newest_first(book: Book) -> None:
    await book.a_bit_of_everything()
    await book.post(BORIS, Verb.CHARGE, "1.00")
    account = await book.account(ANNA)
    found = await pages(book, account)
    assert [entry.kind.value for entry in reversed(found)] == [
        *("opening", "topup", "charge", "refund", "charge", "charge", "grant", "grant"),
        *("hold", "release", "charge", "hold", "release", "hold", "adjust"),
        *("expire", "lapse", "charge"),
    ]
    movements = [entry.movement for entry in found]
    assert movements == sorted(set(movements), key=lambda m: -(m or 0))
    assert sum(entry.amount for entry in found) == found[0].balance_after == account.balance
    charge = found[-3]
    assert (charge.amount, charge.operation, charge.metadata) == (
        Decimal("-7.50"),
        "charge",
        '{"tokens": 1.10}',
    )
    assert (found[-4].refers, found[-4].transaction) == (charge.movement, None)
    assert charge.transaction is not None
    assert found[-9].hold == found[-10].hold == found[-11].hold is not None
    for limit in (1, 7, 17, 18, 19, 100):
        assert await pages(book, account, limit=limit) == found


@pytest.mark.parametrize(
    ("where", "kinds"),
    [
        (Filter.of(["hold", "lapse"]), ["lapse", "hold", "hold", "hold"]),
        (Filter.of(contains="TOK"), ["charge", "charge"]),
        (Filter.of(["topup"], contains="nothing"), []),
        (Filter.of(until=LONG_AGO), []),
        (Filter.of(["opening"], since=LONG_AGO), ["opening"]),
    ],
)
async def test_a_history_can_be_narrowed(book: Book, where: Filter, kinds: list[str]) -> None:
    await book.a_bit_of_everything()
    found = await pages(book, await book.account(ANNA), where, limit=1)
    assert [entry.kind.value for entry in found] == kinds


async def test_since_and_until_meet_without_a_gap_or_an_overlap(book: Book) -> None:
    await book.a_bit_of_everything()
    account = await book.account(ANNA)
    found = await pages(book, account)
    border = found[8].created_at
    later = await pages(book, account, Filter.of(since=border))
    earlier = await pages(book, account, Filter.of(until=border))
    assert later + earlier == found
    assert border in {entry.created_at for entry in later}


async def test_searching_knows_russian_letters_and_no_wildcards(book: Book) -> None:
    for operation in ("Анализ ЭКГ 100%", "анализ крови"):
        await book.post(ANNA, Verb.CHARGE, "1.00", operation=operation)
    account = await book.account(ANNA)
    for text, count in (("аНАЛИЗ", 2), ("экг", 1), ("%", 1), ("_", 0)):
        assert len(await pages(book, account, Filter.of(contains=text))) == count


async def test_lines_that_come_between_two_pages_neither_repeat_nor_hide_any(book: Book) -> None:
    await book.a_bit_of_everything()
    account = await book.account(ANNA)
    async with book.database.shared() as conn:
        first = await history.page(conn, account, limit=4)
    await book.post(ANNA, Verb.TOPUP, "1.00")
    async with book.database.shared() as conn:
        second = await history.page(conn, account, after=first.following, limit=100)
    assert len(first.entries + second.entries) == 18
    assert len({entry.movement for entry in first.entries + second.entries}) == 18


async def test_what_the_original_system_charged_comes_after_the_oldest_posting(
    book: Book, database: Database, witness: Witness
) -> None:
    await the_original(
        witness,
        ("Anna@Example.com", "5.50", LONG_AGO),
        ("Anna@Example.com", "6.50", LONG_AGO),
        ("Anna@Example.com", "7.50", LONG_AGO - timedelta(days=1)),
        ("Anna@Example.com", "8.50", None),
        ("Anna@Example.com", "9.50", None),
        (BORIS, "1.00", LONG_AGO),
    )
    await book.post(ANNA, Verb.CHARGE, "1.00")
    account = await book.account(ANNA)
    assert account.email == "Anna@Example.com"
    found = await pages(book, account)
    assert [(e.kind.value, str(e.amount), e.transaction) for e in found] == [
        ("charge", "-1.00", 7),
        ("adoption", "50.00", None),
        ("charge", "-6.50", 2),
        ("charge", "-5.50", 1),
        ("charge", "-7.50", 3),
        ("charge", "-9.50", 5),
        ("charge", "-8.50", 4),
    ]
    assert {e.movement for e in found[2:]} == {None}
    for limit in (1, 2, 5, 6, 7):
        assert await pages(book, account, limit=limit) == found
    assert await pages(book, account, Filter.of(["adoption"])) == found[1:2]
    of_one_day = Filter.of(["charge"], since=LONG_AGO, until=LONG_AGO + timedelta(days=1))
    assert await pages(book, account, of_one_day, limit=1) == found[2:4]
    assert await pages(book, account, Filter.of(contains="экг"), limit=2) == found[2:]
    everybody = [e async for batch in history.stream_all(database) for e in batch]
    assert [e.transaction for e in everybody] == [1, 2, 3, 4, 5, 6, None, 7]


async def test_a_narrowed_page_looks_at_so_many_lines_and_no_more(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book.a_bit_of_everything()
    account = await book.account(ANNA)
    monkeypatch.setattr(history, "WINDOW", 4)
    async with book.database.shared() as conn:
        first = await history.page(conn, account, where=Filter.of(["opening"]))
    assert (first.entries, first.following is None) == ([], False)
    found = await pages(book, account, Filter.of(["opening"]))
    assert [entry.kind for entry in found] == [Kind.OPENING]


async def test_every_page_of_a_long_history_is_read_by_index(book: Book, witness: Witness) -> None:
    account = await book.account(ANNA)
    await fill(witness, account.id, 50_000)
    for where, before in (
        (history.EVERYTHING, 2**63 - 1),
        (Filter.of(["charge"], since=LONG_AGO, contains="gone"), 40_000),
    ):
        plan = await explained(
            witness,
            store.postings,
            account,
            where,
            before=before,
            limit=101,
            window=history.WINDOW,
        )
        assert "Seq Scan" not in plan, plan
        assert "Index Scan Backward using postings_pkey" in plan, plan
        assert "Sort" not in plan, plan
    for after in (None, Place(transaction=9000, created_at=LONG_AGO), Place(transaction=5)):
        plan = await explained(
            witness, store.carried, account, history.EVERYTHING, after=after, limit=101
        )
        assert "Seq Scan on credit_transactions" not in plan, plan
        assert "idx_transactions_email_date" in plan, plan


async def fill(witness: Witness, account: int, count: int) -> None:
    """A long history, of charges before the ledger and in it, beside that of many others."""
    await witness.execute(
        """INSERT INTO credit_transactions (email, amount, operation, balance_after, created_at)
           SELECT CASE WHEN n % 2 = 0 THEN $1 ELSE 'other' || n % 1000 END, 1, 'before', 0,
               $2::timestamptz - n * interval '1 second'
           FROM generate_series(1, $3) AS n""",
        ANNA,
        LONG_AGO,
        count,
    )
    await witness.execute(
        """WITH charged AS (
               INSERT INTO credit_transactions
                   (email, amount, operation, balance_after, created_at, movement)
               SELECT $1, 1, 'within', 0, now(), 100 + n FROM generate_series(1, $3) AS n
               RETURNING id, movement
           )
           INSERT INTO credits.postings (account, movement, amount, counter, kind, balance_after,
               remainder, transaction, created_at, link)
           SELECT $2, movement, -1, -1, 'charge', 0, 0, id, now(), ''
           FROM charged""",
        ANNA,
        account,
        count,
    )
    await witness.execute("ANALYZE credit_transactions")
    await witness.execute("ANALYZE credits.postings")


async def explained(
    witness: Witness, ask: Any, account: Account, where: Filter, **more: object
) -> str:
    """The plan of what a store function asks, and what it has read."""

    class Explaining:
        plan = ""

        async def fetch(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
            rows = await witness.fetch(
                f"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) {sql}", *arguments
            )
            self.plan = "\n".join(row[0] for row in rows)
            return []

    explaining = Explaining()
    await ask(explaining, account, where, **more)
    return explaining.plan


async def test_the_whole_history_streams_as_the_pages_tell_it(
    book: Book, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "BATCH_SIZE", 5)
    await book.a_bit_of_everything()
    await book.a_bit_of_everything(BORIS)
    account = await book.account(ANNA)
    batches = [batch async for batch in history.stream(database, account)]
    assert [len(batch) for batch in batches] == [5, 5, 5, 3]
    streamed = [entry for batch in batches for entry in batch]
    assert streamed == await pages(book, account)
    everybody = [e async for batch in history.stream_all(database) for e in batch]
    assert [e for e in everybody if e.email == ANNA] == streamed[::-1]
    assert len(everybody) == 36


async def test_exports_hold_every_line_exactly(book: Book, database: Database) -> None:
    await book.a_bit_of_everything()
    await book.post(
        ANNA, Verb.CHARGE, "0.50", operation='=1+1, "и"', metadata='{"a": [1.10, 1e400]}'
    )
    account = await book.account(ANNA)
    found = await pages(book, account)
    lines = "".join(
        [t async for t in export.text(history.stream(database, account), export.Form.JSONL)]
    )
    told = [simplejson.loads(line, use_decimal=True) for line in lines.splitlines()]
    assert [line["amount"] for line in told] == [entry.amount for entry in found]
    assert lines.startswith(
        f'{{"email": "{ANNA}", "id": {found[0].movement}, "kind": "charge", '
        '"amount": -0.50, "balanceAfter": '
    )
    assert told[0]["metadata"]["a"][0] == Decimal("1.10")
    written = "".join(
        [t async for t in export.text(history.stream(database, account), export.Form.CSV)]
    )
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [row["id"] for row in rows] == [str(entry.movement) for entry in found]
    assert rows[0]["operation"] == '\'=1+1, "и"'
    assert (rows[0]["amount"], rows[0]["refers"]) == ("-0.50", "")
    assert json.loads(rows[-3]["metadata"]) == {"tokens": 1.1}


def test_an_export_takes_what_is_text_for_no_formula() -> None:
    entry = Entry(
        email="+7@example.com",
        movement=None,
        kind=Kind.CHARGE,
        amount=Decimal("NaN"),
        balance_after=Decimal("-5.00"),
        operation="@SUM(A1)",
        metadata="-1",
        created_at=None,
        hold=UUID(int=0),
        refers=-1,
        transaction=-2,
    )
    assert export.csv_lines([entry]) == (
        "'+7@example.com,,charge,,-5.00,'@SUM(A1),'-1,,"
        "00000000-0000-0000-0000-000000000000,-1,-2\r\n"
    )
    assert simplejson.loads(export.json_lines([entry]))["amount"] is None


@pytest.mark.parametrize(
    "cursor",
    ["", "x", "bTEyMw=", "bTEyMw==", "m5", "ы", "bTk5OTk5OTk5OTk5OTk5OTk5OTk", "dC4", "A" * 5000,
     "dDk5OTk5OTk5OTk5OTk5OTk5OS4x", "bTAxMjM", "bTEyMw\n"],
)  # fmt: skip
def test_a_cursor_that_is_not_ours_is_refused(cursor: str) -> None:
    with pytest.raises(Refused, match="cursor: "):
        Place.of(cursor)


@pytest.mark.parametrize(
    "place",
    [Place(movement=123), Place(transaction=5), Place(transaction=5, created_at=LONG_AGO),
     Place(transaction=2**31, created_at=datetime(1969, 1, 1, 0, 0, 0, 7, tzinfo=UTC))],
)  # fmt: skip
def test_a_cursor_is_read_as_it_was_written(place: Place) -> None:
    assert Place.of(place.cursor) == place


async def test_impossible_questions_are_refused_with_the_field_named(book: Book) -> None:
    no_zone = datetime(2026, 1, 1)  # noqa: DTZ001 # what is refused
    for field, asked in (
        ("kind", partial(Filter.of, ["charge", "bribe"])),
        ("since", partial(Filter.of, since=no_zone)),
        ("until", partial(Filter.of, until=no_zone)),
        ("operation", partial(Filter.of, contains="x" * 201)),
        ("operation", partial(Filter.of, contains="\0")),
    ):
        with pytest.raises(Refused, match=f"^{field}: "):
            asked()
    account = await book.account(ANNA)
    for limit in (0, 101):
        async with book.database.shared() as conn:
            with pytest.raises(Refused, match=r"^limit: "):
                await history.page(conn, account, limit=limit)
