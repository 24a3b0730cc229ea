"""A caller of the ledger for the storm: many requests at once, each with its story in a file.

usage: ledger_client.py NUMBER SEED JOURNAL; settings come from the environment.

Every request is written down before it is asked, and what was told of it after that; each line is
flushed to the disk. One with a key is asked until something is told, by the next process of this
number if this one is killed. SIGTERM: finish what was begun and end.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from zapisano.clock import utc_now
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import FINEST, Item, OutcomeUnknown, Posted, Rules, Verb
from zapisano.db import open_alone
from zapisano.errors import AppError, Busy
from zapisano.settings import load

AT_ONCE = 16
HOT = "hot@example.org"
COLD = [f"cold{number}@example.org" for number in range(60)]
PATIENCE_SECONDS = (0.02, 0.3, 30.0, 30.0)  # some callers have next to none
PAUSE_SECONDS = 0.05
Json = dict[str, Any]


def written(item: Item) -> Json:
    return {
        "email": item.email,
        "verb": item.verb,
        "amount": None if item.amount is None else str(item.amount),
        "cost": None if item.cost is None else str(item.cost),
        "operation": item.operation,
        "key": item.key,
        "hold": None if item.hold is None else str(item.hold),
        "expires_at": None if item.expires_at is None else item.expires_at.isoformat(),
        "refers": item.refers,
        "partial": item.partial,
    }


def read(said: Json) -> Item:
    return Item(
        said["email"],
        Verb(said["verb"]),
        None if said["amount"] is None else Decimal(said["amount"]),
        None if said["cost"] is None else Decimal(said["cost"]),
        said["operation"],
        key=said["key"],
        hold=None if said["hold"] is None else UUID(said["hold"]),
        expires_at=said["expires_at"] and datetime.fromisoformat(said["expires_at"]),
        refers=said["refers"],
        partial=said["partial"],
    )


class Journal:
    """Lines of one number, of all its processes; a line cut off by a kill is not there."""

    def __init__(self, path: Path) -> None:
        lines = path.read_text().splitlines() if path.exists() else []
        self.before = [json.loads(line) for line in lines if line.endswith("}}")]
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        os.write(self._file, b"\n")

    def write(self, what: str, item: Item, **more: object) -> None:
        line = {"what": what, "id": item.operation, **more, "item": written(item)}
        os.write(self._file, json.dumps(line).encode() + b"\n")
        os.fsync(self._file)

    def unfinished(self) -> Iterable[Item]:
        """What was asked with a key and not answered yet."""
        ends = {one["id"] for one in self.before if one["what"] in ("told", "refused", "unknown")}
        asked = {o["id"]: o["item"] for o in self.before if o["what"] == "asked"}
        asked = {name: item for name, item in asked.items() if name not in ends}
        return (read(item) for item in asked.values() if item["key"])


class Caller:
    """Draws requests and tells their stories."""

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        journal: Journal,
        draw: random.Random,
        ends: asyncio.Event,
    ) -> None:
        self.name, self.ledger, self.journal, self.draw = name, ledger, journal, draw
        self.ends = ends
        self.charged: deque[tuple[str, Posted]] = deque(maxlen=50)
        self.count = 0

    async def post(self, item: Item) -> Posted | None:
        """Ask until something is told."""
        while True:
            self.journal.write("asked", item)
            try:
                async with asyncio.timeout(self.draw.choice(PATIENCE_SECONDS)):
                    posted = await self.ledger.post(item)
            except (TimeoutError, Busy) as error:
                if item.key is None:
                    surely_not = isinstance(error, Busy) and not isinstance(error, OutcomeUnknown)
                    self.journal.write("refused" if surely_not else "unknown", item, why="Busy")
                    return None
                await asyncio.sleep(PAUSE_SECONDS)
            except AppError as error:
                self.journal.write("refused", item, why=type(error).__name__)
                return None
            else:
                told = [posted.movement, str(posted.amount), str(posted.balance_after)]
                self.journal.write("told", item, told=told, replay=posted.is_replay)
                if item.verb is Verb.CHARGE:
                    self.charged.append((item.email, posted))
                return posted

    def item(self, verb: Verb, email: str | None = None, **values: Any) -> Item:
        """A request of its own name and, mostly, of its own key."""
        self.count += 1
        name = f"{self.name}-{self.count}"
        key = None if verb is Verb.CHARGE and self.draw.random() < 0.2 else name
        someone = HOT if self.draw.random() < 0.5 else self.draw.choice(COLD)
        return Item(email or someone, verb, operation=name, key=key, **values)

    def sum(self) -> Decimal:
        return Decimal(self.draw.randint(1, 300)) / 100

    async def lives(self) -> None:
        """One thing after the other, as long as nobody says stop."""
        what = (self.charges, self.charges, self.batch, self.holds, self.holds, self.credits)
        while not self.ends.is_set():
            await self.draw.choice((*what, self.refunds))()

    async def charges(self) -> None:
        if self.draw.random() < 0.3:
            await self.post(self.item(Verb.CHARGE, cost=(self.sum() / 777777).quantize(FINEST)))
        else:
            await self.post(self.item(Verb.CHARGE, amount=self.sum()))

    async def batch(self) -> None:
        items = [self.item(Verb.CHARGE, amount=self.sum()) for _ in range(self.draw.randint(2, 8))]
        twins = [item for item in items if item.key and self.draw.random() < 0.2]
        await asyncio.gather(*(self.post(item) for item in items + twins))

    async def holds(self) -> None:
        lasts = timedelta(seconds=self.draw.choice((0.5, 2, 60)))
        hold = UUID(int=self.draw.getrandbits(128), version=4)
        item = self.item(Verb.HOLD, amount=self.sum(), hold=hold, expires_at=utc_now() + lasts)
        posted = await self.post(item)
        if posted is None or self.draw.random() < 0.2:
            return
        if self.draw.random() < 0.3:
            await self.post(self.item(Verb.RELEASE, item.email, hold=posted.hold))
            return
        partial = self.draw.random() < 0.5
        settle = self.item(Verb.SETTLE, item.email, hold=posted.hold, amount=self.sum())
        await self.post(replace(settle, partial=partial))

    async def credits(self) -> None:
        grant = self.item(
            Verb.GRANT, amount=self.sum(), expires_at=utc_now() + timedelta(seconds=2)
        )
        await self.post(self.draw.choice((grant, self.item(Verb.TOPUP, amount=self.sum() * 20))))

    async def refunds(self) -> None:
        if self.charged:
            email, posted = self.draw.choice(self.charged)
            amount = max(-posted.amount / 2, Decimal("0.01")).quantize(Decimal("0.01"))
            refund = self.item(Verb.REFUND, email, amount=amount, refers=posted.movement)
            await self.post(refund)


async def main(number: str, seed: str, path: Path) -> None:
    """Begin where the one before was killed."""
    settings = load()
    database = open_alone(settings)
    ledger = Ledger(database, Rules.of(settings), utc_now)
    ends = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ends.set)
    journal = Journal(path)
    # The same draws for the same life of the same number; names that no other life has.
    lives = sum(one["what"] == "born" for one in journal.before)
    name = f"{number}-{lives}"
    draw = random.Random(f"{seed}-{name}")  # noqa: S311 # draws, not secrets
    journal.write("born", Item(HOT, Verb.RELEASE, operation=name))
    caller = Caller(name, ledger, journal, draw, ends)
    async with asyncio.TaskGroup() as tasks:
        for item in journal.unfinished():
            tasks.create_task(caller.post(item))
        for _ in range(AT_ONCE):
            tasks.create_task(caller.lives())
    await ledger.close()
    await database.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
