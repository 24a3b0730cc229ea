"""Who asks, and for whose account: a signed-in user, or a back end with a server key."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyCookie, HTTPBearer

from zapisano.credits import keys, sessions
from zapisano.credits.keys import Scope, ServerKey
from zapisano.credits.model import own_key
from zapisano.credits.sessions import NoSession, Token
from zapisano.credits.store import sessions as session_store
from zapisano.db import Database
from zapisano.errors import AppError, Refused
from zapisano.settings import Settings
from zapisano.telemetry import get_logger
from zapisano.web.errors import Forbidden

log = get_logger("zapisano.web.billing")

JSON = "application/json"


# For the OpenAPI document; what is sent is read below, by all the names that there are.
SESSION = APIKeyCookie(
    name="next-auth.session-token",
    scheme_name="session",
    auto_error=False,
    description="The session of the web app's user, as NextAuth 4 or Auth.js 5 seals it: under any "
    "of the four cookie names, in chunks, or as a bearer token",
)
KEY = HTTPBearer(
    scheme_name="serverKey",
    auto_error=False,
    description="A server key, zk_…: `zapisano credits keys create`",
)


class ForeignOrigin(Forbidden):
    """A page of another site asks with its visitor's cookie."""

    code: ClassVar[str] = "foreign_origin"
    text: ClassVar[str] = (
        "This is not allowed from a page of another site: let CREDITS_ORIGINS name it."
    )


class NotJson(AppError):
    """The body is announced as something else than JSON, as a form of another site could be."""

    code, status = "not_json", 415
    text: ClassVar[str] = "Send the header Content-Type: application/json."


class ServerKeyNeeded(Forbidden):
    """A browser's session may not do this: whoever can release his own hold pays nothing."""

    code: ClassVar[str] = "server_key_needed"
    text: ClassVar[str] = "This needs a server key: send the header Authorization: Bearer zk_…"


@dataclass(frozen=True)
class Caller:
    """A signed-in user, by `email`, or the holder of `key`."""

    email: str | None
    key: ServerKey | None

    def account(self, named: str | None, scope: Scope) -> str:
        """Return the address whose account is meant: one's own, or the one that a key names.

        Raises:
            MissingScope: the key may not do this.
            Refused: a key names nobody, or a session somebody else.
        """
        self.require(scope)
        if self.email is None:
            if named is None:
                raise Refused("email: say whose account it is")
            return sessions.address(named)
        if named is not None and sessions.address(named) != self.email:
            raise Refused("email: a session speaks for itself; leave it out")
        return self.email

    def named(self, key: str | None) -> str | None:
        """Return an idempotency key as the ledger keeps it: users have theirs, back ends theirs.

        A user must not be able to take the key of a charge that a back end is about to make.
        """
        return key if self.key is not None or key is None else own_key("session", key)

    @property
    def is_limited(self) -> bool:
        """Whether the key may not move any amount there is."""
        return self.key is not None and self.key.most is not None

    def require(self, scope: Scope) -> None:
        """Go on if the key may do this; what a session may do is decided by the route.

        Raises:
            MissingScope: it may not.
        """
        if self.key is not None:
            self.key.require(scope)


async def read_caller(request: Request) -> Caller:
    """Find out who asks.

    Raises:
        NoSession, NoEmail: nobody is signed in, or nobody who can be charged.
        Unauthorized: the server key is none of ours.
    """
    authorization = request.headers.get("authorization")
    if authorization and keys.is_server_key(authorization):
        async with _database(request).statements() as conn:
            key = await keys.authenticate(conn, authorization)
        if key.per_minute is not None:
            await request.app.state.limiter.hit(
                "key", f"{key.per_minute}/minute", key.id, fail_open=True
            )
        return Caller(None, key)
    return Caller(await _signed_in(request, authorization), None)


async def _signed_in(request: Request, authorization: str | None) -> str:
    token = sessions.find_token(_cookies(request), authorization)
    try:
        return sessions.email_of(await _claims(request, token))
    except NoSession as error:
        log.info("no_session", reason=error.reason)
        raise


async def _claims(request: Request, token: Token | None) -> Mapping[str, Any]:
    """Read a session: sealed in its cookie, or kept in the web app's database under its token."""
    state = request.app.state
    settings: Settings = state.settings
    if token is None:
        raise NoSession("absent")
    if not token.value.isprintable():
        raise NoSession("malformed")
    if not settings.auth_session_query or "." in token.value:
        return sessions.claims_of(token, state.session_secrets, state.now())
    async with _database(request).shared() as conn:
        email = await session_store.email_of(conn, settings.auth_session_query, token.value)
    if email is None:
        raise NoSession("unknown")
    return {"email": email}


def _cookies(request: Request) -> list[tuple[str, str]]:
    """Read cookies as they were sent: of two with one name a framework would keep the last."""
    sent = ";".join(request.headers.getlist("cookie"))
    pairs = (part.partition("=") for part in sent.split(";"))
    return [(name.strip(), value.strip().strip('"')) for name, _, value in pairs]


def check_origin(request: Request) -> None:
    """Let in what has no Origin, our own, and the sites in CREDITS_ORIGINS.

    Raises:
        ForeignOrigin: a page of another site asks.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return
    settings: Settings = request.app.state.settings
    if origin.rstrip("/").lower() in {one.rstrip("/") for one in settings.credits_origins}:
        return
    own = {request.headers.get("host", "").lower(), urlsplit(settings.public_url).netloc.lower()}
    try:
        host = urlsplit(origin).netloc.lower()
    except ValueError:
        raise ForeignOrigin from None
    if host not in own - {""}:
        raise ForeignOrigin


def check_json(request: Request) -> None:
    """Refuse a body that is not announced as JSON.

    Raises:
        NotJson: a form, or nothing said.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON:
        raise NotJson


async def moving_caller(request: Request) -> Caller:
    """Whoever may move credits of their own, or of others by a key."""
    check_origin(request)
    check_json(request)
    return await read_caller(request)


async def ending_caller(request: Request) -> Caller:
    """Whoever may end something of their own; there is no body to be announced."""
    check_origin(request)
    return await read_caller(request)


async def key_caller(request: Request) -> Caller:
    """Only the holder of a server key, and nothing is moved.

    Raises:
        ServerKeyNeeded: a session asks.
    """
    return _with_key(await read_caller(request))


async def moving_key_caller(request: Request) -> Caller:
    """Only the holder of a server key.

    Raises:
        ServerKeyNeeded: a session asks.
    """
    return _with_key(await moving_caller(request))


def _with_key(caller: Caller) -> Caller:
    if caller.key is None:
        raise ServerKeyNeeded
    return caller


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


# A dependency is asked before a route's own arguments are read: strangers learn nothing of those.
AnyCaller = Annotated[Caller, Depends(read_caller)]
Mover = Annotated[Caller, Depends(moving_caller)]
Ender = Annotated[Caller, Depends(ending_caller)]
KeyCaller = Annotated[Caller, Depends(key_caller)]
KeyMover = Annotated[Caller, Depends(moving_key_caller)]
OF_USERS = [Security(SESSION), Security(KEY)]
OF_SERVERS = [Security(KEY)]
