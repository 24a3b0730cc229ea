"""What routes find on the app, with types."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import FastAPI, Request

from zapisano.db import Database
from zapisano.payments import Provider
from zapisano.settings import Settings


@dataclass(frozen=True)
class State:
    """Settings, database, clock and payment provider of a running app."""

    settings: Settings
    database: Database
    now: Callable[[], datetime]
    provider: Provider


def state_of(request: Request) -> State:
    """Return what the composition root has put on the request's app."""
    app: FastAPI = request.app
    return State(app.state.settings, app.state.database, app.state.now, app.state.provider)
