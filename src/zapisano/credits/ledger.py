"""The way to the ledger: requests that wait at one instant travel together.

While a batch is under way, whatever else arrives waits and is the next batch; there is no timer,
so a request that comes alone goes at once. All requests of one address take the same lane. A
caller who gives up takes nobody along. An account that somebody else keeps is waited
for aside, in a lane of its own. A batch whose connection was lost may be done or not: what has a
key is asked again by it, and whoever has none, or gets no answer, is told that nobody knows.
"""

import asyncio
import hashlib
import zlib
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from zapisano.credits.model import (
    Account,
    AccountFrozen,
    Answer,
    Item,
    KeyReused,
    Outcome,
    OutcomeUnknown,
    Posted,
    Rules,
    Verb,
    posted,
    refuse,
)
from zapisano.credits.store import movements as store
from zapisano.db import Connection, Database, Locked, connection_is_lost
from zapisano.errors import Busy
from zapisano.telemetry import get_logger

log = get_logger("zapisano.credits")

LANES = 2
LARGEST_BATCH = 512
LONGEST_QUEUE = 20_000  # of a lane; about a second of work
ATTEMPTS_TO_MEND = 5
# Between attempts to ask again after a lost connection: a restart of PostgreSQL takes seconds.
PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0)
# An account that somebody keeps is waited for ten seconds in all, half of one at a time; and never
# by more than two of the pool's connections, however many accounts are kept.
ATTEMPTS_TO_LOCK = 20
WAIT_AT_ONCE = 2
TO_MEND = (Outcome.NO_ACCOUNT, Outcome.EXPIRY_DUE, Outcome.TWIN)  # a set would hash their names


@dataclass(slots=True)
class _Waiting:
    item: Item
    answer: asyncio.Future[Answer]
    was_lost: bool = False
    attempts: int = 0

    def tell(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Pass an error on; once a batch was lost, none of them says that nothing was done."""
        if self.was_lost:
            error, cause = OutcomeUnknown(), error
            error.__cause__ = cause
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Way:
    """What all lanes of a ledger share; `places` are for those who wait for a row."""

    database: Database
    rules: Rules
    now: Callable[[], datetime]
    places: asyncio.Semaphore


class _Lost(Exception):
    """The connection went while the database was working."""


class Ledger:
    """Moves credits, each movement a commit of its own, batched with those beside it."""

    def __init__(
        self,
        database: Database,
        rules: Rules,
        now: Callable[[], datetime],
        *,
        lanes: int = LANES,
    ) -> None:
        """Nothing is opened until somebody asks."""
        self.rules = rules
        self._database = database
        self._now = now
        way = _Way(database, rules, now, asyncio.Semaphore(WAIT_AT_ONCE))
        self._lanes = [_Lane(way) for _ in range(lanes)]

    async def post(self, item: Item) -> Posted:
        """Do what `item` asks for; an account that is not there yet is made.

        Raises:
            Insufficient, KeyReused, TooMuch, NotRefundable, UnknownHold, HoldClosed,
            AccountFrozen: nothing was moved.
            OutcomeUnknown: nobody can know whether it was.
            Busy: nothing was moved; with a key, asking again is safe in any case.
        """
        lane = self._lanes[zlib.crc32(item.email.encode()) % len(self._lanes)]
        for _ in range(ATTEMPTS_TO_MEND):
            answer = await lane.ask(item)
            while answer.outcome is Outcome.TWIN:  # of every batch at least one is done
                answer = await lane.ask(item)
            if answer.outcome not in TO_MEND:
                return posted(answer)
            # Mending moves nothing of what was asked, so if it fails that is known.
            async with self._statements() as conn:
                await _mend(conn, self.rules, item.email, answer.outcome, self._now())
        raise Busy

    async def account(self, email: str) -> Account:
        """Return an account as it stands now; a first visit makes it.

        Raises:
            AccountFrozen: the operator has to decide about it.
            Busy: the database is not answering.
        """
        async with self._statements() as conn:
            return await account(conn, self.rules, email, self._now())

    async def claim_batch(self, key: str, asked: str) -> None:
        """Let a batch have a key: this one, and whenever it is sent again.

        Raises:
            KeyReused: another batch was sent under it.
            Busy: the database is not answering.
        """
        params = hashlib.sha256(asked.encode(errors="surrogatepass")).digest()
        async with self._statements() as conn:
            if not await store.claim_batch(conn, key, params):
                raise KeyReused

    async def renew(self, email: str, hold: UUID, expires_at: datetime) -> None:
        """Keep a hold open until `expires_at`.

        Raises:
            UnknownHold, HoldClosed: it has ended, or there is none.
            AccountFrozen: the operator has to decide about the account.
        """
        async with self._statements() as conn:
            await renew(conn, self.rules, email, hold, self._now(), expires_at)

    @asynccontextmanager
    async def _statements(self) -> AsyncGenerator[Connection]:
        """Lend a connection for what may be asked again as it was."""
        async with self._database.statements() as conn:
            try:
                yield conn
            except Exception as error:  # raised again
                if connection_is_lost(error):
                    raise Busy from error
                raise

    async def close(self) -> None:
        """Finish what is waiting."""
        for lane in self._lanes:
            await lane.close()


async def post(conn: Connection, rules: Rules, item: Item, now: datetime) -> Posted:
    """Do what `item` asks for on this connection: in the caller's transaction, if it is in one.

    Raises:
        As `Ledger.post`.
    """
    for _ in range(ATTEMPTS_TO_MEND):
        (answer,) = await store.post(conn, rules, [item], now)
        if answer.outcome not in TO_MEND:
            return posted(answer)
        await _mend(conn, rules, item.email, answer.outcome, now)
    raise Busy


async def account(conn: Connection, rules: Rules, email: str, now: datetime) -> Account:
    """Return an account as it stands at `now`; a first visit makes it.

    Raises:
        AccountFrozen: the operator has to decide about it.
    """
    for _ in range(ATTEMPTS_TO_MEND):
        found = await store.find_account(conn, email)
        if found is None:
            await _mend(conn, rules, email, Outcome.NO_ACCOUNT, now)
        elif found.expires_at is not None and found.expires_at <= now:
            await _mend(conn, rules, email, Outcome.EXPIRY_DUE, now)
        else:
            return found
    raise Busy


async def renew(
    conn: Connection, rules: Rules, email: str, hold: UUID, now: datetime, expires_at: datetime
) -> None:
    """Keep a hold open until `expires_at`.

    Raises:
        UnknownHold, HoldClosed: it has ended, or there is none.
        AccountFrozen: the operator has to decide about the account.
    """
    for _ in range(ATTEMPTS_TO_MEND):
        outcome = await store.renew(conn, email, hold, now, expires_at)
        if outcome is Outcome.OK:
            return
        if outcome not in TO_MEND:
            refuse(outcome)
        await _mend(conn, rules, email, outcome, now)
    raise Busy


async def _mend(
    conn: Connection, rules: Rules, email: str, outcome: Outcome, now: datetime
) -> None:
    if outcome is Outcome.EXPIRY_DUE:
        await store.expire(conn, rules, email, now)
    elif outcome is Outcome.NO_ACCOUNT and not await store.open_account(conn, rules, email):
        raise AccountFrozen


class _Lane:
    """One batch under way at a time."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self._waiting: deque[_Waiting] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None  # kept, for the loop itself keeps none
        self._aside: dict[str, _Aside] = {}

    async def ask(self, item: Item) -> Answer:
        lane = self._aside.get(item.email, self)
        if lane.is_full:
            raise Busy
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        if lane is self and self._idle.is_set():
            await self._serve_alone(waiting)
        else:
            lane.take(waiting)
        return await waiting.answer

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= LONGEST_QUEUE

    def take(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        if self._idle.is_set():
            self._start()

    async def close(self) -> None:
        while not self._idle.is_set():  # who was served alone hands over to those behind him
            await self._idle.wait()
        for lane in list(self._aside.values()):
            await lane.close()

    async def _serve_alone(self, waiting: _Waiting) -> None:
        """Serve whoever finds the lane empty, in his own task: another's costs him a tenth more."""
        self._idle.clear()
        try:
            await self._serve([waiting])
        finally:
            self._idle.set()
            if self._waiting:
                self._start()

    def _start(self) -> None:
        self._idle.clear()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while self._waiting:
                # Whoever has given up before being sent is left out.
                count = min(len(self._waiting), LARGEST_BATCH)
                taken = (self._waiting.popleft() for _ in range(count))
                if batch := [one for one in taken if not one.answer.done()]:
                    await self._serve(batch)
        finally:
            self._idle.set()

    async def _serve(self, batch: Sequence[_Waiting]) -> None:
        """Answer everybody in the batch, with an error if it must be, or put them off."""
        try:
            answers = await self._send([one.item for one in batch])
        except _Lost:
            await self._ask_again(batch)
        except Locked:
            self._put_off(batch)
        except Exception as error:  # noqa: BLE001 # a runner's: it goes to those who wait
            await self._take_apart(batch, error)
        else:
            self._tell(batch, answers)

    def _tell(self, batch: Sequence[_Waiting], answers: Sequence[Answer]) -> None:
        kept: list[_Waiting] = []
        for one, answer in zip(batch, answers, strict=True):
            if answer.outcome is Outcome.LOCKED:
                kept.append(one)
            else:
                one.tell(answer)
        self._put_off(kept)

    def _put_off(self, batch: Sequence[_Waiting]) -> None:
        """Let them wait for their accounts where nobody else waits."""
        for one in batch:
            email = one.item.email
            if email not in self._aside:
                self._aside[email] = _Aside(self._way, self._aside, email)
            self._aside[email].take(one)

    async def _take_apart(self, batch: Sequence[_Waiting], error: Exception) -> None:
        """Serve each alone: one of them is at fault, and the others must not suffer for it."""
        if len(batch) == 1 or isinstance(error, Busy):
            for one in batch:
                one.fail(error)
            return
        for one in batch:
            await self._serve([one])

    async def _send(self, items: Sequence[Item]) -> list[Answer]:
        """Send a batch in one trip.

        Raises:
            _Lost: it may be done or not.
            Busy: it is not done.
        """
        async with self._way.database.statements() as conn:
            try:
                return await self._post(conn, items)
            except Exception as error:  # raised again
                if connection_is_lost(error.__cause__ or error):
                    raise _Lost from error
                raise

    async def _post(self, conn: Connection, items: Sequence[Item]) -> list[Answer]:
        if len(items) == 1 and (answer := await self._charge(conn, items[0])):
            return [answer]
        return await store.post(conn, self._way.rules, items, self._way.now(), waits=False)

    async def _charge(self, conn: Connection, item: Item) -> Answer | None:
        """Take the short way, where there is one."""
        if item.verb is not Verb.CHARGE or item.amount is None:
            return None
        return await store.charge(conn, self._way.rules, item, self._way.now())

    async def _ask_again(self, batch: Sequence[_Waiting]) -> None:
        """Ask by their keys what became of them, until the database answers again."""
        log.warning("batch_lost", items=len(batch))
        for one in batch:
            one.was_lost = True
            if one.item.key is None:
                one.fail(OutcomeUnknown())
        keyed = [one for one in batch if one.item.key is not None]
        for pause_seconds in PAUSES_SECONDS if keyed else ():
            await asyncio.sleep(pause_seconds)
            try:
                answers = await self._send([one.item for one in keyed])
            except Locked:
                self._put_off(keyed)
            except (Busy, _Lost):
                continue
            except Exception as error:  # noqa: BLE001 # a runner's: it goes to those who wait
                await self._take_apart(keyed, error)
            else:
                self._tell(keyed, answers)
            return
        for one in keyed:
            one.fail(OutcomeUnknown())


class _Aside(_Lane):
    """The lane of one account, for as long as somebody keeps its row."""

    def __init__(self, way: _Way, asides: dict[str, "_Aside"], email: str) -> None:
        super().__init__(way)
        self._asides, self._email = asides, email

    async def _run(self) -> None:
        try:
            await super()._run()
        finally:  # in the same step as it was found empty: nobody comes between
            del self._asides[self._email]

    async def _send(self, items: Sequence[Item]) -> list[Answer]:
        async with self._way.places:
            return await super()._send(items)

    async def _post(self, conn: Connection, items: Sequence[Item]) -> list[Answer]:
        return await store.post(conn, self._way.rules, items, self._way.now())

    def _put_off(self, batch: Sequence[_Waiting]) -> None:
        """Wait once more, behind the other accounts that are waited for."""
        for one in batch:
            one.attempts += 1
            if one.attempts < ATTEMPTS_TO_LOCK:
                self.take(one)
            else:
                one.fail(Locked())
