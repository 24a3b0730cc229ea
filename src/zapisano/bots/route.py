"""Where Telegram brings updates: `POST /telegram/{path}`, a path that nobody can guess."""

import hmac
import time
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from structlog.contextvars import bind_contextvars

from zapisano.bots import inbox, store
from zapisano.db import Database
from zapisano.errors import NotFound, Unauthorized
from zapisano.settings import Settings
from zapisano.vault import Vault

SECRET_HEADER = "x-telegram-bot-api-secret-token"  # noqa: S105 # the header's name
DOOR_SECONDS = 30.0
MOST_DOORS = 4096


@dataclass(frozen=True)
class Door:
    """What a path leads to; known for a short while, so that most updates cost one round trip."""

    bot_id: int
    tenant_id: str | None
    secret: bytes
    known_until: float


class Doors:
    """The paths that were asked for lately. Only existing ones, so strangers cannot fill it."""

    def __init__(self) -> None:
        """Know none."""
        self._known: dict[str, Door] = {}

    async def find(self, database: Database, path: str) -> Door:
        """Return what is behind `path`.

        Raises:
            NotFound: nothing is.
        """
        door = self._known.get(path)
        if door and door.known_until > time.monotonic():
            return door
        async with database.shared() as conn:
            found = await store.find_door(conn, path)
        if found is None:
            self._known.pop(path, None)
            raise NotFound
        if len(self._known) >= MOST_DOORS:
            self._known.clear()
        bot_id, tenant_id, secret = found
        door = Door(bot_id, tenant_id, secret.encode(), time.monotonic() + DOOR_SECONDS)
        self._known[path] = door
        return door


def telegram_router(settings: Settings, database: Database) -> APIRouter:
    """Return the route."""
    router = APIRouter()
    intake = Intake(database, Vault(settings), Doors())

    @router.post("/telegram/{path}")
    async def receive(path: str, request: Request) -> Response:
        await intake.take_in(path, request)
        return Response(status_code=200)

    return router


@dataclass(frozen=True)
class Intake:
    """From a request to a stored update."""

    database: Database
    vault: Vault
    doors: Doors

    async def take_in(self, path: str, request: Request) -> None:
        """Check the secret, then the body; store the update and its job in one commit."""
        door = await self.doors.find(self.database, path)
        bind_contextvars(bot=door.bot_id, tenant=door.tenant_id)
        # Bytes: a header that is not ASCII is simply wrong, and the time tells nothing.
        if not hmac.compare_digest(_header(request), door.secret):
            raise Unauthorized("The secret token is wrong.")
        update = inbox.parse(await request.body())
        async with self.database.shared() as conn:
            await inbox.receive(conn, self.vault, door.bot_id, update)


def _header(request: Request) -> bytes:
    return request.headers.get(SECRET_HEADER, "").encode("latin-1")
