"""The knobs that tests and demonstrations turn. They are forgotten when the process ends."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from zapisano.simulator.telegram import acts
from zapisano.simulator.telegram.limits import Limiter, Limits, Rate
from zapisano.simulator.telegram.methods.managing import rotate
from zapisano.simulator.telegram.model import Json
from zapisano.simulator.telegram.people import PersonRoute, bot_of, person_of
from zapisano.simulator.telegram.store import accounts
from zapisano.simulator.telegram.store.database import transaction
from zapisano.simulator.telegram.world import Fault, World

Kind = Literal["429", "500", "401", "bad_webhook", "timeout", "reset", "lost_answer"]
Positive = Annotated[float, Field(gt=0, le=1_000_000)]


class FaultOrder(BaseModel):
    """A fault to play; `lost_answer` does the thing and then resets the connection."""

    method: str = "*"
    bot: int | None = None
    chat: int | None = None
    kind: Kind
    times: Annotated[int, Field(ge=1)] = 1
    retry_after: Annotated[int, Field(ge=1)] = 1


class RateOrder(BaseModel):
    """A limit: so many per second, after a burst of so many."""

    per_second: Positive
    burst: Annotated[float, Field(ge=1, le=1_000_000)]


class LimitsOrder(BaseModel):
    """Limits to put in force: of a bot, of one chat, of setWebhook; those left out stay."""

    bot: RateOrder | None = None
    chat: RateOrder | None = None
    webhook: RateOrder | None = None


class Order(BaseModel):
    """Faults take the place of those ordered before; limits begin with full buckets."""

    fail: list[FaultOrder] | None = None
    limits: LimitsOrder | None = None


class WhichBot(BaseModel):
    """A bot."""

    bot: int


class Management(BaseModel):
    """BotFather's Bot Management Mode of a bot."""

    bot: int
    enabled: bool


class WhichChat(BaseModel):
    """A person and a bot."""

    person: int
    bot: int


class ControlSide:
    """The handlers of the knobs."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def order(self, order: Order) -> Json:
        """Order faults and limits; answers what is in force now."""
        world = self.world
        if order.fail is not None:
            world.faults = [Fault(**fault.model_dump()) for fault in order.fail]
        if order.limits is not None:
            world.limits = changed(world.limits, order.limits)
            world.limiter = Limiter()
        faults = [asdict(fault) for fault in world.faults]
        return {"fail": faults, "limits": asdict(world.limits)}

    async def revoke(self, which: WhichBot) -> Json:
        """Revoke a bot's token, as its owner does at BotFather's; answers the new one."""
        with transaction(self.world.database):
            return {"token": rotate(self.world, bot_of(self.world, which.bot))}

    async def manage(self, mode: Management) -> Json:
        """Switch Bot Management Mode."""
        with transaction(self.world.database):
            bot = bot_of(self.world, mode.bot)
            accounts.set_management(self.world.database, bot.id, enabled=mode.enabled)
        return {"bot": bot.id, "can_manage_bots": mode.enabled}

    async def block(self, which: WhichChat) -> Json:
        """Let a person block a bot; the person's next message lets it in again."""
        with transaction(self.world.database):
            bot, person = bot_of(self.world, which.bot), person_of(self.world, which.person)
            acts.block(self.world, bot, person)
        return {"blocked": True}

    async def log(self, bot: int | None = None, method: str | None = None) -> list[Json]:
        """List the calls of the Bot API, the earliest first."""
        return [
            entry
            for entry in self.world.log
            if bot in (None, entry["bot"])
            and (method is None or method.lower() == entry["method"].lower())
        ]


def changed(limits: Limits, order: LimitsOrder) -> Limits:
    """Put the ordered limits in the place of those in force."""
    ordered = {
        name: Rate(rate.per_second, rate.burst)
        for name in ("bot", "chat", "webhook")
        if isinstance(rate := getattr(order, name), RateOrder)
    }
    return Limits(**{**vars(limits), **ordered})


def routes(world: World) -> APIRouter:
    """Make the routes of the knobs."""
    side = ControlSide(world)
    router = APIRouter(prefix="/telegram/control", include_in_schema=False, route_class=PersonRoute)
    router.post("")(side.order)
    router.post("/revoke")(side.revoke)
    router.post("/management")(side.manage)
    router.post("/block")(side.block)
    router.get("/log")(side.log)
    return router
