"""`python -m bench.tills PORT bare|ours`: two servers that acknowledge notifications.

`bare` is a Starlette handler that inserts the same row with ON CONFLICT and enqueues one job, in
one transaction, and does nothing else; `ours` is the product. Same server, same connections.
"""

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import uvloop
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from zapisano.app import create_webhook
from zapisano.db import open_database
from zapisano.settings import load
from zapisano.web.serving import Site, bind, serve

CONNECTIONS = 8


async def bare(request: Request) -> JSONResponse:
    """Keep the notification and ask for one job."""
    raw = await request.body()
    said = from_json(raw)
    event, object_id = said["event"], said["object"]["id"]
    async with request.app.state.pool.acquire() as conn, conn.transaction():
        await conn.execute(
            """INSERT INTO shared.notifications (event, object_id, body, sender)
               VALUES ($1, $2, $3, $4) ON CONFLICT (event, object_id) DO NOTHING""",
            event,
            object_id,
            raw.decode(),
            request.client.host if request.client else "",
        )
        await conn.execute(
            """INSERT INTO shared.pgqueuer (priority, status, entrypoint, payload)
               VALUES (0, 'queued', 'payments.settle', $1)""",
            b'{"payment_id": "%s", "via": "notification"}' % object_id.encode(),
        )
    return JSONResponse({"status": "ok"})


def _bare(dsn: str) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with asyncpg.create_pool(
            dsn, min_size=CONNECTIONS, max_size=CONNECTIONS
        ) as app.state.pool:
            yield

    return Starlette(routes=[Route("/webhook/yookassa", bare, methods=["POST"])], lifespan=lifespan)


async def main(port: int, which: str) -> None:
    """Serve one of the two, by the environment's settings, until told to stop."""
    settings = load()
    database = await open_database(settings)
    app = create_webhook(settings, database) if which == "ours" else _bare(database.dsn)
    await serve([Site(app, bind("127.0.0.1", port, "PORT"))], plain_lines=False)
    await database.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), sys.argv[2]))
