"""What a part of the simulator gives to the whole: routes, and a life."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import APIRouter


def nothing() -> None:
    """Have nothing open that could keep the server from stopping."""


@dataclass(frozen=True)
class Part:
    """One simulated service.

    `stop` is called when the server begins to stop: it ends the answers that would never end by
    themselves (event streams, long polls), for which the server would otherwise wait.
    """

    router: APIRouter
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
    stop: Callable[[], None] = nothing
