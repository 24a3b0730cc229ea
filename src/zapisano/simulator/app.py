"""Composition of the simulated world: every part's routes on one port."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from zapisano.simulator.part import Part


def create_app(parts: Sequence[Part]) -> FastAPI:
    """Put the parts together; their lives start and end with the server's."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            for part in parts:
                await stack.enter_async_context(part.lifespan())
            yield

    app = FastAPI(title="Zapisano simulator", lifespan=lifespan, docs_url=None, redoc_url=None)
    for part in parts:
        app.include_router(part.router)
    return app
