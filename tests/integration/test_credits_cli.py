"""`zapisano credits …`, as processes: what they print, how they end, what they leave behind."""

import asyncio
import csv
import io
import json
import os
import re
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

import asyncpg
import pytest
import simplejson
from credit_book import ANNA, BORIS, RULES, Book
from test_cli import ZAPISANO, env, typed, zapisano

from zapisano.clock import utc_now
from zapisano.credits import keys, sessions, verify
from zapisano.credits.export import Form
from zapisano.credits.model import Verb
from zapisano.db import Database
from zapisano.errors import AppError, Refused
from zapisano.ops.credits import accounts, clashes, exporting, opening
from zapisano.ops.credits import keys as ops_keys
from zapisano.settings import Settings

__all__ = ["env"]
Witness = asyncpg.Connection
Env = dict[str, str]
BENT = (
    "account\tmovement\twhat does not hold\texpected\tfound\n"
    "2\t-\ttotal_spent is what was adopted and charged, less refunds\t9.01\t0.00\n"
)


def told(env: Env, folder: Path, *arguments: str) -> str:
    """What a command prints, when it ends well."""
    done = zapisano(env, folder, "credits", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_an_operator_gives_mends_and_sees(
    env: Env, tmp_path: Path, book: Book, witness: Witness
) -> None:
    env["ZAPISANO_TIME_ZONE"] = "Asia/Omsk"
    run = partial(zapisano, env, tmp_path, "credits")
    given = run("grant", "Anna@Example.com", "12.5", "--until", "2030-12-31", "--key", "k")
    said = f"{ANNA}: 12.50 granted until 2030-12-31 18:00 UTC. The balance is 62.50.\n"
    assert (given.stdout, given.stderr) == (said, f"{ANNA} had no account: it was opened.\n")
    mended = run("adjust", ANNA, "-2.25", "--reason", "Ошибка", "--key", "k2")
    assert mended.stdout == f"{ANNA}: adjusted by -2.25. The balance is 60.25.\n"
    again = run("adjust", ANNA, "-2.25", "--reason", "Ошибка", "--key", "k2")
    assert again.stdout == (
        f"{ANNA}: adjusted by -2.25. This was done before, with this key, and not again. "
        "The balance was 60.25 then.\n"
    )
    other = run("adjust", ANNA, "-2.26", "--reason", "Ошибка", "--key", "k2")
    assert (other.returncode, other.stderr.count("\n")) == (1, 1)
    book.now = utc_now()
    hold = await book.hold(ANNA, "1.00")
    blocks = told(env, tmp_path, "show", "ANNA@example.com").split("\n\n")
    tables = [[line.split("\t") for line in block.splitlines()] for block in blocks]
    assert [table[0][0] for table in tables] == ["hold", "grant", "movement", "account"]
    assert tables[0][1][:2] == [str(hold), "1.00"]
    assert tables[1][1][1:] == ["12.50", "9.25", "2030-12-31 18:00"]
    assert [row[2:] for row in tables[2][1:]] == [
        ["hold", "-1.00", "59.25", "hold"],
        ["adjust", "-2.25", "60.25", "Ошибка"],
        ["grant", "12.50", "62.50", "Granted"],
        ["opening", "50.00", "50.00", "Opening credits"],
    ]
    assert tables[3][1][1:7] == [ANNA, "59.25", "0.00", "1.00", "9.25", "no"]
    assert tables[3][1][-1] == "in use"
    assert await witness.fetchval("SELECT count(*) FROM credits.postings") == 8


async def test_the_proof_is_printed_and_what_is_bent_ends_with_1(
    env: Env, tmp_path: Path, book: Book, witness: Witness
) -> None:
    await book.a_bit_of_everything()
    await book.a_bit_of_everything(BORIS)
    proven = zapisano(env, tmp_path, "credits", "verify")
    report = await verify.verify(book.database, floor=RULES.floor)
    assert (proven.returncode, proven.stdout, proven.stderr) == (
        0,
        f"sha256 over all heads: {report.digest}\n",
        "The ledger is sound. Accounts: 2, movements: 36.\n",
    )
    heads = told(env, tmp_path, "verify", "--heads").splitlines()
    assert heads[1:3] == [f"{one.account}\t{one.email}\t{one.head.hex()}" for one in report.heads]
    await witness.execute("UPDATE user_balances SET total_spent = 0 WHERE id = 2")
    await witness.execute("UPDATE user_balances SET frozen = 'x' WHERE id = 1")
    bent = zapisano(env, tmp_path, "credits", "verify")
    assert (bent.returncode, bent.stdout, bent.stderr) == (
        1,
        BENT,
        "The ledger is not sound: 1 findings. Accounts: 2, movements: 36, frozen: 1.\n",
    )


async def test_exports_are_whole_or_not_there(env: Env, tmp_path: Path, book: Book) -> None:
    await book.a_bit_of_everything()
    await book.a_bit_of_everything(BORIS)
    rows = list(csv.DictReader(io.StringIO(told(env, tmp_path, "export", ANNA))))
    assert len(rows) == 18
    assert {row["email"] for row in rows} == {ANNA}
    file = tmp_path / "all.jsonl"
    said = told(env, tmp_path, "export", "--format", "jsonl", "--output", str(file))
    assert said == f"36 lines are in {file}\n"
    lines = [simplejson.loads(line, use_decimal=True) for line in file.read_text().splitlines()]
    assert sum(line["amount"] for line in lines if line["email"] == ANNA) == sum(
        Decimal(row["amount"]) for row in rows
    )
    assert [name for name in os.listdir(tmp_path) if "all" in name] == ["all.jsonl"]  # noqa: PTH208 # not awaited either way
    for output in (tmp_path / "nowhere" / "x.csv", tmp_path):
        refused = zapisano(env, tmp_path, "credits", "export", "--output", str(output))
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert refused.stderr.startswith(f"--output: {output} cannot be written: ")


async def test_whoever_has_read_enough_may_leave(env: Env, tmp_path: Path, book: Book) -> None:
    for number in range(40):
        await book.a_bit_of_everything(f"user{number}@example.com")
    with subprocess.Popen(
        ["bash", "-c", f'{" ".join(ZAPISANO)} credits export | head -1'],
        env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        out, err = process.communicate(timeout=60)
    assert (out.count("\n"), err) == (1, "")


async def test_who_is_ahead(
    env: Env,
    tmp_path: Path,
    settings: Settings,
    book: Book,
    witness: Witness,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def top(by: str = "spent", days: int | None = None, count: int = 20) -> list[str]:
        await accounts.top(settings, accounts.By(by), days, count)
        return capsys.readouterr().out.splitlines()[1:]

    assert await top() == []
    await book.a_bit_of_everything()
    await book.a_bit_of_everything(BORIS)
    for _ in range(2):
        await book.post(BORIS, Verb.CHARGE, "0.01")
    spent = [f"{BORIS}\t9.03\t64.97", f"{ANNA}\t9.01\t64.99"]
    assert await top() == await top(days=1) == spent
    assert await top("balance", count=1) == [f"{ANNA}\t64.99\t64.99"]
    charges = [f"{BORIS}\t6\t64.97", f"{ANNA}\t4\t64.99"]
    assert await top("charges") == await top("charges", days=1) == charges
    await witness.execute("UPDATE credit_transactions SET created_at = '2026-01-01' WHERE id > 4")
    await witness.execute("UPDATE credits.postings SET created_at = '2026-01-01' WHERE account = 2")
    assert await top(days=1) == spent[1:]
    command = ("top", "--by", "charges", "--days", "1", "--count", "3")
    shown = told(env, tmp_path, *command).splitlines()
    assert shown == ["address\tcharges\tbalance now", charges[1]]


async def test_clashes_are_shown_asked_about_and_resolved(
    env: Env, tmp_path: Path, book: Book, database: Database, witness: Witness
) -> None:
    for email, balance in (("Anna@example.com", 10), (ANNA, 20)):
        await witness.execute(
            "INSERT INTO user_balances (email, balance, created_at) VALUES ($1, $2, $3)",
            email,
            balance,
            datetime(2026, 1, 22, tzinfo=UTC),
        )
    async with database.owner() as conn:
        await conn.execute("SELECT credits.adopt()")
    row = "2026-01-22\tfrozen: the address clashes"
    assert told(env, tmp_path, "clashes").splitlines()[1:] == [
        f"1\tAnna@example.com\t10.00\t0.00\t{row}",
        f"2\t{ANNA}\t20.00\t0.00\t{row}",
    ]
    resolve = ("credits", "resolve", ANNA, "--keep", "2")
    unasked = zapisano(env, tmp_path, *resolve)
    assert (unasked.returncode, "--yes" in unasked.stderr) == (2, True)
    for answer, said in (("\n", "Nothing was changed."), ("y\n", f"{ANNA} has account 2 now.")):
        seen = await asyncio.to_thread(typed, env, tmp_path, answer, *resolve)
        assert f"Keep account 2 of {ANNA}?" in seen
        assert "30.00" in seen
        assert said in seen
    shown = told(env, tmp_path, "show", ANNA)
    assert "Merged from Anna@example.com" in shown
    states = [line.split("\t")[-1] for line in shown.splitlines()]
    assert states[-2:] == ["frozen: merged", "in use"]
    assert (await book.account(ANNA)).balance == 30
    await witness.execute("UPDATE user_balances SET frozen = 'x' WHERE id = 2")
    done = zapisano(env, tmp_path, *resolve, "--yes")
    assert (done.returncode, done.stderr) == (0, f"{ANNA} has account 2 now.\n")


async def test_keys_are_made_shown_once_listed_and_revoked(
    env: Env, tmp_path: Path, book: Book, database: Database
) -> None:
    whole = told(
        env, tmp_path, "keys", "create", "Бэкенд",
        "--scope", "charge", "--scope", "hold", "--most", "12.50", "--per-minute", "60",
    ).strip()  # fmt: skip
    async with database.shared() as conn:
        key = await keys.authenticate(conn, f"Bearer {whole}")
    assert (key.name, key.most, key.per_minute) == ("Бэкенд", Decimal("12.50"), 60)
    (line,) = told(env, tmp_path, "keys", "list").splitlines()[1:]
    assert line.split("\t")[:5] == [key.id, "Бэкенд", "charge, hold", "12.50", "60"]
    assert told(env, tmp_path, "keys", "revoke", key.id).startswith(f"{key.id} is revoked")
    async with database.shared() as conn:
        with pytest.raises(keys.NoKey):
            await keys.authenticate(conn, f"Bearer {whole}")


def test_a_session_for_a_trial_needs_no_database(env: Env, tmp_path: Path) -> None:
    bare = {"PATH": env["PATH"]}
    refused = zapisano(bare, tmp_path, "credits", "session", ANNA)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert refused.stderr.startswith("NEXTAUTH_SECRET: is not set; give it, or AUTH_SECRET")
    secret = "a-secret-of-a-web-app-0123456789abcdef"
    made = told({**bare, "AUTH_SECRET": secret}, tmp_path, "session", "Anna@Example.com")
    cookie, _, value = made.strip().partition("=")
    token = sessions.find_token([(cookie, value)], None)
    assert token is not None
    claims = sessions.claims_of(token, [secret], utc_now())
    assert sessions.email_of(claims) == ANNA


async def test_what_is_typed_wrongly_is_said_with_its_name(settings: Settings, book: Book) -> None:
    await book.account(BORIS)
    grant = partial(accounts.grant, settings, until="", reason="x", key="")
    adjust = partial(accounts.adjust, settings, reason="x", key="")
    create = partial(ops_keys.create, settings, "x", per_minute=None)
    resolve = partial(clashes.resolve, settings, BORIS, 1, ask=False)
    nobody = "nobody@example.com"
    for asked, line in (
        (accounts.show(settings, nobody), f"There is no account of {nobody}"),
        (accounts.show(settings, "nobody"), "EMAIL: 'nobody' is no e-mail address"),
        (grant(ANNA, "0"), "AMOUNT: '0' is no number from 0.01"),
        (grant(ANNA, "-1"), "AMOUNT: '-1' is no number from 0.01"),
        (grant(ANNA, "1e400"), "AMOUNT: '1e400' is no number"),
        (grant(ANNA, "nan"), "AMOUNT: 'nan' is no number"),
        (grant(ANNA, "x"), "AMOUNT: 'x' is no number"),
        (grant(ANNA, "0.001"), "AMOUNT: has two places at most"),
        (grant(ANNA, "1", until="2020-01-01"), "--until: 2020-01-01 has passed"),
        (grant(ANNA, "1", until="tomorrow"), "--until: write a day"),
        (grant(ANNA, "1", until="9999-12-31"), "--until: write a day"),
        (grant(ANNA, "1", reason=""), "--reason: the customer reads it"),
        (grant(ANNA, "1", key="x" * 201), "--key: has at most 200"),
        (adjust(BORIS, "0"), "AMOUNT: '0' is no number from -1000000"),
        (adjust(nobody, "1"), f"There is no account of {nobody}"),
        (adjust(BORIS, "-55.01"), f"AMOUNT: {BORIS} has 50.00, and may go down to -5.00"),
        (exporting.write(settings, nobody, Form.CSV, None), f"There is no account of {nobody}."),
        (accounts.top(settings, accounts.By.BALANCE, 3, 20), "--days: goes with"),
        (resolve(balance=""), f"Nothing about {BORIS} waits"),
        (resolve(balance="x"), "--balance: 'x' is no number"),
        (create(["all"], ""), "--scope: 'all' is none of read, charge"),
        (create(["read"], "x"), "--most: 'x' is no number"),
        (
            ops_keys.revoke(settings, "my-app"),
            "ID: 'my-app' is no server key's; give its ID, see: zapisano credits keys list",
        ),
    ):
        with pytest.raises(AppError) as told:
            await asked
        assert told.value.detail.startswith(line)
        assert "\n" not in told.value.detail


def test_a_day_counts_to_its_end_where_the_operator_lives() -> None:
    now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert opening.end("2026-11-23", now, "Europe/Moscow") == now.replace(hour=21)
    assert opening.end("30d", now, "Europe/Moscow") == datetime(2026, 12, 23, 12, tzinfo=UTC)
    with pytest.raises(Refused, match="has passed"):
        opening.end("2026-11-23", now, "Pacific/Kiritimati")


def test_where_there_are_no_credits_a_line_says_how_to_install_them(
    env: Env, tmp_path: Path, dsn: str
) -> None:
    for command in ("verify", f"grant {ANNA} 1", f"adjust {ANNA} -1 --reason x"):
        ended = zapisano(env, tmp_path, "credits", *command.split())
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1)
        port = env["ZAPISANO_API_PORT"]
        assert f"curl -X POST http://127.0.0.1:{port}/api/admin/migrate -H" in ended.stderr
        body = re.search(r"-d '(.*)'\n", ended.stderr)
        assert body is not None
        assert json.loads(body[1]).keys() == {"secret"}
