"""`/api/admin/sweep`: what the worker does every few seconds, for a place where none runs."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from zapisano.credits.jobs import sweep
from zapisano.web.billing.documents import BUSY, TOO_OFTEN, answer, refusal
from zapisano.web.billing.migrate import ATTEMPTS, WrongSecret, check_secret
from zapisano.web.plain import plain
from zapisano.web.sender import sender_of

BEARER = "bearer "

router = APIRouter(prefix="/api/admin", tags=["Migration"])


@router.get("/sweep", summary="Do what is due", responses={
    **answer(200, "Done; `ended` holds and grants have ended", {"success": True, "ended": 3}),
    **refusal(401, "The secret is wrong, or CRON_SECRET is not set", "Unauthorized"),
    **TOO_OFTEN, **BUSY,
})  # fmt: skip
async def do_what_is_due(request: Request) -> Response:
    """End holds and grants whose time has come, and tell of low balances. May be repeated.

    Vercel's cron jobs send `Authorization: Bearer CRON_SECRET` by themselves
    (https://vercel.com/docs/cron-jobs/manage-cron-jobs, "Securing cron jobs").
    """
    state = request.app.state
    header = request.headers.get("authorization", "")
    given = header[len(BEARER) :] if header.lower().startswith(BEARER) else ""
    try:
        check_secret(state.settings.cron_secret, given)
    except WrongSecret:
        # Only guesses are counted: behind a platform's proxy strangers look like the scheduler.
        sender = sender_of(request, state.settings.trusted_proxies)
        await state.limiter.hit("sweep", ATTEMPTS, str(sender), fail_open=True)
        raise
    ended = await sweep(state.database, state.settings, state.now)
    return plain({"success": True, "ended": ended})
