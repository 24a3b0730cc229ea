"""Composition root of the HTTP processes: the API with the pages, and the webhook.

Routes find what they need on `request.app.state`: `settings`, `database`, `now`.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI

from zapisano.bots.route import telegram_router
from zapisano.db import Database
from zapisano.settings import Settings


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


def create_api(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 8000: master API, Telegram's updates, checkout pages, the event stream."""
    app = FastAPI(title="Zapisano", lifespan=_lifespan)
    app.state.settings, app.state.database, app.state.now = settings, database, now
    app.include_router(telegram_router())
    return app


def create_webhook(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 8001: YooKassa's notifications and the health of what handles them."""
    app = FastAPI(title="Zapisano: YooKassa webhook", lifespan=_lifespan)
    app.state.settings, app.state.database, app.state.now = settings, database, now
    return app


@asynccontextmanager
async def _lifespan(_: FastAPI) -> AsyncGenerator[None]:
    yield
