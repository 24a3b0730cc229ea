"""`/api/billing/auto-topup`: how an account is topped up by itself, and an end to it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from zapisano.credits.keys import Scope
from zapisano.payments import auto_methods
from zapisano.payments.auto_model import AutoMethod
from zapisano.payments.store import takes_credits
from zapisano.web.billing.account import EmailQuery
from zapisano.web.billing.caller import OF_USERS, AnyCaller, Ender
from zapisano.web.billing.documents import READING, answer
from zapisano.web.plain import plain, short

SHOWN = {
    "success": True,
    "state": "waiting",
    "below": 100,
    "amount": 500,
    "perDay": 1,
    "card": "•• 4477",
    "declined": "insufficient_funds",
    "nextAttemptAt": "2026-11-24T13:00:00+00:00",
    "ended": None,
}
OFF = {"state": "off", "below": None, "amount": None, "perDay": None, "card": None}

router = APIRouter(prefix="/api/billing", tags=["Credits"], dependencies=OF_USERS)


@router.get("/auto-topup", summary="Auto top-up", responses={
    **answer(200, "`state`: active, waiting (after a decline) or off; `ended` is why it is off, "
             "where there was one", SHOWN),
    **READING,
})  # fmt: skip
async def show(request: Request, caller: AnyCaller, email: EmailQuery = None) -> Response:
    """Show whether and how the account is topped up by itself."""
    account = caller.account(email, Scope.READ)
    return plain(await _shown(request, account))


@router.delete("/auto-topup", summary="End auto top-up", responses={
    **answer(200, "It is off, whatever it was", {"success": True, **OFF, "declined": None,
             "nextAttemptAt": None, "ended": "owner"}),
    **READING,
})  # fmt: skip
async def end(request: Request, caller: Ender, email: EmailQuery = None) -> Response:
    """End it at once and forget the card. A charge that is under way goes its way."""
    state, account = request.app.state, caller.account(email, Scope.TOPUP)
    async with state.database.shared() as conn:
        if await takes_credits(conn):
            by = "app" if caller.key else "payer"
            await auto_methods.end(conn, account, "owner", by=by, now=state.now())
    return plain(await _shown(request, account))


async def _shown(request: Request, account: str) -> dict[str, object]:
    async with request.app.state.database.shared() as conn:
        method = await auto_methods.newest(conn, account) if await takes_credits(conn) else None
    if method is None or method.ended_for is not None:
        ended = method.ended_for if method else None
        return {"success": True, **OFF, "declined": None, "nextAttemptAt": None, "ended": ended}
    return {"success": True, **_active(method), "ended": None}


def _active(method: AutoMethod) -> dict[str, object]:
    waits = method.declines > 0
    return {
        "state": "waiting" if waits else "active",
        "below": short(method.terms.below),
        "amount": short(method.terms.amount),
        "perDay": method.terms.per_day,
        "card": method.card,
        "declined": method.declined_for,
        "nextAttemptAt": method.next_at.isoformat() if waits else None,
    }
