"""A storm over the ledger: eight processes, kills of them, and of PostgreSQL itself.

What callers were told must be what the ledger holds: nothing acknowledged is lost, nothing is done
twice, and every invariant holds. The seed is printed; SEED=… draws the same again, though not at
the same moments. ZAPISANO_STORM_SIZE=… makes it larger: `make storm`.
"""

import asyncio
import contextlib
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ledger_invariants import broken_invariants
from own_settings import SECRET_KEY, settings_for
from zapisano.db import ledger, open_alone
from zapisano.stack import child
from zapisano.stack.postgres import Postgres
from zapisano.stack.servers import embedded_postgres

pytestmark = pytest.mark.xdist_group("storm")
SIZE = int(os.environ.get("ZAPISANO_STORM_SIZE", "1"))
CLIENTS = 8
LIVES = 1 + SIZE  # of PostgreSQL
KILLS = 1 + min(SIZE, 4)  # of clients, in each of those
STORIES = 500  # at most, between two misfortunes
BYTES_OF_A_STORY = 700  # as the clients write them
PATIENCE_SECONDS = 120.0
PROGRAM = Path(__file__).with_name("ledger_client.py")
Json = dict[str, Any]


@dataclass
class Client:
    """One of the eight, through all its lives."""

    number: int
    seed: str
    root: Path
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    began_at_bytes: int = field(default=0, init=False)

    @property
    def journal(self) -> Path:
        return self.root / f"client-{self.number}.jsonl"

    @property
    def log(self) -> Path:
        return self.root / f"client-{self.number}.log"

    def start(self) -> None:
        self.began_at_bytes = self.written_bytes()
        argv = (sys.executable, str(PROGRAM), str(self.number), self.seed, str(self.journal))
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                child.command(argv, death_signal=signal.SIGKILL),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """It finishes what it has begun."""
        assert self.process is not None
        until(lambda: self.written_bytes() > self.began_at_bytes, [self])
        self.process.terminate()
        assert self.process.wait(PATIENCE_SECONDS) == 0, self.log.read_text()[-3000:]

    def written_bytes(self) -> int:
        return self.journal.stat().st_size if self.journal.exists() else 0

    def lines(self) -> list[Json]:
        if not self.journal.exists():
            return []
        lines = self.journal.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}}")]


@contextmanager
def clients(seed: str, root: Path, dsn: str) -> Generator[list[Client]]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "DATABASE_URL": dsn,
        "DATABASE_POOL_SIZE": "3",
        "ZAPISANO_SECRET_KEY": SECRET_KEY,
        "ZAPISANO_DATA_DIR": str(root / "data"),
    }
    eight = [Client(number, seed, root, environment) for number in range(CLIENTS)]
    try:
        yield eight
    finally:
        for one in eight:
            if one.process is not None and one.process.poll() is None:
                one.process.kill()
                one.process.wait()


@pytest.fixture
def root() -> Generator[Path]:
    """A folder that PostgreSQL's own account can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="zapisano-storm-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


def test_a_storm_over_the_ledger(root: Path) -> None:
    seed = os.environ.get("SEED") or secrets.token_hex(4)
    print(f"SEED={seed}")  # noqa: T201 # what one needs of a run that failed
    draw = random.Random(seed)  # noqa: S311 # draws, not secrets
    with embedded_postgres(root) as server:
        dsn = server.dsn()
        asyncio.run(install(dsn, root))
    with clients(seed, root, dsn) as eight:
        for life in range(LIVES):
            with embedded_postgres(root) as server:
                for one in eight if life == 0 else ():
                    one.start()
                for _ in range(KILLS):
                    weather(eight, draw)
                    unlucky = draw.choice(eight)
                    unlucky.kill()
                    unlucky.start()
                weather(eight, draw)
                if life < LIVES - 1:
                    kill(server, draw)
                    continue
                for one in eight:
                    one.stop()
                asyncio.run(calm(dsn, eight))


async def install(dsn: str, root: Path) -> None:
    database = open_alone(settings_for(dsn, root))
    async with database.owner() as conn:
        await ledger.upgrade(conn)
    await database.close()


def weather(eight: list[Client], draw: random.Random) -> None:
    """Wait until so much more is written, to strike at no chosen moment."""
    stories = draw.randint(STORIES // 2, STORIES)
    wanted = sum(one.written_bytes() for one in eight) + stories * BYTES_OF_A_STORY
    until(lambda: sum(one.written_bytes() for one in eight) >= wanted, eight)


def until(is_so: Callable[[], bool], eight: list[Client]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        for one in eight:
            assert one.process is not None
            assert one.process.poll() is None, one.log.read_text()[-3000:]
        assert time.monotonic() < deadline, [one.log.read_text()[-500:] for one in eight]
        time.sleep(0.02)


def kill(server: Postgres, draw: random.Random) -> None:
    """SIGKILL the postmaster, and half of the time whatever serves at that moment too."""
    postmaster = int((server.data / "postmaster.pid").read_text().split()[0])
    backends = children(postmaster) if draw.random() < 0.5 else []
    for pid in (postmaster, *backends):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def children(parent: int) -> list[int]:
    tasks = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(pid) for pid in tasks.read_text().split()]


# --- Afterwards ---


async def calm(dsn: str, eight: list[Client]) -> None:
    """Compare what everybody was told with what is there."""
    witness = await asyncpg.connect(dsn)
    broken = await broken_invariants(witness)
    assert not broken, broken
    rows = await witness.fetch(
        """SELECT coalesce(t.operation, p.operation) AS id, p.movement, p.key, a.email,
               p.amount::text, p.balance_after::text,
               CASE WHEN p.kind = 'charge' AND p.hold IS NOT NULL THEN 'settle' ELSE p.kind END
                   AS verb, p.kind = 'release' AND p.key IS NULL AS besides
           FROM credits.postings AS p JOIN public.user_balances AS a ON a.id = p.account
           LEFT JOIN public.credit_transactions AS t ON t.id = p.transaction
           WHERE p.kind NOT IN ('opening', 'expire', 'lapse')"""
    )
    await witness.close()
    there = [dict(row) for row in rows if not row["besides"]]
    done = {one["id"]: one for one in there}
    assert len(done) == len(there), "something was done twice"
    said = Counter[str]()
    for one in eight:
        stories: dict[str, list[Json]] = {}
        for line in (line for line in one.lines() if line["what"] != "born"):
            stories.setdefault(line["id"], []).append(line)
        for story in stories.values():
            said.update([compare(story, done.pop(story[0]["id"], None))])
    assert done == {}, "nobody has asked for it"
    print(dict(said))  # noqa: T201 # how much of each there was
    assert said["told"] > STORIES * LIVES


def compare(story: list[Json], found: Json | None) -> str:
    """Hold what was told about one request against the ledger; return how it ended."""
    asked = sum(line["what"] == "asked" for line in story)
    told = [line for line in story if line["what"] == "told"]
    refused = {line["why"] for line in story if line["what"] == "refused"}
    item = story[0]["item"]
    assert refused <= {"Insufficient", "NotRefundable", "HoldClosed", "Busy"}, story
    if told:
        assert found is not None, ("acknowledged and lost", story)
        assert (found["email"], found["verb"], found["key"]) == (
            item["email"],
            item["verb"],
            item["key"],
        )
        for line in told:
            moved = [found["movement"], found["amount"], found["balance_after"]]
            assert line["told"] == moved, (story, found)
        assert sum(not line["replay"] for line in told) <= 1
        return "told"
    if refused:
        # Asked twice, the first may have been done after the second was refused.
        assert found is None or asked > 1, ("refused and done", story, found)
        return "refused"
    # Nobody was told: one without a key, whose caller was killed, gave up, or was told so.
    assert item["key"] is None, ("never answered", story)
    return "unknown"
