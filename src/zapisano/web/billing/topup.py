"""`/api/billing/topup`: credits for roubles, paid on YooKassa's page."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import Field

from zapisano.credits.keys import Scope
from zapisano.payments import top_up, topup_status
from zapisano.payments.model import CreditsOrder
from zapisano.web.billing.account import Email, EmailQuery
from zapisano.web.billing.bodies import Amount, Body, key_of, read, shown
from zapisano.web.billing.caller import OF_USERS, AnyCaller, Mover
from zapisano.web.billing.documents import (
    OFF,
    PROVIDER_DOWN,
    READING,
    UNKNOWN_TOPUP,
    WRITING,
    answer,
)
from zapisano.web.plain import plain, short

MOST_OFTEN = "20/minute"  # of one account; each may be a payment at YooKassa
ID = "0b6f2c1e-3c0a-4a51-9b9e-7d6f0a1c2b3d"
SHOWN = {
    "success": True,
    "id": ID,
    "status": "pending",
    "amount": 500,
    "credits": 500,
    "confirmationUrl": "https://yoomoney.ru/checkout/payments/v2/contract?orderId=2e8a",
}

router = APIRouter(prefix="/api/billing", tags=["Credits"], dependencies=OF_USERS)


class TopUp(Body):
    """How much is to be paid, in roubles."""

    amount: Amount
    language: Literal["ru", "en"] = Field("ru", description="Of the page to pay on")
    email: Email = None


@router.post("/topup", summary="Top up", openapi_extra=shown(TopUp, {"amount": 500}), responses={
    **answer(200, "Send the user to `confirmationUrl`", SHOWN),
    **WRITING, **OFF, **PROVIDER_DOWN,
})  # fmt: skip
async def topup(request: Request, caller: Mover) -> Response:
    """Ask for a payment of so many roubles. The credits come when it is paid, once."""
    state, body, key = request.app.state, await read(TopUp, request), key_of(request)
    email = caller.account(body.email, Scope.TOPUP)
    await state.limiter.hit("topup", MOST_OFTEN, email, fail_open=True)
    order = await top_up(
        state.database,
        state.provider,
        state.settings,
        email=email,
        amount=body.amount,
        key=caller.named(key),
        language=body.language,
        now=state.now(),
    )
    return plain(_shown(order))


@router.get("/topup/{order_id}", summary="A top-up", responses={
    **answer(200, "`status`: created, pending, paid, canceled, or review (a person looks at it)",
             {**SHOWN, "status": "paid"}),
    **UNKNOWN_TOPUP, **READING,
})  # fmt: skip
async def look(
    request: Request,
    caller: AnyCaller,
    order_id: Annotated[str, Path(max_length=64, examples=[ID])],
    email: EmailQuery = None,
) -> Response:
    """Show whether a top-up is paid, as for the page that the user comes back to."""
    account = caller.account(email, Scope.READ)
    async with request.app.state.database.shared() as conn:
        order = await topup_status(conn, account, order_id, request.app.state.now())
    return plain(_shown(order))


def _shown(order: CreditsOrder) -> dict[str, object]:
    return {
        "success": True,
        "id": order.id,
        "status": order.status,
        "amount": short(order.amount),
        "credits": short(order.credits),
        "confirmationUrl": order.confirmation_url if order.is_open else None,
    }
