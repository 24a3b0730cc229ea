"""Low balances told to a real HTTP server: signed, repeated, given up, never in a transaction."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from own_settings import settings_for
from zapisano.clock import utc_now
from zapisano.credits.alerts import ADDRESS_GONE, BATCH, CLAIMED_FOR, NO_ADDRESS, PAUSES, deliver
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Item, Rules, Verb
from zapisano.credits.store import alerts as store
from zapisano.db import Database
from zapisano.ops.database import check_database
from zapisano.ops.model import Check, Outcome
from zapisano.settings import Settings

Witness = asyncpg.Connection
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Hook:
    """The app's own server, on a port of its own."""

    port: int
    answers: Callable[[int], int] = lambda _: 204
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def emails(self) -> list[str]:
        return [json.loads(body)["data"]["email"] for _, body in self.got]


class HTTP(BaseHTTPRequestHandler):
    hook: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.hook.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.hook.paths.append(self.path)
        status = self.hook.answers(len(self.hook.got))
        self.hook.before_answer()
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", f"http://127.0.0.1:{self.hook.port}/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: object = 0, size: object = 0) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128


@pytest.fixture
def hook() -> Generator[Hook]:
    served = type("Served", (HTTP,), {})
    with Server(("127.0.0.1", 0), served) as server:
        made = Hook(server.server_port)
        served.hook = made
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def settings(dsn: str, tmp_path: Path, hook: Hook) -> Settings:
    return settings_for(
        dsn,
        tmp_path,
        CREDITS_LOW_BALANCE="10",
        CREDITS_WEBHOOK_URL=hook.url,
        CREDITS_WEBHOOK_SECRET=SECRET,
    )


@pytest.fixture
def installed(with_ledger: None, database: Database) -> Database:
    return database


class Clock:
    def __init__(self) -> None:
        self.now = utc_now()

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def fall(database: Database, settings: Settings, clock: Clock, *emails: str) -> None:
    """Let accounts fall under the threshold: from 50.00 to 9.50."""
    book = Ledger(database, Rules.of(settings), clock)
    for email in emails:
        await book.account(email)
        await book.post(Item(email, Verb.CHARGE, Decimal("40.50"), operation="analysis"))


async def doctors_word(settings: Settings, name: str) -> Check:
    return next(check for check in await check_database(settings) if check.name == name)


async def rows(witness: Witness) -> list[Any]:
    return await witness.fetch(
        """SELECT id, movement, attempts, next_at, delivered_at, failure, created_at
           FROM credits.alerts ORDER BY created_at, id"""
    )


async def test_a_low_balance_is_told_once_and_signed(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    await fall(installed, settings, clock, "anna@example.org")
    await deliver(installed, settings, clock)
    await deliver(installed, settings, clock)
    ((headers, body),) = hook.got
    (row,) = await rows(witness)
    assert Webhook(SECRET).verify(body, headers) == {
        "type": "balance.low",
        "timestamp": row["created_at"].isoformat(),
        "data": {
            "email": "anna@example.org",
            "balance": 9.5,
            "threshold": 10.0,
            "movement": row["movement"],
        },
    }
    assert b'"balance": 9.50' in body
    assert headers["webhook-id"] == str(row["id"])
    assert headers["content-type"] == "application/json"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"9.50", b"9.51"), headers)
    assert (row["attempts"], row["next_at"], row["failure"]) == (1, None, None)
    assert row["delivered_at"] == clock()
    assert (await doctors_word(settings, "Low balances")).outcome is Outcome.OK


@pytest.mark.usefixtures("installed")
async def test_the_doctor_reads_the_prices(settings: Settings, tmp_path: Path) -> None:
    assert (await doctors_word(settings, "Prices of models")).outcome is Outcome.OK
    broken = settings.model_copy(update={"credits_prices_file": tmp_path / "none.toml"})
    assert (await doctors_word(broken, "Prices of models")).outcome is Outcome.FAILED


async def test_it_is_told_again_until_it_is_heard(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    """A redirect is not followed: it could lead what is signed anywhere."""
    hook.answers = lambda n: [500, 302, 404, 200][n - 1]
    await fall(installed, settings, clock, "anna@example.org")
    for n, failure in enumerate(["HTTP 500", "HTTP 302", "HTTP 404"]):
        await deliver(installed, settings, clock)
        (row,) = await rows(witness)
        assert (row["failure"], row["attempts"]) == (failure, n + 1)
        assert row["next_at"] == clock() + PAUSES[n]
        clock.move(PAUSES[n] - timedelta(seconds=1))
        await deliver(installed, settings, clock)
        assert len(hook.got) == n + 1, "it is not time yet"
        clock.move(timedelta(seconds=1))
    await deliver(installed, settings, clock)
    assert set(hook.paths) == {"/hook"}
    assert len({(headers["webhook-id"], body) for headers, body in hook.got}) == 1
    assert len({headers["webhook-timestamp"] for headers, _ in hook.got}) == 4
    (row,) = await rows(witness)
    assert (row["delivered_at"], row["next_at"], row["failure"]) == (clock(), None, None)


async def test_what_nobody_tries_to_tell_can_be_seen(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    clock.move(utc_now() - timedelta(minutes=5) - clock())
    await fall(installed, settings, clock, "anna@example.org")
    shown = await doctors_word(settings, "Low balances")
    assert (shown.outcome, shown.found) == (Outcome.WARNING, "1 wait, and nobody tells them")
    # Another one is being told just now, though its server does not answer: somebody is at work.
    await fall(installed, settings, clock, "boris@example.org")
    trying = "UPDATE credits.alerts SET attempts = 1, next_at = 'infinity', tried_at = $1"
    await witness.execute(trying + " WHERE account = 2", utc_now())
    assert (await doctors_word(settings, "Low balances")).outcome is Outcome.OK
    await witness.execute(trying + " WHERE account = 2", utc_now() - timedelta(hours=1))
    assert (await doctors_word(settings, "Low balances")).outcome is Outcome.WARNING
    clock.move(timedelta(minutes=5))
    await deliver(installed, settings, clock)
    assert (await doctors_word(settings, "Low balances")).outcome is Outcome.OK


async def test_after_three_days_it_is_given_up_and_can_be_seen(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    hook.answers = lambda _: 503
    await fall(installed, settings, clock, "anna@example.org")
    began = clock()
    for pause in PAUSES:
        await deliver(installed, settings, clock)
        clock.move(pause)
    assert timedelta(days=3) < clock() - began < timedelta(days=4)
    await deliver(installed, settings, clock)
    clock.move(timedelta(days=30))
    await deliver(installed, settings, clock)
    assert len(hook.got) == len(PAUSES) + 1
    (row,) = await rows(witness)
    assert (row["next_at"], row["delivered_at"], row["failure"]) == (None, None, "HTTP 503")
    shown = await doctors_word(settings, "Low balances")
    assert (shown.outcome, shown.found[:2]) == (Outcome.WARNING, "1 ")


async def test_an_address_that_is_gone_is_sent_nothing_more(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    hook.answers = lambda _: 410
    await fall(installed, settings, clock, *(f"{n}@example.org" for n in range(BATCH + 3)))
    await deliver(installed, settings, clock)
    assert len(hook.got) == BATCH
    await fall(installed, settings, clock, "later@example.org")
    clock.move(timedelta(days=1))
    await deliver(installed, settings, clock)
    assert len(hook.got) == BATCH
    told = [(row["next_at"], row["delivered_at"]) for row in await rows(witness)]
    assert told == [(None, None)] * (BATCH + 4)
    assert {row["failure"] for row in await rows(witness)} == {ADDRESS_GONE}

    hook.answers = lambda _: 200
    another = settings.model_copy(update={"credits_webhook_url": f"{hook.url}?again"})
    await fall(installed, settings, clock, "new@example.org")
    await deliver(installed, another, clock)
    assert hook.emails[BATCH:] == ["new@example.org"]


async def test_without_an_address_alerts_do_not_pile_up(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    await fall(installed, settings, clock, "anna@example.org")
    nobody = settings.model_copy(update={"credits_webhook_url": ""})
    await deliver(installed, nobody, clock)
    (row,) = await rows(witness)
    assert row["next_at"] is not None  # another process may have the address
    await witness.execute("UPDATE credits.alerts SET created_at = created_at - interval '2 days'")
    await deliver(installed, nobody, clock)
    await deliver(installed, settings, clock)
    assert hook.got == []
    (row,) = await rows(witness)
    assert (row["next_at"], row["delivered_at"], row["failure"]) == (None, None, NO_ADDRESS)


async def test_two_who_deliver_at_once_tell_each_alert_once(
    installed: Database, settings: Settings, clock: Clock, hook: Hook
) -> None:
    emails = {f"{n}@example.org" for n in range(2 * BATCH + 5)}
    await fall(installed, settings, clock, *emails)
    await asyncio.gather(deliver(installed, settings, clock), deliver(installed, settings, clock))
    assert sorted(hook.emails) == sorted(emails)


async def test_what_a_killed_process_had_claimed_is_told_by_another(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    await fall(installed, settings, clock, "anna@example.org")
    async with installed.shared() as conn:
        (claimed,) = await store.claim(conn, clock(), clock() + CLAIMED_FOR, BATCH)
    await deliver(installed, settings, clock)
    assert hook.got == []
    clock.move(CLAIMED_FOR)
    await deliver(installed, settings, clock)
    assert hook.emails == ["anna@example.org"]
    async with installed.shared() as conn:  # it was only slow, and has failed
        await store.failed(conn, claimed, "HTTP 500", clock())
    (row,) = await rows(witness)
    assert (row["next_at"], row["failure"]) == (None, None)


async def test_nothing_is_locked_while_it_is_sent(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, dsn: str
) -> None:
    """What the server sees of the database while it keeps us waiting."""
    seen: list[tuple[int, int]] = []

    async def look() -> None:
        witness = await asyncpg.connect(dsn)
        async with witness.transaction():
            free = await witness.fetch("SELECT id FROM credits.alerts FOR UPDATE NOWAIT")
            idle = await witness.fetchval(
                """SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND state = 'idle in transaction'
                       AND pid <> pg_backend_pid()"""
            )
        seen.append((len(free), idle))
        await witness.close()

    hook.before_answer = lambda: asyncio.run(look())
    await fall(installed, settings, clock, "anna@example.org")
    await deliver(installed, settings, clock)
    assert seen == [(1, 0)]


async def test_a_server_that_is_down_is_asked_for_one_batch(
    installed: Database, settings: Settings, clock: Clock, hook: Hook, witness: Witness
) -> None:
    hook.answers = lambda _: 500
    await fall(installed, settings, clock, *(f"{n}@example.org" for n in range(BATCH + 3)))
    await deliver(installed, settings, clock)
    assert len(hook.got) == BATCH
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        nobody = settings.model_copy(update={"credits_webhook_url": url})
        await deliver(installed, nobody, clock)
    failures = [row["failure"] for row in await rows(witness)]
    assert failures.count("HTTP 500") == BATCH
    assert failures.count("ConnectError") == 3
    assert all(row["next_at"] for row in await rows(witness))
