"""A local Telegram: the Bot API for bots, a phone for people, knobs for tests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from zapisano.simulator.config import Config
from zapisano.simulator.part import Part
from zapisano.simulator.telegram import bot_api, control, people
from zapisano.simulator.telegram.delivery import Deliveries
from zapisano.simulator.telegram.parameters import Parameters
from zapisano.simulator.telegram.store import accounts
from zapisano.simulator.telegram.store.database import connect, transaction
from zapisano.simulator.telegram.world import World


def create(config: Config) -> Part:
    """Open the state in the configured folder and make the routes over it."""
    database = connect(config.folder)
    if config.sales_bot_token:
        with transaction(database):
            accounts.ensure_manager(
                database,
                bot_id=bot_api.bot_id_of(config.sales_bot_token),
                username=config.sales_bot_username,
                name=config.sales_bot_name,
                token=config.sales_bot_token,
            )
    deliveries = Deliveries(database)
    world = World(database, deliveries)
    router = APIRouter()
    # The knobs come first: their paths are a part of the people's side.
    for routes in (control.routes, people.routes, bot_api.routes):
        router.include_router(routes(world))

    async def reply(bot_id: int, given: Parameters) -> None:
        await bot_api.reply(world, bot_id, given)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None, None]:
        async with deliveries.running(reply):
            yield
        database.close()

    return Part(router, lifespan, world.stop)
