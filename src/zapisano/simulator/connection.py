"""Answers that are none: a connection that breaks, a server that stays silent."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Response

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SILENCE_SECONDS = 300.0
"""The longest silence; every client of ours gives up earlier."""
ABORT_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER on with zero seconds: closing sends RST instead of FIN."""


class Reset(Response):
    """Break the connection, as a falling proxy does: the client sees ECONNRESET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the transport under this request."""
        del scope, send
        abort(receive)
        await wait_until_gone(receive)


class Silence(Response):
    """Never answer, until the client gives up."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the client to go; a client more patient than that is cut off."""
        del scope, send
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await wait_until_gone(receive)
        except TimeoutError:
            abort(receive)


def abort(receive: Receive) -> None:
    """Find the transport behind a request and abort it.

    ASGI has no word for this; uvicorn's `receive` is a method of the object that holds the
    transport, in both of its HTTP implementations.
    """
    cycle: Any = getattr(receive, "__self__", None)
    transport: asyncio.Transport = cycle.transport
    peer = transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT_AT_ONCE)
    transport.abort()


async def wait_until_gone(receive: Receive) -> None:
    """Wait until the connection is closed, so that the server does not try to answer on it."""
    while (await receive())["type"] != "http.disconnect":
        pass
