"""A local YooKassa: its API on `/v3`, its hosted page, its notifications, and knobs.

What it answers follows the published OpenAPI, guides and the official SDK; where a fact is not
published, the module that decides says so. It imports nothing of the product.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import APIRouter

from zapisano.simulator.config import Config
from zapisano.simulator.part import Part
from zapisano.simulator.yookassa import api, control, page
from zapisano.simulator.yookassa.courier import Courier
from zapisano.simulator.yookassa.gate import Gate
from zapisano.simulator.yookassa.store import Store
from zapisano.simulator.yookassa.usecases import Kassa
from zapisano.simulator.yookassa.views import Shop


def create(config: Config) -> Part:
    """Open the state in the simulator's folder and put the part together."""
    config.folder.mkdir(parents=True, exist_ok=True)
    shop = Shop(
        id=config.yookassa_shop_id,
        name=config.sales_bot_name,
        test=not config.yookassa_secret_key.startswith("live_"),
        public_url=config.public_url.rstrip("/"),
    )
    store = Store(config.folder / "yookassa.sqlite3")
    kassa = Kassa(store, shop, config.yookassa_notify_url)
    courier = Courier(kassa)
    router = APIRouter()
    router.include_router(page.routes(kassa, courier))
    router.include_router(control.routes(kassa, courier))
    router.include_router(api.routes(kassa, Gate(kassa, courier, config.yookassa_secret_key)))

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with courier.running():
            yield
        store.close()

    return Part(router, lifespan)
