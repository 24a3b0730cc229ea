"""What a part of the simulator gives to the whole: routes, and a life."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import APIRouter


@dataclass(frozen=True)
class Part:
    """One simulated service."""

    router: APIRouter
    lifespan: Callable[[], AbstractAsyncContextManager[None]]
