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
from zapisano.errors import Busy, Passing
from zapisano.jobs import hurry, left

# The queue forgets a job a moment after its end; longer ago than this it has.
REMEMBERED = 1000


@dataclass(frozen=True)
class Place:
    """An update's job, and the jobs of the same person's earlier updates that are not over."""

    job: int | None
    earlier: list[int]


async def place_of(conn: SharedConnection, job: HandleUpdate) -> Place:
    """Look at who else is in the line. An update that is not from the inbox is alone."""
    return Place(*await store.jobs_up_to(conn, job.bot_id, job.update.get("update_id", 0)))


class InOrder(BaseMiddleware):
    """Refuses an update while an earlier one has to come again."""

    def __init__(self) -> None:
        """Nothing was handled yet."""
        self._over: deque[int | None] = deque(maxlen=REMEMBERED)

    async def __call__(self, handler: Any, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Handle it in its turn.

        Raises:
            Busy: an earlier one comes first.
        """
        place: Place = data["place"]
        earlier = [job for job in place.earlier if job not in self._over]
        if earlier:
            await _refuse_to_overtake(data["database"], earlier)
        try:
            result = await handler(event, data)
        except (Passing, *CONNECTION_LOST):
            raise  # it comes again
        except Exception:  # raised again; a bug, or refused: nobody waits for that
            self._over.append(place.job)
            raise
        self._over.append(place.job)
        return result


async def _refuse_to_overtake(database: Database, earlier: list[int]) -> None:
    """Let those that are still to come go first, and soon.

    Their pause was made for a server that was away, and their person is here now.
    """
    async with database.shared() as conn:
        to_come = await left(conn, earlier)
        await hurry(conn, to_come)
    if to_come:
        raise Busy("An earlier update of this person has not been handled yet.")
