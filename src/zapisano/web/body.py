"""No route reads a body of any size: the limit holds with and without a Content-Length."""

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zapisano.web.errors import TooLarge, told

MAX_BODY_BYTES = 64 * 1024
# A thousand charges, with a little to say about each.
LARGER: Mapping[str, int] = {"/api/billing/batch": 4 * 1024 * 1024}


class BodyLimit:
    """Answer 413 to a body above the limit, and stop reading it there."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the rest of the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = LARGER.get(str(scope["path"]), MAX_BODY_BYTES)
        if _announced(scope) > most:
            await told(TooLarge(), str(scope["path"]))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > most:
                # The framework lets this class through where it would call others a bad body.
                raise HTTPException(TooLarge.status, TooLarge.text)
            return message

        await self._app(scope, counted, send)


def _announced(scope: Scope) -> int:
    """Return the length that the caller promises, 0 when there is no promise."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
