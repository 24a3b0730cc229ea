"""`/api/billing`: what a signed-in user may do, or a back end with a key on his behalf."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from zapisano.credits.keys import Scope
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import CENT, Item, Posted, Verb
from zapisano.errors import Refused
from zapisano.settings import Settings
from zapisano.web.billing.bodies import Metadata, Operation, key_of, read, shown
from zapisano.web.billing.caller import OF_USERS, AnyCaller, Caller, moving_caller
from zapisano.web.billing.documents import BUSY, MOVING, READING, answer
from zapisano.web.billing.prices import Priced, check_most, prices_of
from zapisano.web.plain import plain, short

Email = Annotated[
    str | None,
    Field(
        max_length=255,
        description="Whose account; needed with a server key",
        json_schema_extra={"format": "email"},
    ),
]
EmailQuery = Annotated[
    str | None,
    Query(max_length=255, description="Whose account; needed with a server key"),
]
CHARGE = {
    "amount": 5.5,
    "operation": "Анализ ЭКГ",
    "metadata": {
        "model": "anthropic/claude-opus-4.6",
        "tokens": {"input": 1000, "output": 500},
    },
}
CHARGED = {
    "success": True,
    "deducted": 5.5,
    "balanceBefore": 100,
    "balanceAfter": 94.5,
    "operation": "Анализ ЭКГ",
}

router = APIRouter(prefix="/api/billing", tags=["Credits"])


class Charge(Priced):
    """What is charged, and for what."""

    operation: Operation
    metadata: Metadata = None
    email: Email = None


@router.get("/balance", summary="The balance", dependencies=OF_USERS, responses={
    **answer(200, "The account; a first visit opens it",
             {"success": True, "balance": 100.00, "totalSpent": 0}),
    **READING,
})  # fmt: skip
async def balance(request: Request, caller: AnyCaller, email: EmailQuery = None) -> Response:
    """Show what is left and what was spent. What is held by open holds is not counted as left."""
    account = await ledger_of(request).account(caller.account(email, Scope.READ))
    return plain(
        {
            "success": True,
            "balance": account.balance.quantize(CENT),
            "totalSpent": short(account.total_spent),
        }
    )


@router.post("/deduct", summary="Charge", dependencies=OF_USERS,
             openapi_extra=shown(Charge, CHARGE), responses={
    **answer(200, "Charged", CHARGED), **MOVING,
})  # fmt: skip
async def deduct(request: Request) -> Response:
    """Charge an amount, or what a model's tokens cost. The balance may fall to -5.00, not below."""
    caller = await moving_caller(request)
    body = await read(Charge, request)
    posted = await charge(request, caller, body, key_of(request))
    return plain(charged(posted, body.operation, caller))


async def charge(request: Request, caller: Caller, body: Charge, key: str | None) -> Posted:
    """Charge what `body` says, within what the caller may.

    Raises:
        As `Ledger.post`; Refused: it is more than the caller may charge at once.
    """
    settings: Settings = request.app.state.settings
    email = caller.account(body.email, Scope.CHARGE)
    due = body.due(settings)
    if due.total == 0:
        raise Refused("tokens: these cost nothing")
    check_most(caller, settings, due.total)
    return await ledger_of(request).post(
        Item(
            email=email,
            verb=Verb.CHARGE,
            amount=due.amount,
            cost=due.cost,
            operation=body.operation,
            metadata=body.metadata,
            key=caller.named(key),
            asked=body.asked if key else None,
        )
    )


def charged(posted: Posted, operation: str, caller: Caller) -> dict[str, Any]:
    """Tell of a charge as documented; a back end also learns its number, to refund it by."""
    return {
        "success": True,
        "deducted": short(-posted.amount),
        "balanceBefore": short(posted.balance_before),
        "balanceAfter": short(posted.balance_after),
        "operation": operation,
        **({"id": posted.movement} if caller.key else {}),
    }


@router.get("/prices", summary="Prices of models", responses={
    **answer(200, "Credits per million tokens, and per call", {"success": True, "unit": "credits "
             "per million tokens", "models": []}),
    **BUSY,
})  # fmt: skip
async def prices(request: Request) -> Response:
    """Show what each model costs. Anybody may look."""
    return plain({"success": True, **prices_of(request.app.state.settings).view()})


def ledger_of(request: Request) -> Ledger:
    """Return the app's way to the ledger."""
    ledger: Ledger = request.app.state.ledger
    return ledger
