"""The knobs over HTTP, `/yookassa/control/…`: for tests and for whoever shows the demo."""

from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from zapisano.simulator.yookassa import views
from zapisano.simulator.yookassa.cards import OUTCOMES, SUCCESS_NUMBER, any_card
from zapisano.simulator.yookassa.courier import Courier
from zapisano.simulator.yookassa.faults import Fault, Kind
from zapisano.simulator.yookassa.model import MethodType
from zapisano.simulator.yookassa.problems import Problem, invalid
from zapisano.simulator.yookassa.store import Listing
from zapisano.simulator.yookassa.usecases import Kassa

Json = dict[str, Any]


class Advance(BaseModel):
    """How far to move the clock."""

    advance_seconds: Annotated[float, Field(ge=0, le=10 * 366 * 24 * 3600)]


class Knob(BaseModel):
    """One fault to turn on; see `faults.Fault` for what the words mean."""

    kind: Kind
    times: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: int = 0
    seconds: Annotated[float, Field(ge=0, le=600)] = 3.0
    copies: Annotated[int, Field(ge=1, le=100)] = 1
    retry_after: Annotated[int, Field(ge=0)] = 1000
    path: str = ""
    event: str = ""
    variant: Literal["unknown", "modified"] = "unknown"

    def fault(self) -> Fault:
        """The knob as the simulator keeps it; `retry_after` is in milliseconds."""
        values = self.model_dump(exclude={"retry_after"})
        return Fault(retry_after_ms=self.retry_after, **values)


class Knobs(BaseModel):
    """Faults to turn on, beside those turned before."""

    faults: list[Knob]


class Pay(BaseModel):
    """Pay without the page."""

    payment_id: str
    card: str = SUCCESS_NUMBER
    method: MethodType = "bank_card"


class Fail(BaseModel):
    """Cancel a pending payment for a reason that no test card gives."""

    payment_id: str
    reason: str = "general_decline"


class Forge(BaseModel):
    """What an impostor would send now."""

    event: str = "payment.succeeded"
    payment_id: str | None = None
    variant: Literal["unknown", "modified"] = "unknown"
    amount: str = "299.00"
    metadata: dict[str, str] = {}


class Disguise(BaseModel):
    """How a payment shall look to the shop from now on, whatever it is; for tests of its proofs."""

    payment_id: str
    account_id: str | None = None
    test: bool | None = None
    currency: str | None = None


class FinishRefund(BaseModel):
    """How a pending refund ends."""

    refund_id: str
    status: Literal["succeeded", "canceled"] = "succeeded"


class ChangeMethod(BaseModel):
    """What became of a saved method."""

    payment_method_id: str
    revoked: bool = False
    card: str | None = None


class Agreement(BaseModel):
    """May the shop charge saved methods?"""

    recurring: bool


def routes(kassa: Kassa, courier: Courier) -> APIRouter:
    """All knobs."""
    router = APIRouter(prefix="/yookassa/control")
    _world(router, kassa, courier)
    _faults(router, kassa, courier)
    _payers(router, kassa, courier)
    _money(router, kassa, courier)
    return router


def _world(router: APIRouter, kassa: Kassa, courier: Courier) -> None:
    @router.post("/clock")
    async def advance(move: Advance) -> Json:
        now = kassa.advance(move.advance_seconds)
        courier.call()
        return {"now": views.moment(now)}

    @router.get("/clock")
    async def clock() -> Json:
        return {"now": views.moment(kassa.now())}

    @router.get("/log")
    async def log() -> Json:
        noted = kassa.store.log()
        for notification in noted["notifications"]:
            notification["url"] = notification["url"] or kassa.notify_url
        return {**noted}

    @router.get("/payments")
    async def payments() -> Json:
        kassa.sweep()
        everything = kassa.store.list_payments(Listing(limit=-1))
        items = [kassa.show(payment) | {"receipt": payment.receipt} for payment in everything]
        return {"items": items}

    @router.post("/shop")
    async def shop(agreement: Agreement) -> Json:
        kassa.store.remember("recurring", "1" if agreement.recurring else "0")
        return {"recurring": agreement.recurring}


def _faults(router: APIRouter, kassa: Kassa, courier: Courier) -> None:
    @router.post("/faults")
    async def turn(knobs: Knobs) -> Json:
        kassa.turn(knob.fault() for knob in knobs.faults)
        return _turned(kassa)

    @router.get("/faults")
    async def turned() -> Json:
        return _turned(kassa)

    @router.delete("/faults")
    async def clear() -> Json:
        kassa.store.clear_faults()
        return _turned(kassa)

    @router.post("/forge", response_model=None)
    async def forge(wanted: Forge) -> Json | JSONResponse:
        try:
            victim = _victim(kassa, wanted)
        except Problem as problem:
            return _refused(problem)
        message = {"type": "notification", "event": wanted.event, "object": victim}
        forged = kassa.forge(message, wanted.variant)
        courier.call()
        return forged


def _victim(kassa: Kassa, wanted: Forge) -> Json:
    """The object an impostor starts from: a real payment, or one that never was."""
    if wanted.payment_id is not None:
        return kassa.show(kassa.payment(wanted.payment_id))
    return {
        "id": "",
        "status": "succeeded",
        "paid": True,
        "amount": views.money(Decimal(wanted.amount)),
        "recipient": {"account_id": kassa.shop.id},
        "test": kassa.shop.test,
        "metadata": wanted.metadata,
    }


def _payers(router: APIRouter, kassa: Kassa, courier: Courier) -> None:
    @router.post("/pay", response_model=None)
    async def pay(wanted: Pay) -> Json | JSONResponse:
        try:
            card = any_card(_test_card(wanted.card)) if wanted.method == "bank_card" else None
            kassa.sweep()
            payment = kassa.pay(wanted.payment_id, card, wanted.method)
        except Problem as problem:
            return _refused(problem)
        courier.call()
        return kassa.show(payment)

    @router.post("/fail", response_model=None)
    async def fail(wanted: Fail) -> Json | JSONResponse:
        try:
            payment = kassa.fail(wanted.payment_id, wanted.reason)
        except Problem as problem:
            return _refused(problem)
        courier.call()
        return kassa.show(payment)


def _money(router: APIRouter, kassa: Kassa, courier: Courier) -> None:
    @router.post("/disguise", response_model=None)
    async def disguise(wanted: Disguise) -> Json | JSONResponse:
        looks = wanted.model_dump(exclude={"payment_id"}, exclude_none=True)
        try:
            return kassa.disguise(wanted.payment_id, looks)
        except Problem as problem:
            return _refused(problem)

    @router.post("/refund", response_model=None)
    async def finish(wanted: FinishRefund) -> Json | JSONResponse:
        try:
            refund = kassa.finish_refund(wanted.refund_id, wanted.status)
        except Problem as problem:
            return _refused(problem)
        courier.call()
        return views.refund_json(refund)

    @router.post("/method", response_model=None)
    async def change(wanted: ChangeMethod) -> Json | JSONResponse:
        try:
            card = any_card(_test_card(wanted.card)) if wanted.card else None
            method = kassa.change_method(
                wanted.payment_method_id, revoked=wanted.revoked, card=card
            )
        except Problem as problem:
            return _refused(problem)
        return views.method_json(method, kassa.shop)


def _turned(kassa: Kassa) -> Json:
    return {"faults": [vars(fault) for _, fault in kassa.store.faults()]}


def _test_card(number: str) -> str:
    if number not in OUTCOMES:
        raise invalid("Not a test card", "card")
    return number


def _refused(problem: Problem) -> JSONResponse:
    return JSONResponse(problem.body(), problem.status)
