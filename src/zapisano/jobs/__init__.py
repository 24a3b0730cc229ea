"""Work for now on PgQueuer, work for later as due rows."""

from zapisano.jobs.model import Job, Lane
from zapisano.jobs.runner import Handlers, Runner
from zapisano.jobs.store import any_to_come, enqueue, schedule, tick, unschedule

__all__ = [
    "Handlers",
    "Job",
    "Lane",
    "Runner",
    "any_to_come",
    "enqueue",
    "schedule",
    "tick",
    "unschedule",
]
