"""What one person writes is handled in its order, even when an attempt has to be repeated.

Updates of a person take turns (`storage.InTurn`). Whoever has the turn knows that no other update
of that person is being handled: an earlier one whose job is not over has failed for now, or its
worker was killed. It goes first.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from aiogram import BaseMiddleware
from aiogram.types import TelegramObject

from zapisano.bots import store
from zapisano.bots.jobs import HandleUpdate
from zapisano.db import CONNECTION_LOST, Database, SharedConnection
from zapisano.errors import BrokenSetting, Busy, Passing
from zapisano.jobs import hurry, left
from zapisano.telemetry import get_logger

log = get_logger("zapisano.bots")

# The queue forgets a job a moment after its end; longer ago than this it has.
REMEMBERED = 1000


@dataclass(frozen=True)
class Place:
    """An update's job, if it was tried before, and which jobs of the same person go first."""

    bot_id: int
    update_id: int
    job: int | None
    tried: bool
    earlier: list[int]


async def place_of(conn: SharedConnection, job: HandleUpdate) -> Place:
    """Look at who else is in the line. An update that is not from the inbox is alone."""
    update_id = job.update.get("update_id", 0)
    place = await store.place_in_line(conn, job.bot_id, update_id)
    return Place(job.bot_id, update_id, *place)


class InOrder(BaseMiddleware):
    """Refuses an update while an earlier one has to come again."""

    def __init__(self) -> None:
        """Nothing was handled yet."""
        self._over: deque[int | None] = deque(maxlen=REMEMBERED)
        self._refused: deque[int | None] = deque(maxlen=REMEMBERED)

    async def __call__(self, handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Handle it in its turn.

        Raises:
            Busy: an earlier one comes first.
        """
        place: Place = data["place"]
        earlier = [job for job in place.earlier if job not in self._over]
        if earlier:
            await self._refuse_to_overtake(data["database"], place, earlier)
        try:
            result = await handler(event, data)
        except (Passing, BrokenSetting, *CONNECTION_LOST):
            raise  # it comes again
        except Exception:  # raised again; it is a bug, and nobody waits for that
            await self._give_way(data["database"], place)
            raise
        await self._give_way(data["database"], place)
        return result

    async def _give_way(self, database: Database, place: Place) -> None:
        self._over.append(place.job)
        if place.tried:
            await _call_the_next(database, place)

    async def _refuse_to_overtake(
        self, database: Database, place: Place, earlier: list[int]
    ) -> None:
        """Let those that are still to come go first.

        The first of them is to come soon: its pause was made for a server that was away, and its
        person is here now. Once only, for each attempt is one of those a job has.
        """
        async with database.shared() as conn:
            still = await left(conn, earlier)
            to_come = [job for job in earlier if job in still]
            if to_come and place.job not in self._refused:
                await hurry(conn, to_come[0])
        if to_come:
            self._refused.append(place.job)
            raise Busy("An earlier update of this person has not been handled yet.")


async def _call_the_next(database: Database, place: Place) -> None:
    """End the pause of the one that had to wait for this one; it calls the next in its turn."""
    try:
        async with database.shared() as conn:
            waiting = await store.next_in_line(conn, place.bot_id, place.update_id)
            if waiting is not None:
                await hurry(conn, waiting)
    except (Busy, *CONNECTION_LOST) as error:
        # They come by themselves, and what was just done must not be done again.
        log.info("next_not_called", reason=type(error).__name__)
