"""Work for now on PgQueuer, work for later as due rows."""

from zapisano.jobs.model import Job, Lane
from zapisano.jobs.runner import Handlers, Runner
from zapisano.jobs.store import enqueue, hurry, left, schedule, tick, unschedule

__all__ = [
    "Handlers",
    "Job",
    "Lane",
    "Runner",
    "enqueue",
    "hurry",
    "left",
    "schedule",
    "tick",
    "unschedule",
]
