"""PgQueuer's statements on a server that has no room: waited out, where PgQueuer would give up."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.models import Job, TracebackRecord

from zapisano.db import NoRoom
from zapisano.telemetry import get_logger

log = get_logger("zapisano.jobs")

PAUSE_SECONDS = 1.0


@dataclass
class PatientQueries(Queries):
    """A full disk ends no lane and holds no job: nothing is lost but time.

    `kept` counts how often a job could not be handed back: those starts were no crashes.
    """

    kept: Counter[int] = field(default_factory=Counter[int])

    async def dequeue(self, *args: Any, **names: Any) -> list[Job]:  # handed on as they are
        """Take jobs; none while there is no room to write down who has taken them."""
        try:
            return await super().dequeue(*args, **names)
        except NoRoom as error:
            log.warning("database_has_no_room", reason=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
            return []

    async def retry_job(
        self, job: Job, delay: timedelta, traceback_record: TracebackRecord | None
    ) -> None:
        """Hand a job back, or leave it as a killed worker does: it is taken up all the same.

        PgQueuer would hold it. To try again here might hand back a job that runs again by then.
        """
        try:
            await super().retry_job(job, delay, traceback_record)
        except NoRoom as error:
            log.warning("database_has_no_room", reason=type(error).__name__, job=job.id)
            self.kept[job.id] += 1
