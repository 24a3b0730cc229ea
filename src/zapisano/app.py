"""Composition root of the HTTP processes: the API with the pages, and the webhook.

Routes find what they need on `request.app.state`: `settings`, `database`, `now`, `provider`, and
on the API `feed`.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Literal

from fastapi import FastAPI

from zapisano import __version__
from zapisano.bots.route import telegram_router
from zapisano.clock import utc_now
from zapisano.credits.prices import read_prices
from zapisano.db import (
    START_PATIENCE_SECONDS,
    Database,
    check_addresses,
    open_alone,
    open_database,
)
from zapisano.errors import BrokenSetting
from zapisano.payments import YooKassa, counting_errors
from zapisano.settings import Settings
from zapisano.web import checkout, docs, events, master, metrics, webhook
from zapisano.web.billing.routes import install_billing
from zapisano.web.body import BodyLimit
from zapisano.web.errors import install_error_handlers
from zapisano.web.feed import Feed
from zapisano.web.serving import Site, bind, serve

Part = Literal["api", "credits", "webhook"]
ABOUT_TENANTS = (
    "Calls of /api/tenants carry the header `Authorization: Bearer <MASTER_API_TOKEN>`; their "
    "errors are problem JSON with a `code` for programs and a `detail` for people. "
)
ABOUT_CREDITS = (
    "Calls of /api/billing carry the session of the web app's user, or a server key; their errors "
    'are `{"success": false, "error": …}` with a code for programs in the header X-Error-Code, and '
    "numbers are exact decimals. "
)


def create_api(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 8000: master API, Telegram's updates, checkout pages, the event stream."""
    app = FastAPI(
        title="Zapisano",
        version=__version__,
        summary="The operator's side: tenants and what happens to them. The token is "
        "MASTER_API_TOKEN; where none is set, master_api_token in secrets.json of the data folder.",
        description=ABOUT_TENANTS + ABOUT_CREDITS,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _equip(app, settings, database, now)
    app.state.feed = Feed(database)
    app.include_router(master.router)
    app.include_router(events.router)
    app.include_router(docs.router)
    install_billing(app)
    app.include_router(telegram_router(settings, database), include_in_schema=False)
    app.include_router(checkout.router, include_in_schema=False)
    app.mount("/static", checkout.static_files(), name="static")
    return app


def create_credits(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 3000: credits alone, as beside a web app or on a platform of functions.

    Raises:
        BrokenSetting: the price list cannot be read.
    """
    read_prices(settings.credits_prices_file)
    app = FastAPI(
        title="Zapisano: credits",
        version=__version__,
        summary="Prepaid credits for an AI web app: balances, charges, holds and top-ups.",
        description=ABOUT_CREDITS,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
    )
    _equip(app, settings, database, now)
    install_billing(app)
    app.include_router(docs.router)
    return app


def create_webhook(
    settings: Settings, database: Database, *, now: Callable[[], datetime] = utc_now
) -> FastAPI:
    """Port 8001: YooKassa's notifications and the health of what handles them."""
    app = FastAPI(
        title="Zapisano: YooKassa webhook", lifespan=_lifespan, docs_url=None, redoc_url=None
    )
    _equip(app, settings, database, now)
    webhook.install_webhook(app)
    return app


def _equip(
    app: FastAPI, settings: Settings, database: Database, now: Callable[[], datetime]
) -> None:
    """What both apps have: state, a limit on bodies, problem JSON, metrics."""
    app.state.settings, app.state.database, app.state.now = settings, database, now
    app.state.provider = YooKassa(settings, counting_errors(database, now))
    app.add_middleware(BodyLimit)
    install_error_handlers(app)
    app.include_router(metrics.router, include_in_schema=False)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncGenerator[None]:
    yield
    feed: Feed | None = getattr(app.state, "feed", None)
    if feed:
        await feed.close()
    if ledger := getattr(app.state, "ledger", None):
        await ledger.close()
    if limiter := getattr(app.state, "limiter", None):
        await limiter.close()
    await app.state.provider.close()


CREATORS: dict[Part, Callable[[Settings, Database], FastAPI]] = {
    "api": create_api,
    "credits": create_credits,
    "webhook": create_webhook,
}
PORTS: dict[Part, tuple[str, str]] = {
    "api": ("api_port", "ZAPISANO_API_PORT"),
    "credits": ("credits_port", "ZAPISANO_CREDITS_PORT"),
    "webhook": ("webhook_port", "ZAPISANO_WEBHOOK_PORT"),
}


async def run(settings: Settings, parts: Sequence[Part], *, port: int | None = None) -> None:
    """Serve one part or both in this process, until told to stop.

    Raises:
        BrokenSetting: a port is taken, an address cannot be read, or CLIENT_ID is set.
        Busy: the database is not answering.
    """
    if settings.only_tenant:
        raise BrokenSetting(
            "CLIENT_ID: a server serves every tenant; leave it out here. `zapisano worker` serves "
            "one tenant alone"
        )
    listeners = {
        part: bind(settings.host, port or getattr(settings, PORTS[part][0]), PORTS[part][1])
        for part in parts
    }
    check_addresses(settings)
    # Credits alone may be on a database that has nothing else, or is not there yet.
    database = (
        open_alone(settings)
        if list(parts) == ["credits"]
        else await open_database(settings, patience_seconds=START_PATIENCE_SECONDS)
    )
    try:
        sites: list[Site] = []
        for part in parts:
            app = CREATORS[part](settings, database)
            feed: Feed | None = getattr(app.state, "feed", None)
            sites.append(Site(app, listeners[part], feed.stop if feed else None))
        await serve(sites, plain_lines=not settings.log_json)
    finally:
        await database.close()
