"""All routes of credits, and what they need on `request.app.state`."""

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Rules
from zapisano.limits import Limiter
from zapisano.settings import Settings
from zapisano.web.billing import account, auto_topup, cron, migrate, server, topup, transactions
from zapisano.web.shortcut import Shortcut


def install_billing(app: FastAPI) -> None:
    """Put credits on an app whose `state` has `settings`, `database` and `now`.

    Raises:
        BrokenSetting: a secret is too short.
    """
    settings: Settings = app.state.settings
    settings.refuse_short_secrets()
    app.state.session_secrets = settings.session_secrets
    app.state.ledger = Ledger(app.state.database, Rules.of(settings), app.state.now)
    app.state.limiter = Limiter(settings)
    if settings.credits_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.credits_origins),
            allow_credentials=True,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Content-Type", "Idempotency-Key"],
            expose_headers=["X-Error-Code", "Retry-After"],
        )
    app.user_middleware.append(Middleware(Shortcut, "POST", "/api/billing/deduct", account.deduct))
    for module in (migrate, account, transactions, topup, auto_topup, server, cron):
        app.include_router(module.router)
