"""`/api/billing`: what takes a server key: holds, refunds, many charges at once."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, cast
from uuid import UUID

import simplejson
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from pydantic import Field

from zapisano.credits import holds
from zapisano.credits.keys import Scope
from zapisano.credits.ledger import Ledger
from zapisano.credits.model import Hold, own_key
from zapisano.credits.sessions import address
from zapisano.db import Database
from zapisano.errors import AppError, Refused
from zapisano.settings import Settings
from zapisano.web.billing.account import Charge, Email, charge, charged, ledger_of
from zapisano.web.billing.bodies import (
    Amount,
    Body,
    Metadata,
    Operation,
    checked,
    key_of,
    read,
    shown,
)
from zapisano.web.billing.caller import OF_SERVERS, Caller, KeyCaller, KeyMover
from zapisano.web.billing.documents import MOVING, READING, UNKNOWN_HOLD, WRITING, answer
from zapisano.web.billing.prices import Priced, check_most
from zapisano.web.errors import as_told, note
from zapisano.web.plain import particulars, plain, short

MOST_ITEMS = 1000
LONGEST_SECONDS = int(holds.LONGEST.total_seconds())
HOLD_ID = "2f1d8c0e-6a55-4c0e-9f2b-0d5f3f6f1c11"
SHOWN_HOLD = {
    "success": True,
    "hold": HOLD_ID,
    "email": "anna@example.com",
    "state": "open",
    "held": 7,
    "shortfall": 0,
    "expiresAt": "2026-11-23T13:00:00+00:00",
    "operation": "Анализ ЭКГ",
}

# Items are written down before they are checked: also numbers that none can be.
ANYTHING = simplejson.JSONEncoder(use_decimal=True, allow_nan=True, sort_keys=True)
HoldPath = Annotated[UUID, Path(examples=[HOLD_ID], description="`hold` of the answer")]
router = APIRouter(prefix="/api/billing", tags=["Credits, by a back end"], dependencies=OF_SERVERS)

Seconds = Annotated[
    int,
    Field(
        ge=1,
        le=LONGEST_SECONDS,
        description="After so long what is not settled goes back; renew a hold at half time",
    ),
]


class NewHold(Priced):
    """What is put aside; of a model, the tokens it reads and the most that it may write."""

    operation: Operation
    metadata: Metadata = None
    email: Email = None
    seconds: Seconds = int(holds.DEFAULT.total_seconds())


class Settlement(Priced):
    """What the work has really cost."""

    operation: Operation | None = None
    metadata: Metadata = None
    partial: bool = Field(
        False, description="Charge down to the floor where the account cannot bear it all"
    )


class Renewal(Body):
    """For how long from now."""

    seconds: Seconds = int(holds.DEFAULT.total_seconds())


class Nothing(Body):
    """An empty object."""


class Refund(Body):
    """What is returned, and why."""

    id: int = Field(gt=0, lt=2**63, description="Of the charge: `id` of its answer")
    amount: Amount | None = None
    reason: Operation
    email: Email = None


class Batch(Body):
    """Charges, each answered by itself."""

    items: list[Any] = Field(
        min_length=1, max_length=MOST_ITEMS, description="As for /deduct, each with a `key`"
    )


class BatchItem(Charge):
    """One charge of a batch."""

    key: str | None = Field(None, min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")


@router.post("/holds", summary="Hold", openapi_extra=shown(
    NewHold, {"email": "anna@example.com", "amount": 7, "operation": "Анализ ЭКГ"}), responses={
    **answer(200, "Put aside", {**SHOWN_HOLD, "balanceBefore": 100, "balanceAfter": 93}), **MOVING,
})  # fmt: skip
async def hold(request: Request, caller: KeyMover) -> Response:
    """Put the worst case aside before the work. An open hold counts against the floor."""
    body, key = await read(NewHold, request), key_of(request)
    settings: Settings = request.app.state.settings
    email, now = caller.account(body.email, Scope.HOLD), request.app.state.now()
    amount = body.worst(settings)
    check_most(caller, settings, amount)
    posted, made = await holds.hold(
        ledger_of(request),
        _database(request),
        email=email,
        amount=amount,
        operation=body.operation,
        metadata=body.metadata,
        key=key,
        asked=body.asked,
        expires_at=now + timedelta(seconds=body.seconds),
        now=now,
    )
    before, after = short(posted.balance_before), short(posted.balance_after)
    return plain({**_shown(made), "balanceBefore": before, "balanceAfter": after})


@router.get("/holds/{hold_id}", summary="A hold", responses={
    **answer(200, "As it stands", SHOWN_HOLD), **UNKNOWN_HOLD, **READING,
})  # fmt: skip
async def look(request: Request, caller: KeyCaller, hold_id: HoldPath) -> Response:
    """Show a hold."""
    return plain(_shown(await _of(request, caller, hold_id)))


@router.post("/holds/{hold_id}/settle", summary="Settle a hold", openapi_extra=shown(
    Settlement, {"amount": 5.5}), responses={
    **answer(200, "Charged; the rest of the hold went back", {
        "success": True, "deducted": 5.5, "balanceBefore": 100, "balanceAfter": 94.5,
        "operation": "Анализ ЭКГ", "id": 17, "hold": HOLD_ID, "shortfall": 0}),
    **UNKNOWN_HOLD, **MOVING,
})  # fmt: skip
async def settle(request: Request, caller: KeyMover, hold_id: HoldPath) -> Response:
    """End a hold and charge what the work has cost, less or more than was held."""
    body, key = await read(Settlement, request), key_of(request)
    settings: Settings = request.app.state.settings
    found = await _of(request, caller, hold_id)
    due = body.due(settings)
    check_most(caller, settings, due.total)
    posted, shortfall = await holds.settle(
        ledger_of(request),
        _database(request),
        found,
        amount=due.amount,
        cost=due.cost,
        operation=body.operation,
        metadata=body.metadata,
        partial=body.partial,
        key=key,
        asked=body.asked,
        now=request.app.state.now(),
    )
    return plain(
        {
            **charged(posted, body.operation or found.operation, caller),
            "hold": str(hold_id),
            "shortfall": short(shortfall),
        }
    )


@router.post("/holds/{hold_id}/release", summary="Release a hold", openapi_extra=shown(
    Nothing, {}), responses={
    **answer(200, "All of it went back", {
        "success": True, "hold": HOLD_ID, "released": 7, "balanceBefore": 93,
        "balanceAfter": 100}),
    **UNKNOWN_HOLD, **MOVING,
})  # fmt: skip
async def release(request: Request, caller: KeyMover, hold_id: HoldPath) -> Response:
    """End a hold and charge nothing."""
    await read(Nothing, request)
    key = key_of(request)
    found = await _of(request, caller, hold_id)
    posted = await holds.release(ledger_of(request), found, key=key)
    return plain(
        {
            "success": True,
            "hold": str(hold_id),
            "released": short(posted.amount),
            "balanceBefore": short(posted.balance_before),
            "balanceAfter": short(posted.balance_after),
        }
    )


@router.post("/holds/{hold_id}/renew", summary="Renew a hold", openapi_extra=shown(
    Renewal, {"seconds": 3600}, moves=False), responses={
    **answer(200, "Open for longer", SHOWN_HOLD), **UNKNOWN_HOLD, **WRITING,
})  # fmt: skip
async def renew(request: Request, caller: KeyMover, hold_id: HoldPath) -> Response:
    """Keep a hold open for so long from now."""
    body = await read(Renewal, request)
    found = await _of(request, caller, hold_id)
    expires_at = request.app.state.now() + timedelta(seconds=body.seconds)
    return plain(_shown(await holds.renew(ledger_of(request), found, expires_at)))


@router.post("/refunds", summary="Refund a charge", openapi_extra=shown(
    Refund, {"email": "anna@example.com", "id": 17, "amount": 5.5, "reason": "Модель ошиблась"}),
    responses={
    **answer(200, "Returned", {
        "success": True, "refunded": 5.5, "balanceBefore": 94.5, "balanceAfter": 100, "id": 18}),
    **MOVING,
})  # fmt: skip
async def refund(request: Request, caller: KeyMover) -> Response:
    """Return a charge or a part of it; without an amount, all that is left of it."""
    body, key = await read(Refund, request), key_of(request)
    settings: Settings = request.app.state.settings
    if body.amount is not None:
        check_most(caller, settings, body.amount)
    elif caller.is_limited:
        raise Refused("amount: say how much; this key may not move all that there may be")
    posted = await holds.refund(
        ledger_of(request),
        email=caller.account(body.email, Scope.REFUND),
        movement=body.id,
        amount=body.amount,
        reason=body.reason,
        key=key,
    )
    return plain(
        {
            "success": True,
            "refunded": short(posted.amount),
            "balanceBefore": short(posted.balance_before),
            "balanceAfter": short(posted.balance_after),
            "id": posted.movement,
        }
    )


@router.post("/batch", summary="Charge many", openapi_extra=shown(
    Batch, {"items": [{"email": "anna@example.com", "amount": 5.5, "operation": "Анализ ЭКГ",
                       "key": "ecg-17"}]}), responses={
    **answer(200, "An answer for each, in the same order", {
        "success": True, "results": [
            {"success": True, "deducted": 5.5, "balanceBefore": 100, "balanceAfter": 94.5,
             "operation": "Анализ ЭКГ", "id": 17}]}),
    **WRITING,
})  # fmt: skip
async def batch(request: Request, caller: KeyMover) -> Response:
    """Charge up to a thousand times. One that is refused does not stop the others.

    An item's own `key` is its Idempotency-Key; without one it is the header's and its place. So
    under the header's key only the same items are accepted again, in the same order.
    """
    caller.require(Scope.BATCH)
    caller.require(Scope.CHARGE)
    body, key = await read(Batch, request), key_of(request)
    if key:
        await ledger_of(request).claim_batch(key, ANYTHING.encode(body.items))
    await _ready(ledger_of(request), body.items)
    results = await asyncio.gather(
        *(
            _one(request, caller, item, key and own_key("batch", key, n))
            for n, item in enumerate(body.items)
        )
    )
    return plain({"success": True, "results": results})


async def _ready(ledger: Ledger, items: Sequence[object]) -> None:
    """Open the accounts that are named more than once, and end what is due on them.

    Items that find an account not ready are asked again, and would lose their order by that.
    """
    named = Counter(
        email.strip().lower()
        for item in items
        if isinstance(item, dict)
        and isinstance(email := cast("dict[str, object]", item).get("email"), str)
    )
    for email, times in named.items():
        # What is wrong with an address or its account is told with each of its items.
        with suppress(AppError):
            if times > 1:
                await ledger.account(address(email))


async def _one(request: Request, caller: Caller, item: object, key: str | None) -> dict[str, Any]:
    try:
        one = checked(BatchItem, item)
        posted = await charge(request, caller, one, one.key or key)
    except Exception as error:  # noqa: BLE001 # a runner's: the other items have been charged
        told = as_told(error)
        note(told)
        more = particulars(told)
        return {"success": False, "error": told.detail, "code": told.code, **more}
    return charged(posted, one.operation, caller)


async def _of(request: Request, caller: Caller, hold_id: UUID) -> Hold:
    caller.require(Scope.HOLD)
    return await holds.get(_database(request), hold_id, request.app.state.now())


def _shown(found: Hold) -> dict[str, Any]:
    return {
        "success": True,
        "hold": str(found.id),
        "email": found.email,
        "state": found.state,
        "held": short(found.amount),
        "shortfall": short(found.shortfall),
        "expiresAt": found.expires_at.isoformat(),
        "operation": found.operation,
    }


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database
