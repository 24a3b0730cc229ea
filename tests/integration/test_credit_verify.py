"""`verify`: a sound ledger has no findings, and every way to bend one has its name."""

import asyncio
import hashlib
from datetime import UTC, datetime
from decimal import Decimal

import asyncpg
import pytest
from credit_book import ANNA, BORIS, RULES, Book, the_original

from zapisano.credits import ledger, verify
from zapisano.credits.model import Item, Rules, Verb
from zapisano.credits.verify import Invariant
from zapisano.db import Connection, Database
from zapisano.db import ledger as chain

Witness = asyncpg.Connection
FLOOR = RULES.floor
CLARA = "clara@example.com"
LONG_AGO = datetime(2026, 1, 22, tzinfo=UTC)


async def sound(book: Book) -> None:
    """Two accounts with every kind of movement, and each with an open hold and a grant begun."""
    for email in (ANNA, BORIS):
        await book.a_bit_of_everything(email)
        ends = book.now.replace(year=2030)
        await book.post(email, Verb.GRANT, "9.00", expires_at=ends)
        await book.post(email, Verb.CHARGE, "1.00")
        await book.post(email, Verb.ADJUST, "-1.00")
        await book.hold(email, "2.00")
    # A settlement that the account cannot bear: 5.00 of it are forgiven.
    much = await book.hold(CLARA, "54.00")
    cost = Decimal("60.0012")
    await book.post(CLARA, Verb.SETTLE, cost=cost, hold=much, partial=True)
    assert (await book.account(CLARA)).balance == -5


async def test_a_sound_ledger_has_no_findings(book: Book, database: Database) -> None:
    assert (await verify.verify(database, floor=FLOOR)).findings == ()
    await sound(book)
    told: list[tuple[int, int]] = []
    report = await verify.verify(
        database, floor=FLOOR, on_progress=lambda done, total: told.append((done, total))
    )
    assert report.findings == ()
    assert (report.accounts, report.movements, report.frozen, report.waiting) == (3, 48, 0, 0)
    assert [head.email for head in report.heads] == [ANNA, BORIS, CLARA]
    assert told[-1] == (3, 3)
    again = await verify.verify(database, floor=FLOOR)
    assert again == report
    sealed = b"".join(one.account.to_bytes(4, "big") + one.head for one in report.heads)
    assert report.digest == hashlib.sha256(sealed).hexdigest()
    await book.post(ANNA, Verb.CHARGE, "0.01")
    assert (await verify.verify(database, floor=FLOOR)).digest != report.digest


# A posting that somebody writes with everything that belongs to it.
FORGED = """DO $$ DECLARE
    a user_balances; p credits.postings; m bigint := nextval('credits.movements');
BEGIN
    SELECT * INTO a FROM user_balances WHERE id = 1;
    p := ROW(1, m, {amount}, {counter}, '{kind}', a.balance + ({amount}), NULL, a.remainder, NULL,
        NULL, NULL, NULL, 'x', NULL, NULL, now(), NULL)::credits.postings;
    p.link := credits.link(a.head, p);
    INSERT INTO credits.postings SELECT p.*;
    INSERT INTO credits.postings (account, movement, amount) VALUES ({counter}, m, 0 - ({amount}));
    UPDATE user_balances SET balance = p.balance_after, movement = m, head = p.link,
        total_spent = total_spent - CASE WHEN '{kind}' = 'charge' THEN {amount} ELSE 0 END
    WHERE id = 1;
END $$"""

# What is done to the tables behind the ledger's back, and the invariants that it breaks.
BROKEN: dict[str, tuple[str, set[str]]] = {
    "a balance": (
        """UPDATE user_balances SET balance = balance + 1 WHERE id = 1""",
        {"balance", "order"},
    ),
    "a balance in between": (
        """UPDATE credits.postings SET balance_after = balance_after + 1
            WHERE account = 1 AND kind = 'topup'""",
        {"link", "order"},
    ),
    "an amount": (
        """UPDATE credits.postings SET amount = amount + 1
            WHERE account = 1 AND kind = 'topup'""",
        {"balance", "double", "link", "order"},
    ),
    "a key used twice": (
        """DROP INDEX credits.postings_once;
            UPDATE credits.postings SET key = 'topup'
            WHERE account = 1 AND kind = 'refund'""",
        {"key", "link"},
    ),
    "what is held": ("UPDATE user_balances SET held = held + 1 WHERE id = 1", {"holds"}),
    "a hold opened again": (
        """UPDATE credits.holds SET state = 'open', closed = NULL
            WHERE account = 1 AND state = 'settled'""",
        {"ends", "grants", "holds"},
    ),
    "a hold without its postings": (
        """INSERT INTO credits.holds (id, account, amount, promo, state, opened, closed,
            expires_at)
            VALUES (gen_random_uuid(), 1, 1, 0, 'released', 999, 1000, now())""",
        {"holds"},
    ),
    "a hold taken out": (
        """DELETE FROM credits.holds WHERE account = 1 AND state = 'expired'""",
        {"holds"},
    ),
    "of whom a hold is": (
        """UPDATE credits.holds SET account = 2 WHERE account = 1""",
        {"ends", "grants", "holds"},
    ),
    "when the next hold ends": (
        """UPDATE user_balances SET expires_at = NULL WHERE id = 1""",
        {"ends"},
    ),
    "a sum that is no number": (
        """ALTER TABLE user_balances DROP CONSTRAINT user_balances_sound;
            UPDATE user_balances SET total_spent = 'NaN'
            WHERE id = 1""",
        {"numbers", "spent"},
    ),
    "an amount that is no number": (
        """ALTER TABLE credits.postings DROP CONSTRAINT postings_sound;
            UPDATE credits.postings SET amount = 'NaN'
            WHERE account = 1 AND kind = 'adjust'""",
        {"balance", "double", "link", "numbers", "order"},
    ),
    "a remainder": ("UPDATE user_balances SET remainder = 0 WHERE id = 1", {"remainder"}),
    "a remainder in between": (
        """UPDATE credits.postings SET remainder = 0 WHERE account = 1 AND cost = 0.009""",
        {"link", "remainder"},
    ),
    "a cost": (
        """UPDATE credits.postings SET cost = 0.008 WHERE account = 1 AND cost = 0.009""",
        {"link", "remainder"},
    ),
    "the other side": (
        """UPDATE credits.postings SET amount = amount - 1 WHERE account = -3""",
        {"double"},
    ),
    "the other side taken out": ("DELETE FROM credits.postings WHERE account = -3", {"double"}),
    "the other side elsewhere": (
        """UPDATE credits.postings SET account = -2 WHERE account = -3""",
        {"double"},
    ),
    "a side too many": (
        """INSERT INTO credits.postings (account, movement, amount) VALUES (-1, 99999, 1)""",
        {"double"},
    ),
    "a side too many beside one too few": (
        """UPDATE credits.postings SET movement = 99999 WHERE account = -3 AND movement < 5""",
        {"double"},
    ),
    "the house's account": (
        """UPDATE credits.postings SET counter = -3 WHERE account = 1 AND kind = 'adjust';
            UPDATE credits.postings SET account = -3
            WHERE account = -5 AND movement < 22""",
        {"house", "link"},
    ),
    "what was forgiven": (
        """UPDATE credits.holds SET shortfall = 0 WHERE account = 3""",
        {"remainder"},
    ),
    "two spellings in use": (
        """UPDATE user_balances SET email = 'Anna@example.com' WHERE id = 2""",
        {"charge", "clash", "link", "stray"},
    ),
    "a text": (
        """UPDATE credits.postings SET operation = 'x' WHERE account = 1 AND kind = 'topup'""",
        {"link"},
    ),
    "a text of a charge": ("UPDATE credit_transactions SET operation = 'x' WHERE id = 1", {"link"}),
    "the metadata of a charge": (
        """UPDATE credit_transactions SET metadata = '{"tokens": 1.1}' WHERE id = 1""",
        {"link"},
    ),
    "a head": ("UPDATE user_balances SET head = sha256('') WHERE id = 1", {"link"}),
    "an address": (
        """UPDATE user_balances SET email = 'x@example.com' WHERE id = 1""",
        {"charge", "link", "stray"},
    ),
    "a link and all after it": (
        """UPDATE credits.postings SET link = sha256(link) WHERE account = 1""",
        {"link"},
    ),
    "the first posting": (
        """UPDATE credits.postings SET kind = 'grant' WHERE account = 1 AND kind = 'opening'""",
        {"beginning", "link"},
    ),
    "the last movement taken out": (
        """DELETE FROM credits.postings
            WHERE movement IN (SELECT max(movement) FROM credits.postings WHERE account = 2)""",
        {"balance", "grants", "holds", "link", "order"},
    ),
    "a charge's amount": (
        """UPDATE credit_transactions SET amount = amount + 1 WHERE id = 1""",
        {"charge"},
    ),
    "a charge's hour": (
        """UPDATE credit_transactions SET created_at = created_at + interval '1 s'
            WHERE id = 1""",
        {"charge"},
    ),
    "a charge as if it were the original's": (
        """UPDATE credit_transactions SET movement = NULL WHERE id = 1""",
        {"charge"},
    ),
    "words beside a charge": (
        """UPDATE credits.postings SET metadata = '{"a": 1}' WHERE transaction = 1""",
        {"charge"},
    ),
    "a charge's address": (
        """UPDATE credit_transactions SET email = 'x@example.com' WHERE id = 1""",
        {"charge", "stray"},
    ),
    "a charge taken out": ("DELETE FROM credit_transactions WHERE id = 1", {"charge", "link"}),
    "a charge put in": (
        """INSERT INTO credit_transactions (email, amount, operation, balance_after)
            VALUES ('anna@example.com', 1, 'x', 1)""",
        {"charge"},
    ),
    "a charge told twice": (
        """UPDATE credits.postings SET transaction = 1 WHERE account = 1 AND cost = 0.009""",
        {"charge", "link"},
    ),
    "a charge of nobody": (
        """INSERT INTO credit_transactions (email, amount, operation, balance_after)
            VALUES ('nobody@example.com', 1, 'x', 1)""",
        {"stray"},
    ),
    "a charge of nobody, with a number from long ago": (
        """INSERT INTO credit_transactions (id, email, amount, operation, balance_after, movement)
            VALUES (-5, 'nobody@example.com', 1, 'x', 1, 1)""",
        {"stray"},
    ),
    "what was spent": ("UPDATE user_balances SET total_spent = 0 WHERE id = 1", {"spent"}),
    "what is left of a grant": (
        """UPDATE credits.grants SET remaining = remaining - 1
            WHERE account = 1 AND remaining > 1""",
        {"grants"},
    ),
    "what was drawn": (
        """UPDATE credits.draws SET amount = amount + 0.5
            WHERE movement IN (SELECT movement FROM credits.postings
            WHERE account = 1 AND kind = 'charge')""",
        {"grants"},
    ),
    "what a hold has drawn": ("UPDATE credits.holds SET promo = 0 WHERE account = 1", {"holds"}),
    "a grant taken for more": (
        """UPDATE credits.grants SET amount = amount + 1 WHERE account = 1""",
        {"grants"},
    ),
    "a refund": (
        """UPDATE credits.postings SET refers = (SELECT max(movement) FROM credits.postings
            WHERE account = 1 AND kind = 'charge')
            WHERE account = 1 AND kind = 'refund'""",
        {"link", "refunds"},
    ),
    "a charge that gives": (FORGED.format(kind="charge", amount=5, counter=-1), {"way"}),
    "a grant that takes": (FORGED.format(kind="grant", amount=-5, counter=-2), {"way"}),
    "a kind that there is not": (FORGED.format(kind="gift", amount=5, counter=-6), {"house"}),
    "an account taken out": ("DELETE FROM user_balances WHERE id = 2", {"charge", "stray"}),
}


async def test_whatever_is_bent_is_named(
    book: Book, witness: Witness, subtests: pytest.Subtests
) -> None:
    await sound(book)
    for what, (statement, invariants) in BROKEN.items():
        with subtests.test(what):
            tampering = witness.transaction()
            await tampering.start()
            await witness.execute(statement)
            report = await verify.read(Connection(witness), floor=FLOOR)
            await tampering.rollback()
            assert {one.invariant.value for one in report.findings} == invariants, report.findings
            assert all(one.expected != one.found for one in report.findings), report.findings
    assert (await verify.read(Connection(witness), floor=FLOOR)).findings == ()


async def test_a_debit_below_the_floor_is_named(
    book: Book, database: Database, witness: Witness
) -> None:
    await sound(book)
    await witness.execute("ALTER TABLE user_balances DROP CONSTRAINT user_balances_balance_check")
    broke = Rules(Decimal(-1000), None, Decimal(50), Decimal(50), frozenset())
    async with database.shared() as conn:
        item = Item(BORIS, Verb.CHARGE, Decimal("500.00"), operation="much")
        posted = await ledger.post(conn, broke, item, book.now)
    report = await verify.verify(database, floor=FLOOR)
    assert [(one.invariant, one.account, one.movement) for one in report.findings] == [
        (Invariant.FLOOR, 2, posted.movement)
    ]
    assert report.findings[0].found == str(posted.balance_after)


def test_every_invariant_is_broken_by_some_test() -> None:
    broken = {name for _, names in BROKEN.values() for name in names} | {"floor"}
    assert broken == {one.value for one in Invariant}
    assert all(one.says for one in Invariant)


async def test_what_was_adopted_is_sound_and_what_waits_is_counted(
    database: Database, witness: Witness
) -> None:
    await the_original(
        witness,
        (ANNA, "5.50", LONG_AGO),
        ("Boris@Example.com", "1.00", LONG_AGO),
        (BORIS, "1.00", LONG_AGO),
        (CLARA, "1.00", None),
        ("gone@example.com", "1.00", LONG_AGO),
    )
    await witness.execute("DELETE FROM user_balances WHERE email LIKE 'gone%'")
    await witness.execute("UPDATE user_balances SET total_spent = 7.25")
    async with database.owner() as conn:
        await chain.upgrade(conn)
        await conn.execute("SELECT credits.adopt('anna@example.com')")
        await conn.execute("SELECT credits.adopt('boris@example.com')")
    await Book(database).post(ANNA, Verb.CHARGE, "1.00")
    report = await verify.verify(database, floor=FLOOR)
    assert report.findings == ()
    assert (report.accounts, report.frozen, report.waiting, report.movements) == (4, 2, 1, 2)


async def test_verify_sees_one_moment_while_others_write(book: Book, database: Database) -> None:
    await sound(book)

    async def write() -> None:
        for number in range(100):
            await book.post((ANNA, BORIS)[number % 2], Verb.CHARGE, cost=Decimal("0.001"))

    writing = asyncio.create_task(write())
    seen = [await verify.verify(database, floor=FLOOR)]
    while not writing.done():
        seen.append(await verify.verify(database, floor=FLOOR))
    await writing
    assert {report.findings for report in seen} == {()}
    assert seen[0].movements < seen[-1].movements


async def test_ranges_meet_and_findings_have_an_end(
    book: Book, database: Database, witness: Witness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "RANGE_SIZE", 2)
    monkeypatch.setattr(verify, "MOST_FINDINGS", 4)
    for n in range(5):
        await book.post(f"user{n}@example.com", Verb.CHARGE, "1.00")
    told: list[tuple[int, int]] = []
    report = await verify.verify(
        database, floor=FLOOR, on_progress=lambda done, total: told.append((done, total))
    )
    assert (report.findings, report.is_cut, len(report.heads)) == ((), False, 5)
    assert told == [(2, 5), (4, 5), (5, 5)]
    await witness.execute("UPDATE user_balances SET total_spent = 0 WHERE id = 5")
    report = await verify.verify(database, floor=FLOOR)
    assert [(one.account, one.invariant) for one in report.findings] == [(5, Invariant.SPENT)]
    await witness.execute("UPDATE user_balances SET total_spent = 0")
    report = await verify.verify(database, floor=FLOOR)
    assert (len(report.findings), report.is_cut) == (4, True)
