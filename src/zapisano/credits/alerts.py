"""Low balances, and charges that failed, told to the app's own server as Standard Webhooks ask.

Source: https://github.com/standard-webhooks/standard-webhooks (spec, read in November 2026): the
headers, the pauses between attempts, and that 410 ends them. An alert arrives at least once, and
always under the same `webhook-id`. Nothing is sent inside a transaction: alerts are claimed, sent,
and what became of them is written down.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

import httpx
import simplejson
from standardwebhooks import Webhook

from zapisano.credits.store import alerts as store
from zapisano.credits.store.alerts import Alert, Told
from zapisano.db import Database
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.credits")

TIMEOUT = httpx.Timeout(10.0, connect=5.0)
# httpx counts each read by itself; this bounds an answer that drips.
WHOLE_REQUEST_SECONDS = 15.0
# Nobody else takes an alert meanwhile; the time of a process that died is not lost for longer.
CLAIMED_FOR = timedelta(minutes=1)
BATCH = 20
# Three days and some hours; then it is given up.
PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)
GONE = 410
NOBODY_FOR = timedelta(days=1)
NO_ADDRESS = "not sent: CREDITS_WEBHOOK_URL is not set"
ADDRESS_GONE = "not sent: the address has answered 410, it is gone"


@dataclass(frozen=True)
class _Sent:
    """What became of an attempt; without a failure it has arrived."""

    alert: Alert
    failure: str
    is_gone: bool = False


async def deliver(database: Database, settings: Settings, now: Callable[[], datetime]) -> None:
    """Send what waits to be sent. Safe to run twice at once.

    A server that fails is not asked for the rest before the next time.

    Raises:
        Busy: the database is gone; what was sent and not noted will be sent again.
    """
    if await _is_pointless(database, settings, now()):
        return
    alerts = await _claim(database, now())
    if not alerts:
        return
    async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
        while alerts:
            sent = await asyncio.gather(*(_send(client, settings, one, now()) for one in alerts))
            await _write_down(database, settings, sent, now())
            if any(one.failure for one in sent):
                return
            alerts = await _claim(database, now())


def payload(alert: Alert) -> str:
    """Return what is sent: the same at each attempt. Sums are exact numbers of JSON."""
    kind = alert.told.kind if alert.told else "balance.low"
    data = (
        _of_others(alert, alert.told)
        if alert.told
        else {
            "email": alert.email,
            "balance": alert.balance,
            "threshold": alert.threshold,
            "movement": alert.movement,
        }
    )
    return simplejson.dumps(
        {"type": kind, "timestamp": alert.created_at.isoformat(), "data": data},
        use_decimal=True,
        ensure_ascii=False,
    )


def _of_others(alert: Alert, told: Told) -> Mapping[str, object]:
    return {
        "email": alert.email,
        "balance": alert.balance,
        "below": alert.threshold,
        "amount": told.amount,
        "reason": told.reason,
        "nextAttemptAt": told.again_at.isoformat() if told.again_at else None,
    }


async def _is_pointless(database: Database, settings: Settings, now: datetime) -> bool:
    """Close what waits where there is nobody to tell, so that it does not pile up.

    Another process may know an address that this one was not told, so without one it takes a day.
    """
    async with database.shared() as conn:
        if not settings.credits_webhook_url:
            closed = await store.close_all(conn, NO_ADDRESS, now - NOBODY_FOR)
        elif await store.is_gone(conn, _address(settings)):
            closed = await store.close_all(conn, ADDRESS_GONE, now)
        else:
            return False
    if closed:
        log.warning("alerts_not_sent", count=closed, remedy="set CREDITS_WEBHOOK_URL")
    return True


async def _claim(database: Database, now: datetime) -> list[Alert]:
    async with database.shared() as conn:
        return await store.claim(conn, now, now + CLAIMED_FOR, BATCH)


async def _send(
    client: httpx.AsyncClient, settings: Settings, alert: Alert, now: datetime
) -> _Sent:
    body = payload(alert)
    signer = Webhook(settings.credits_webhook_secret.get_secret_value())
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Zapisano",
        "webhook-id": str(alert.id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer.sign(str(alert.id), now, body),
    }
    try:
        async with (
            asyncio.timeout(WHOLE_REQUEST_SECONDS),
            client.stream(
                "POST", settings.credits_webhook_url, content=body.encode(), headers=headers
            ) as answer,
        ):
            status = answer.status_code  # what it says beside that is not read
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
        return _Sent(alert, type(error).__name__)
    if 200 <= status < 300:
        return _Sent(alert, "")
    return _Sent(alert, f"HTTP {status}", is_gone=status == GONE)


async def _write_down(
    database: Database, settings: Settings, sent: Sequence[_Sent], now: datetime
) -> None:
    failed = [one for one in sent if one.failure]
    is_gone = any(one.is_gone for one in sent)
    async with database.shared() as conn:
        await store.delivered(conn, [one.alert.id for one in sent if not one.failure], now)
        if is_gone:
            await store.note_gone(conn, _address(settings), now)
            await store.close_all(conn, ADDRESS_GONE, now)
        else:
            for one in failed:
                await store.failed(conn, one.alert, one.failure, _next_at(one.alert, now))
    if is_gone:
        log.error("webhook_is_gone", remedy="set CREDITS_WEBHOOK_URL to another address")
    elif failed:
        given_up = [str(one.alert.id) for one in failed if _next_at(one.alert, now) is None]
        reasons = sorted({one.failure for one in failed})
        log.warning("alerts_failed", count=len(failed), reasons=reasons, given_up=given_up)


def _next_at(alert: Alert, now: datetime) -> datetime | None:
    """Return when to try again after so many attempts; None when it was the last."""
    return now + PAUSES[alert.attempts - 1] if alert.attempts <= len(PAUSES) else None


def _address(settings: Settings) -> bytes:
    """Name the address without telling it; it may hold a secret."""
    return sha256(settings.credits_webhook_url.encode()).digest()
