"""`/api/billing/topup`: credits for roubles, paid on YooKassa's page."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import Field, WithJsonSchema

from zapisano.credits.keys import Scope
from zapisano.payments import AutoTerms, auto_terms, pay_at, top_up, topup_status
from zapisano.payments.auto_model import MOST_PER_DAY
from zapisano.payments.model import CreditsOrder
from zapisano.settings import Settings
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


class Auto(Body):
    """What the payer is asked to agree to, on our page, for later."""

    below: Amount = Field(description="Top up when fewer credits than this are left")
    amount: Amount = Field(description="By so many roubles each time")
    per_day: int = Field(
        1, alias="perDay", ge=1, le=MOST_PER_DAY, description="So many times a day at most"
    )

    @property
    def terms(self) -> AutoTerms:
        """The same, checked.

        Raises:
            Refused: a sum is not acceptable; the detail names the field.
        """
        return auto_terms(self.below, self.amount, self.per_day)


class TopUp(Body):
    """How much is to be paid, in roubles."""

    amount: Amount
    language: Literal["ru", "en"] = Field("ru", description="Of the page to pay on")
    auto: Annotated[Auto | None, WithJsonSchema(Auto.model_json_schema())] = None
    email: Email = None


@router.post("/topup", summary="Top up", openapi_extra=shown(TopUp, {"amount": 500}), responses={
    **answer(200, "Send the user to `confirmationUrl`", SHOWN),
    **WRITING, **OFF, **PROVIDER_DOWN,
})  # fmt: skip
async def topup(request: Request, caller: Mover) -> Response:
    """Ask for a payment of so many roubles. The credits come when it is paid, once.

    With `auto` the page also asks whether to do the same whenever the account runs low; without
    the payer's tick there it is a single payment.
    """
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
        auto=body.auto.terms if body.auto else None,
        now=state.now(),
    )
    return plain(_shown(state.settings, order))


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
    return plain(_shown(request.app.state.settings, order))


def _shown(settings: Settings, order: CreditsOrder) -> dict[str, object]:
    return {
        "success": True,
        "id": order.id,
        "status": order.status,
        "amount": short(order.amount),
        "credits": short(order.credits),
        "confirmationUrl": pay_at(settings, order),
    }
