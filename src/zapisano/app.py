"""Composition root of the HTTP processes: the API with the pages, and the webhook.

Routes find what they need on `request.app.state`: `settings`, `database`, `now`, `provider`.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from fastapi import FastAPI

from zapisano.db import Database
from zapisano.payments import YooKassa
from zapisano.settings import Settings
from zapisano.web import checkout, metrics, webhook
from zapisano.web.errors import install_error_handlers


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


def create_api(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 8000: master API, Telegram's updates, checkout pages, the event stream."""
    app = _create("Zapisano", settings, database, now)
    app.include_router(checkout.router)
    app.mount("/static", checkout.static_files(), name="static")
    return app


def create_webhook(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 8001: YooKassa's notifications and the health of what handles them."""
    app = _create("Zapisano: YooKassa webhook", settings, database, now)
    app.include_router(webhook.router)
    return app


def _create(
    title: str, settings: Settings, database: Database, now: Callable[[], datetime]
) -> FastAPI:
    """What both apps have: state, problem JSON, metrics."""
    app = FastAPI(title=title, lifespan=_lifespan)
    app.state.settings, app.state.database, app.state.now = settings, database, now
    app.state.provider = YooKassa(settings)
    install_error_handlers(app)
    app.include_router(metrics.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    yield
    await app.state.provider.close()
