"""YooKassa's notifications and the health of what handles them.

Authenticity has two halves: the sender's address here, and `settle`, which reads the payment with
our own credentials. There is no signature; the header `X-Yookassa-Signature` of old examples is not
sent by the real service, is accepted, and means nothing.
"""

import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.middleware import Middleware

from zapisano import payments
from zapisano.db import CONNECTION_LOST, Database, DatabaseError
from zapisano.errors import Busy
from zapisano.jobs import store as queue
from zapisano.limits import Limiter, TooMany
from zapisano.payments import store as money
from zapisano.payments.inbox import MalformedNotification
from zapisano.payments.model import Received
from zapisano.payments.partner import PATH
from zapisano.settings import Settings
from zapisano.telemetry import ACKNOWLEDGED_SECONDS, NOTIFICATIONS, get_logger
from zapisano.web.errors import Forbidden
from zapisano.web.sender import is_in, sender_of
from zapisano.web.shortcut import Shortcut
from zapisano.web.state import state_of

log = get_logger("zapisano.web")
router = APIRouter(tags=["YooKassa"])
ACKNOWLEDGED = b'{"status":"ok"}'

STALLED_AFTER_SECONDS = 60.0


def install_webhook(app: FastAPI) -> None:
    """Put the routes on an app whose `state` has `settings` and `database`.

    Notifications take the short way: the framework's would cost more than keeping one does.
    """
    app.state.limiter = Limiter(app.state.settings)
    app.user_middleware.append(Middleware(Shortcut, "POST", PATH, notify))
    app.include_router(router)


@router.post(PATH, summary="Receive a notification", response_class=JSONResponse)
async def notify(request: Request) -> Response:
    """Keep the notification and answer 200 after the commit; anything else is sent again.

    Raises:
        Busy: it could not be kept, whatever the database says: 503.
    """
    started = time.perf_counter()
    settings: Settings = request.app.state.settings
    database: Database = request.app.state.database
    address = sender_of(request, settings.trusted_proxies)
    if not is_in(address, settings.yookassa_networks):
        await _check_stranger(request.app.state.limiter, settings, str(address))
    try:
        said = payments.read_notification(await request.body())
    except MalformedNotification:
        NOTIFICATIONS.labels("malformed").inc()
        raise
    try:
        async with database.statements() as conn:
            received = await payments.receive(
                conn, said.event, said.object_id, said.body, str(address)
            )
    except DatabaseError as error:  # a full disk, a schema that is not migrated yet: not for ever
        reason = type(error).__name__  # its text may repeat what was to be kept
        log.error("notification_not_kept", reason=reason)  # noqa: TRY400
        raise Busy("The notification could not be kept. Please send it again.") from error
    _count(received)
    log.info(
        "notification_received", kind=said.event, object_id=said.object_id, is_new=received.is_new
    )
    ACKNOWLEDGED_SECONDS.observe(time.perf_counter() - started)
    return Response(ACKNOWLEDGED, media_type="application/json")


async def _check_stranger(limiter: Limiter, settings: Settings, address: str) -> None:
    """Somebody else speaks in YooKassa's name: refuse them, or only note it; either way not often.

    Raises:
        TooMany: they have said too much already.
        Forbidden: they are not heard at all.
    """
    try:
        await limiter.hit("webhook", settings.yookassa_webhook_limit, address, fail_open=True)
    except TooMany:
        NOTIFICATIONS.labels("limited").inc()
        raise
    NOTIFICATIONS.labels("foreign").inc()
    strict = settings.yookassa_sender_check == "strict"
    log.warning("notification_from_elsewhere", sender=address, refused=strict)
    if strict:
        raise Forbidden("Notifications are accepted from YooKassa's addresses only.")


def _count(received: Received) -> None:
    NOTIFICATIONS.labels("received").inc()
    if not received.is_new:
        NOTIFICATIONS.labels("duplicate").inc()
    else:
        NOTIFICATIONS.labels("accepted" if received.is_open else "ignored").inc()


@router.get("/health", summary="Can notifications be kept, and are they handled?")
async def health(request: Request) -> JSONResponse:
    """Answer 200 as long as a notification can be stored, else 503.

    A queue that stands still does not lose one, so it is told (`stalled`) and not answered 503:
    a load balancer that took us out for it would make things worse.
    """
    try:
        body = await _state_of_things(request)
    except (Busy, *CONNECTION_LOST) as error:
        log.warning("health_without_database", reason=type(error).__name__)
        return JSONResponse({"status": "down", "database": {"status": "down"}}, 503)
    return JSONResponse(body)


async def _state_of_things(request: Request) -> dict[str, Any]:
    started = time.perf_counter()
    async with state_of(request).database.shared() as conn:
        oldest = await queue.oldest_waiting_seconds(conn)
        waiting = await queue.waiting(conn)
        last_at = await money.last_notification_at(conn)
    took_ms = round((time.perf_counter() - started) * 1000, 1)
    stalled = oldest > STALLED_AFTER_SECONDS
    return {
        "status": "stalled" if stalled else "ok",
        "database": {"status": "ok", "answered_in_ms": took_ms},
        "queue": {
            "status": "stalled" if stalled else "ok",
            "oldest_waiting_seconds": round(oldest, 1),
            "waiting": waiting,
        },
        "last_notification_at": last_at.isoformat() if last_at else None,
    }
