"""A short way to a route that is asked all the time.

FastAPI's own way to it (routing, exit stacks, parameters) costs more than the route's own work. The
route is on the app as well: for the document, and for whatever else is asked of its path.
"""

from collections.abc import Awaitable, Callable

from fastapi import Request
from fastapi.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


class Shortcut:
    """Answers one method of one path; the innermost middleware, so that all others hold for it.

    What its endpoint raises is told by `RequestContext`.
    """

    def __init__(
        self,
        app: ASGIApp,
        method: str,
        path: str,
        endpoint: Callable[[Request], Awaitable[Response]],
    ) -> None:
        """Wrap the rest of the app; `path` is also what the metrics call the route."""
        self.path = path
        self._app, self._method, self._endpoint = app, method, endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope.get("path") != self.path or scope.get("method") != self._method:
            await self._app(scope, receive, send)
            return
        scope["route"] = self
        response = await self._endpoint(Request(scope, receive))
        await response(scope, receive, send)
