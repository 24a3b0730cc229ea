"""`zapisano promo …` and what support does for people, as the operator types it."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from zapisano.db import Database
from zapisano.payments import create_order
from zapisano.payments.promo import apply_promo
from zapisano.settings import Settings
from zapisano.tenancy import register

Witness = asyncpg.Connection
Run = Callable[..., subprocess.CompletedProcess[str]]
OWNER = 100200301


@pytest.fixture
def zapisano(settings: Settings, tmp_path: Path) -> Run:
    """The command, in an operator's environment."""
    env = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url.get_secret_value(),
        "ZAPISANO_SECRET_KEY": settings.secret_key.get_secret_value(),
        "ZAPISANO_DATA_DIR": str(tmp_path / "data"),
    }

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "zapisano", *arguments],
            env=env | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


async def test_a_promo_codes_life_on_the_command_line(
    zapisano: Run, settings: Settings, database: Database, witness: Witness
) -> None:
    await witness.execute(
        """INSERT INTO shared.bots (bot_id, username, token, path, secret, managed)
           VALUES (1, 'sales_of_ours_bot', '', 'p', 's', false)"""
    )
    wish = ("summer", "--percent", "20", "--uses", "5", "--until", "2099-08-31", "--plans", "1m,3m")
    made = zapisano("promo", "create", *wish, "--once-per-person", "--who", "vera")
    assert (made.returncode, made.stdout) == (0, "SUMMER: -20 %, 5 uses, until 2099-08-31.\n")
    assert made.stderr == "https://t.me/sales_of_ours_bot?start=promo_SUMMER\n"
    twice = zapisano("promo", "create", "SUMMER", "--fixed", "100")
    assert (twice.returncode, twice.stdout) == (1, "")
    assert twice.stderr.startswith("There was a code SUMMER before")
    now = datetime.now(UTC)
    async with database.shared() as conn:
        order = await create_order(
            conn, settings, buyer_id=1, language="ru", company_name="А", plan="1m", now=now
        )
        await apply_promo(conn, settings, order.id, "SUMMER", now)
    assert zapisano("promo", "list").stdout == (
        "code\tdiscount\tused\tuntil\tplans\tper person\tstate\n"
        "SUMMER\t-20 %\t1 of 5\t2099-08-31\t1m,3m\tonce\tworks\n"
    )
    assert zapisano("promo", "end", "Summer", "--who", "vera").returncode == 0
    again = zapisano("promo", "end", "Summer")
    assert (again.returncode, again.stdout.startswith("SUMMER had ended already, on 2")) == (
        0,
        True,
    )
    assert "\tover\n" in zapisano("promo", "list").stdout
    assert zapisano("promo", "end", "WINTER").returncode == 1
    events = await witness.fetch(
        "SELECT kind, data->>'by' AS by FROM shared.journal WHERE kind LIKE 'promo.%' ORDER BY id"
    )
    assert [tuple(one) for one in events] == [("promo.created", "vera"), ("promo.ended", "vera")]


async def test_support_adds_days_and_moves_a_tenant(
    zapisano: Run, database: Database, witness: Witness
) -> None:
    async with database.shared() as conn:
        for name in ("Ромашка", "Барбершоп"):
            await register(conn, name=name, owner_id=OWNER, owner_language="ru")
    given = zapisano(
        "tenants", "add-days", "client_001", "5", "--why", "an outage", "--who", "vera"
    )
    assert given.returncode == 0, given.stderr
    assert given.stdout.startswith("client_001 is paid until ")
    nobody = zapisano("tenants", "add-days", "client_001", "5", "--why", "x", "--who", " ")
    assert "must have 1 to 64 characters" in nobody.stderr
    phone = zapisano(
        "tenants", "add-days", "client_001", "5", "--why", "rang: +7 916 123-45-67", "--who", "vera"
    )
    assert phone.returncode == 1
    assert phone.stderr.startswith("why: stays in the history for ever, so no phone number")
    assert phone.stderr.count("\n") == 1
    unasked = zapisano("tenants", "move", "client_001", "--to", "777", "--who", "vera")
    assert unasked.returncode != 0
    assert unasked.stderr.endswith("where nobody can be asked, add --yes\n")
    assert await witness.fetchval("SELECT count(*) FROM shared.tenants WHERE owner_id = 777") == 0
    moved = zapisano("tenants", "move", "client_001", "--to", "777", "--who", "vera", "--yes")
    assert (moved.returncode, moved.stdout) == (0, f"client_001 is 777's now; it was {OWNER}'s.\n")
    again = zapisano("tenants", "move", "client_001", "--to", "777", "--who", "vera")
    assert (again.returncode, again.stderr) == (1, "client_001 is 777's already.\n")
    owners = await witness.fetch("SELECT owner_id FROM shared.tenants ORDER BY id")
    assert [row["owner_id"] for row in owners] == [777, OWNER]
    days = await witness.fetch("SELECT tenant_id, days, reason FROM shared.day_grants")
    assert [tuple(row) for row in days] == [("client_001", 5, "support")]
    told = await witness.fetch(
        """SELECT entrypoint FROM shared.pgqueuer
           WHERE entrypoint IN ('subscriptions.days_given', 'tenancy.moved') ORDER BY id"""
    )
    assert [row["entrypoint"] for row in told] == ["subscriptions.days_given", "tenancy.moved"]
    events = await witness.fetch(
        """SELECT kind, tenant, data->>'before' AS before, data->>'after' AS after
           FROM shared.journal WHERE data->>'by' = 'vera' ORDER BY id"""
    )
    assert [one["kind"] for one in events] == [
        "subscription.extended",
        "support.days_added",
        "tenant.moved",
    ]
    assert tuple(events[-1]) == ("tenant.moved", "client_001", str(OWNER), "777")


async def test_support_sends_the_last_message_of_an_order_again(
    zapisano: Run, settings: Settings, database: Database, witness: Witness
) -> None:
    async with database.shared() as conn:
        order = await create_order(
            conn,
            settings,
            buyer_id=1,
            language="ru",
            company_name="А",
            plan="1m",
            now=datetime.now(UTC),
        )
    sent = zapisano("payments", "resend", order.id, "--who", "vera")
    assert sent.stdout == f"The buyer of {order.id} is told again that it is created.\n"
    await witness.execute(
        "UPDATE shared.orders SET status = 'canceled', cancel_reason = 'card_expired'"
    )
    assert zapisano("payments", "resend", order.id, "--who", "vera").returncode == 0
    await witness.execute("UPDATE shared.orders SET status = 'review'")
    assert zapisano("payments", "resend", order.id, "--who", "vera").returncode == 1
    assert zapisano("payments", "resend", "nonsense", "--who", "vera").returncode == 1
    jobs = await witness.fetch(
        "SELECT entrypoint FROM shared.pgqueuer WHERE entrypoint LIKE 'payments.%' ORDER BY id"
    )
    assert [row["entrypoint"] for row in jobs] == [
        "payments.order_waits",
        "payments.order_canceled",
    ]
    count = "SELECT count(*) FROM shared.journal WHERE kind = 'order.resent'"
    assert await witness.fetchval(count) == 2


async def test_the_end_of_paid_time_is_shown(zapisano: Run, database: Database) -> None:
    async with database.shared() as conn:
        tenant = await register(conn, name="Ромашка", owner_id=OWNER, owner_language="ru")
    before = zapisano("tenants", "show", tenant.id).stdout
    assert ("plan\t-\n" in before, "autopay\toff\n" in before) == (True, True)
    added = zapisano("tenants", "add-days", tenant.id, "5", "--why", "x", "--who", "vera").stdout
    until = added.removeprefix(f"{tenant.id} is paid until ").removesuffix(".\n")
    shown = zapisano("tenants", "show", tenant.id).stdout
    assert f"\npaid until, to the minute\t{until}\nautopay\toff\n" in shown
    assert "\nplan\t1m\n" in shown


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("promo create X3X --percent 5 --until nonsense", "--until: write its last day, as 2026-"),
        ("tenants move client_001 --to abc --who vera", "--to: 'abc' is no Telegram id; it is a n"),
    ],
)
def test_a_slip_of_the_hand_is_one_line(zapisano: Run, typed: str, said: str) -> None:
    slip = zapisano(*typed.split())
    assert (slip.returncode, slip.stdout, slip.stderr.count("\n")) == (1, "", 1)
    assert slip.stderr.startswith(said)


def test_a_price_list_that_is_not_there_is_one_line(zapisano: Run) -> None:
    slip = zapisano("promo", "list", ZAPISANO_PLANS_FILE="/nope")
    assert (slip.returncode, slip.stderr.count("\n")) == (2, 1)
    assert slip.stderr.startswith("ZAPISANO_PLANS_FILE: /nope cannot be read (No such file")
