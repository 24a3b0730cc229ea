"""YooKassa's notifications and the health of what handles them.

Authenticity has two halves: the sender's address here, and `settle`, which reads the payment with
our own credentials. There is no signature; the header `X-Yookassa-Signature` of old examples is not
sent by the real service, is accepted, and means nothing.
"""

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from zapisano import payments
from zapisano.db import CONNECTION_LOST
from zapisano.errors import Busy
from zapisano.jobs import store as queue
from zapisano.payments import store as money
from zapisano.payments.inbox import MalformedNotification
from zapisano.payments.model import Received
from zapisano.telemetry import ACKNOWLEDGED_SECONDS, NOTIFICATIONS, get_logger
from zapisano.web.errors import Forbidden
from zapisano.web.sender import is_in, sender_of
from zapisano.web.state import state_of

log = get_logger("zapisano.web")
router = APIRouter(tags=["YooKassa"])

STALLED_AFTER_SECONDS = 60.0


@router.post("/webhook/yookassa", summary="Receive a notification")
async def notify(request: Request) -> dict[str, str]:
    """Keep the notification and answer 200 after the commit; anything else is sent again."""
    started = time.perf_counter()
    state = state_of(request)
    address = sender_of(request, state.settings.trusted_proxies)
    if not is_in(address, state.settings.yookassa_networks):
        _foreign(str(address), strict=state.settings.yookassa_sender_check == "strict")
    try:
        said = payments.read_notification(await request.body())
    except MalformedNotification:
        NOTIFICATIONS.labels("malformed").inc()
        raise
    async with state.database.shared() as conn:
        received = await payments.receive(conn, said.event, said.object_id, said.body, str(address))
    _count(received)
    log.info(
        "notification_received", kind=said.event, object_id=said.object_id, is_new=received.is_new
    )
    ACKNOWLEDGED_SECONDS.observe(time.perf_counter() - started)
    return {"status": "ok"}


def _foreign(address: str, *, strict: bool) -> None:
    """Somebody else speaks in YooKassa's name: refuse them, or only note it."""
    NOTIFICATIONS.labels("foreign").inc()
    log.warning("notification_from_elsewhere", sender=address, refused=strict)
    if strict:
        raise Forbidden("Notifications are accepted from YooKassa's addresses only.")


def _count(received: Received) -> None:
    NOTIFICATIONS.labels("received").inc()
    if not received.is_new:
        NOTIFICATIONS.labels("duplicate").inc()
    elif not received.is_open:
        NOTIFICATIONS.labels("ignored").inc()


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
