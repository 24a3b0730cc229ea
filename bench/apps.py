"""`python -m bench.apps PORT bare|usual|ours DSN`: the three servers that are compared.

`bare` checks the session and the body as ours does, by the same short way, and touches no database;
`usual` is a FastAPI route with dependencies that deducts in five round trips with FOR UPDATE, as
a web app usually does; `ours` is the product.
"""

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated

import asyncpg
import uvloop
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.middleware import Middleware

from zapisano.app import create_credits
from zapisano.clock import utc_now
from zapisano.credits.keys import Scope
from zapisano.db import Database, open_alone
from zapisano.settings import Settings, load
from zapisano.web.billing.account import Charge
from zapisano.web.billing.bodies import key_of, read
from zapisano.web.billing.caller import Mover, moving_caller
from zapisano.web.body import BodyLimit
from zapisano.web.errors import install_error_handlers
from zapisano.web.plain import plain, short
from zapisano.web.serving import Site, bind, serve
from zapisano.web.shortcut import Shortcut

CONNECTIONS = 16
PATH = "/api/billing/deduct"


async def bare(request: Request) -> Response:
    """Answer as if something had been deducted."""
    caller = await moving_caller(request)
    body = await read(Charge, request)
    key_of(request)
    caller.account(body.email, Scope.CHARGE)
    due = body.due(request.app.state.settings)
    return _told(due.total, due.total, body.operation)


async def _body(request: Request) -> Charge:
    return await read(Charge, request)


async def usual(
    request: Request,
    caller: Mover,
    body: Annotated[Charge, Depends(_body)],
) -> Response:
    """Deduct in five round trips."""
    email = caller.account(body.email, Scope.CHARGE)
    amount = body.due(request.app.state.settings).total
    async with request.app.state.pool.acquire() as conn, conn.transaction():
        balance = await conn.fetchval(
            "SELECT balance FROM plain.user_balances WHERE email = $1 FOR UPDATE", email
        )
        await conn.execute(
            """UPDATE plain.user_balances SET balance = balance - $2,
                   total_spent = total_spent + $2, updated_at = now() WHERE email = $1""",
            email,
            amount,
        )
        await conn.execute(
            """INSERT INTO plain.credit_transactions
                   (email, amount, operation, metadata, balance_after)
               VALUES ($1, $2, $3, $4, $5)""",
            email,
            amount,
            body.operation,
            body.metadata,
            balance - amount,
        )
    return _told(amount, balance, body.operation)


def _told(amount: Decimal, balance: Decimal, operation: str) -> Response:
    return plain(
        {
            "success": True,
            "deducted": short(amount),
            "balanceBefore": short(balance),
            "balanceAfter": short(balance - amount),
            "operation": operation,
        }
    )


def _compared(settings: Settings, database: Database, which: str) -> FastAPI:
    """An app with everything around its route that ours has around it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with asyncpg.create_pool(
            database.dsn, min_size=CONNECTIONS, max_size=CONNECTIONS
        ) as app.state.pool:
            yield

    app = FastAPI(lifespan=lifespan)
    app.state.settings, app.state.database, app.state.now = settings, database, utc_now
    app.state.session_secrets = settings.session_secrets
    app.add_middleware(BodyLimit)
    install_error_handlers(app)
    if which == "bare":
        app.user_middleware.append(Middleware(Shortcut, "POST", PATH, bare))
    else:
        app.post(PATH)(usual)
    return app


async def main(port: int, which: str, dsn: str) -> None:
    """Serve one of the three until told to stop."""
    os.environ["DATABASE_URL"] = dsn
    settings = load()
    database = open_alone(settings)
    app = (
        create_credits(settings, database)
        if which == "ours"
        else _compared(settings, database, which)
    )
    await serve([Site(app, bind("127.0.0.1", port, "PORT"))], plain_lines=False)
    await database.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
