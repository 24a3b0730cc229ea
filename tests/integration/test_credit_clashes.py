"""Addresses that differ in case only: the operator keeps one, and nothing is lost on the way."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from credit_book import ANNA, BORIS, RULES, Book, the_original

from zapisano.credits import clashes, history, verify
from zapisano.credits.clashes import Decision
from zapisano.credits.model import AccountFrozen, TooMuch, Verb
from zapisano.credits.store import accounts as store
from zapisano.db import Database
from zapisano.db import ledger as chain
from zapisano.errors import NotFound, Refused

Witness = asyncpg.Connection
LONG_AGO = datetime(2026, 1, 22, tzinfo=UTC)


@pytest.fixture
async def adopted(database: Database, witness: Witness) -> Book:
    """Anna is there three times; accounts 1 to 3, with 10.00, 20.00 and -4.00."""
    spellings = ("Anna@example.com", ANNA, "ANNA@example.com", BORIS)
    await the_original(witness, *((one, "1.00", LONG_AGO) for one in spellings))
    balances = ("10.00", "20.00", "-4.00", "30.00")
    for number, balance in enumerate(balances, start=1):
        await witness.execute(
            "UPDATE user_balances SET balance = $2, total_spent = 1 WHERE id = $1",
            number,
            Decimal(balance),
        )
    async with database.owner() as conn:
        await chain.upgrade(conn)
        await conn.execute("SELECT credits.adopt()")
    return Book(database)


async def resolve(book: Book, email: str = ANNA, **asked: Any) -> Decision:
    async with book.database.shared() as conn:
        return await clashes.resolve(conn, RULES, email, now=book.now, **asked)


async def sound(book: Book) -> None:
    report = await verify.verify(book.database, floor=RULES.floor)
    assert report.findings == ()


async def test_the_kept_account_gets_what_the_others_had(
    adopted: Book, database: Database, witness: Witness
) -> None:
    with pytest.raises(AccountFrozen):
        await adopted.account(ANNA)
    async with database.shared() as conn:
        assert [one.id for one in await store.frozen(conn)] == [1, 2, 3]
    decision = await resolve(adopted, keep=1)
    assert [(one.id, one.balance, one.frozen) for one in decision.after] == [
        (1, Decimal("26.00"), None),
        (2, Decimal("0.00"), "merged"),
        (3, Decimal("0.00"), "merged"),
    ]
    assert [one.frozen for one in decision.before] == ["the address clashes"] * 3
    assert decision.left == 0
    account = await adopted.account(ANNA)
    assert (account.id, account.balance, account.total_spent) == (1, 26, 1)
    async with database.shared() as conn:
        page = await history.page(conn, account)
        assert await store.frozen(conn) == []
    assert [(e.kind.value, str(e.amount), e.operation) for e in page.entries[:3]] == [
        ("adjust", "-4.00", "Merged from ANNA@example.com"),
        ("adjust", "20.00", f"Merged from {ANNA}"),
        ("adoption", "10.00", "Carried over"),
    ]
    assert [e.email for e in page.entries[3:]] == ["ANNA@example.com", ANNA, "Anna@example.com"]
    await sound(adopted)
    # It stays so, whatever is adopted afterwards; and there is nothing more to decide.
    async with database.owner() as conn:
        await conn.execute("SELECT credits.adopt()")
    await adopted.post(ANNA, Verb.CHARGE, "1.00")
    assert (await adopted.account(ANNA)).balance == 25
    with pytest.raises(NotFound, match="Nothing about anna"):
        await resolve(adopted, keep=1)
    assert await witness.fetchval("SELECT balance FROM user_balances WHERE id = 4") == 30


async def test_a_debt_moves_as_far_as_the_kept_account_can_bear_it(
    adopted: Book, witness: Witness
) -> None:
    await witness.execute("UPDATE user_balances SET balance = -3 WHERE id IN (1, 2)")
    decision = await resolve(adopted, keep=1)
    assert [one.balance for one in decision.after] == [-5, -1, -4]
    assert decision.left == Decimal("-5.00")
    await sound(adopted)


async def test_what_was_in_use_before_it_clashed_gives_everything_back(
    book: Book, database: Database, witness: Witness
) -> None:
    await book.a_bit_of_everything()
    ends = book.now.replace(year=2030)
    await book.post(ANNA, Verb.GRANT, "9.00", expires_at=ends)
    await book.hold(ANNA, "3.00")
    await book.hold(ANNA, "8.00")
    had = (await book.account(ANNA)).balance + 11
    await witness.execute("INSERT INTO user_balances (email, balance) VALUES ('Anna@x.ru', 7)")
    await witness.execute("UPDATE user_balances SET email = 'Anna@Example.com' WHERE id = 2")
    async with database.owner() as conn:
        await conn.execute("SELECT credits.adopt()")
    book.now = book.now.replace(year=2027)  # its holds have ended meanwhile
    decision = await resolve(book, keep=2)
    assert [(one.balance, one.held, one.promo) for one in decision.after] == [
        (0, 0, 0),
        (had + 7, 0, 0),
    ]
    await sound(book)


@pytest.mark.parametrize("keep", [1, 2])
async def test_each_spelling_brings_its_own_charges_into_the_history(
    database: Database, witness: Witness, keep: int
) -> None:
    """The original goes on after we came, and makes the address once more; both had charges."""
    await the_original(witness, (ANNA, "1.00", LONG_AGO))
    async with database.owner() as conn:
        await chain.upgrade(conn)
    book = Book(database)
    await book.post(ANNA, Verb.CHARGE, "2.00", operation="ours")
    await witness.execute(
        """INSERT INTO user_balances (email, balance, total_spent)
           VALUES ('Anna@example.com', 9, 5);
           INSERT INTO credit_transactions (email, amount, operation, balance_after)
           VALUES ('Anna@example.com', 5, 'theirs', 9)"""
    )
    async with database.owner() as conn:
        await conn.execute("SELECT credits.adopt()")
    ids = [row["id"] for row in await witness.fetch("SELECT id FROM user_balances ORDER BY id")]
    await resolve(book, keep=ids[keep - 1])
    account = await book.account(ANNA)
    async with database.shared() as conn:
        page = await history.page(conn, account)
    carried = {one.operation for one in page.entries if one.movement is None}
    assert "theirs" in carried
    assert "ours" not in carried
    await sound(book)


async def test_our_charges_are_not_told_again_as_those_of_the_original(
    database: Database, witness: Witness
) -> None:
    """The original's rows come after us, with their own numbers: ours are below theirs."""
    async with database.owner() as conn:
        await chain.upgrade(conn)
    await witness.execute(
        """INSERT INTO user_balances (id, email, balance, total_spent)
           VALUES (700, $1, 40, 10)""",
        ANNA,
    )
    await witness.execute(
        """INSERT INTO credit_transactions (id, email, amount, operation, balance_after)
           VALUES (1000, $1, 10, 'theirs', 40)""",
        ANNA,
    )
    book = Book(database)
    await book.post(ANNA, Verb.CHARGE, "2.00", operation="ours")
    account = await book.account(ANNA)
    async with database.shared() as conn:
        page = await history.page(conn, account)
    expected = ["Carried over", "ours", "theirs"]
    assert sorted(one.operation for one in page.entries) == expected
    everybody = [e.operation async for batch in history.stream_all(database) for e in batch]
    assert sorted(everybody) == expected
    await witness.execute(
        """INSERT INTO credit_transactions (email, amount, operation, balance_after, movement)
           VALUES ($1, 1, 'as if it were ours', 1, 1)""",
        ANNA,
    )
    (forged,) = (await verify.verify(database, floor=RULES.floor)).findings
    assert forged.invariant is verify.Invariant.CHARGE


@pytest.mark.parametrize("number", [None, Decimal("NaN")])
async def test_a_balance_that_is_no_number_is_decided_too(
    adopted: Book, witness: Witness, number: Decimal | None
) -> None:
    await witness.execute("ALTER TABLE user_balances DROP CONSTRAINT user_balances_sound")
    for account in (3, 4):
        await witness.execute(
            "UPDATE user_balances SET balance = $2, total_spent = $2, frozen = NULL, head = NULL, "
            "movement = NULL WHERE id = $1",
            account,
            number,
        )
    await witness.execute("DELETE FROM credits.postings")
    await witness.execute("SELECT credits.adopt()")
    for balance in (None, Decimal(-1), Decimal("0.001"), Decimal("1e400"), Decimal("NaN")):
        with pytest.raises(Refused, match=r"^--balance: "):
            await resolve(adopted, BORIS, keep=4, balance=balance)
    with pytest.raises(Refused, match="--balance: account 1 has a balance"):
        await resolve(adopted, keep=1, balance=Decimal(1))
    decision = await resolve(adopted, BORIS, keep=4, balance=Decimal("12.50"))
    assert [(one.balance, one.total_spent) for one in decision.after] == [(Decimal("12.50"), 0)]
    decision = await resolve(adopted, keep=2)
    assert [one.funds for one in decision.after] == [0, 30, None]
    assert [one.frozen for one in decision.after] == ["merged", None, "merged"]
    await sound(adopted)


@pytest.mark.parametrize("number", [None, Decimal("NaN")])
async def test_a_sum_spent_that_is_no_number_begins_anew(
    adopted: Book, witness: Witness, number: Decimal | None
) -> None:
    await witness.execute("ALTER TABLE user_balances DROP CONSTRAINT user_balances_sound")
    await witness.execute(
        "UPDATE user_balances SET balance = 7, total_spent = $1, frozen = NULL, head = NULL, "
        "movement = NULL WHERE id = 4",
        number,
    )
    await witness.execute(
        "DELETE FROM credits.postings WHERE account = 4 OR movement IN"
        " (SELECT movement FROM credits.postings WHERE account = 4)"
    )
    await witness.execute("SELECT credits.adopt()")
    decision = await resolve(adopted, BORIS, keep=4)
    assert [(one.balance, one.total_spent, one.frozen) for one in decision.after] == [(7, 0, None)]


async def test_an_account_numbered_as_the_houses_is_left_alone(
    adopted: Book, witness: Witness
) -> None:
    await witness.execute(
        "INSERT INTO user_balances (id, email, balance) VALUES (-7, 'minus@example.com', 5)"
    )
    await witness.execute("SELECT credits.adopt()")
    with pytest.raises(Refused, match="below zero"):
        await resolve(adopted, "minus@example.com", keep=-7)


async def test_spaces_around_an_address_are_nobodys(adopted: Book, witness: Witness) -> None:
    await witness.execute(
        "INSERT INTO user_balances (email, balance) VALUES (' Spaced@example.com ', 5)"
    )
    assert (await adopted.account("spaced@example.com")).balance == 5


async def test_what_cannot_be_leaves_everything_as_it_was(adopted: Book, witness: Witness) -> None:
    state = "SELECT array_agg((id, balance, frozen, head)::text ORDER BY id) FROM user_balances"
    before = await witness.fetchval(state)
    with pytest.raises(Refused, match="--keep: must be one of 1, 2, 3"):
        await resolve(adopted, keep=4)
    with pytest.raises(NotFound):
        await resolve(adopted, "nobody@example.com", keep=1)
    with pytest.raises(NotFound):
        await resolve(adopted, BORIS, keep=4)
    assert await witness.fetchval(state) == before
    await witness.execute("UPDATE user_balances SET balance = 99999990 WHERE id = 1")
    before = await witness.fetchval(state)
    with pytest.raises(TooMuch):
        await resolve(adopted, keep=1)
    assert await witness.fetchval(state) == before
