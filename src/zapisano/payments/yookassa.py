"""YooKassa's API v3 over httpx: Decimal in and out, tolerant of what it does not know.

Facts: https://yookassa.ru/developers/using-api/interaction-format (checked October 2026). A GET
changes nothing, so every failure of one but "not found" is worth a retry. A POST answered 4xx has
failed for certain; anything else leaves its outcome unknown.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, cast
from urllib.parse import quote

import httpx
from pydantic_core import from_json

from zapisano.payments.pace import Pace
from zapisano.payments.provider import (
    Method,
    Payment,
    ProviderRefused,
    ProviderUnavailable,
    Refund,
    UnknownPayment,
    UnknownRefund,
)
from zapisano.settings import Settings
from zapisano.telemetry import YOOKASSA_ANSWERS, get_logger

log = get_logger("zapisano.payments")

TIMEOUT = httpx.Timeout(15.0, connect=5.0)
# httpx counts each read by itself; this bounds an answer that drips. YooKassa gives up after 30 s.
WHOLE_REQUEST_SECONDS = 35.0
BAD_REQUEST, NOT_FOUND, TOO_MANY_REQUESTS = 400, 404, 429
PAGE = 100
MAX_PAGES = 500
LONGEST_PAUSE_MS = 60 * 60 * 1000  # who asks for more than an hour is not believed
Json = Mapping[str, Any]
NOTHING: Json = {}
# What an error is counted under; strangers' words, should YooKassa repeat one, make no new names.
CODE = re.compile(r"[a-z_]{1,40}")
DEFAULT_PAUSE_SECONDS = 1.0  # where a 429 does not say how long
OnError = Callable[[str], Awaitable[None]]
LAST4 = re.compile(r"[0-9]{4}", re.ASCII)


class YooKassa:
    """One shop at YooKassa. Close it when done."""

    def __init__(self, settings: Settings, on_error: OnError | None = None) -> None:
        """Speak as the shop of the settings; `on_error` is told the code of every failure."""
        self._pace = Pace(settings)
        self._on_error = on_error
        self._http = httpx.AsyncClient(
            base_url=settings.yookassa_api_url,
            auth=(settings.yookassa_shop_id, settings.yookassa_secret_key.get_secret_value()),
            timeout=TIMEOUT,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
        await self._pace.close()

    async def create_payment(self, body: bytes, key: str) -> Payment:
        """See `Provider.create_payment`."""
        return read_payment(await self._post("/payments", body, key))

    async def get_payment(self, payment_id: str) -> Payment:
        """See `Provider.get_payment`."""
        path = f"/payments/{quote(payment_id, safe='')}"
        answer = await self._send(self._http.build_request("GET", path))
        if answer.status_code == NOT_FOUND:
            raise UnknownPayment
        return read_payment(_found(answer))

    async def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """See `Provider.list_payments`."""
        async for item in self._items("/payments", since, until):
            yield read_payment(item)

    async def create_refund(self, body: bytes, key: str) -> Refund:
        """See `Provider.create_refund`."""
        return read_refund(await self._post("/refunds", body, key))

    async def get_refund(self, refund_id: str) -> Refund:
        """See `Provider.get_refund`."""
        path = f"/refunds/{quote(refund_id, safe='')}"
        answer = await self._send(self._http.build_request("GET", path))
        if answer.status_code == NOT_FOUND:
            raise UnknownRefund
        return read_refund(_found(answer))

    async def list_refunds(
        self, since: datetime, until: datetime, payment_id: str | None = None
    ) -> AsyncIterator[Refund]:
        """See `Provider.list_refunds`."""
        wanted = {"payment_id": payment_id} if payment_id else {}
        async for item in self._items("/refunds", since, until, **wanted):
            yield read_refund(item)

    async def _post(self, path: str, body: bytes, key: str) -> Json:
        """Send a request that changes something, under its key."""
        headers = {"Idempotence-Key": key, "Content-Type": "application/json"}
        request = self._http.build_request("POST", path, content=body, headers=headers)
        answer = await self._send(request)
        if 400 <= answer.status_code < 500:
            error = _json(answer)
            log.error("yookassa_refused", status=answer.status_code, **_error_words(error))
            raise ProviderRefused(settles_key=answer.status_code == BAD_REQUEST)
        return _json(answer)

    async def _items(
        self, path: str, since: datetime, until: datetime, **wanted: str
    ) -> AsyncIterator[Json]:
        """Go through a list, page after page."""
        asked: dict[str, str | int] = {
            "created_at.gte": _moment(since),
            "created_at.lte": _moment(until),
            "limit": PAGE,
            **wanted,
        }
        for _ in range(MAX_PAGES):
            page = _found(await self._send(self._http.build_request("GET", path, params=asked)))
            for item in cast("list[Json]", page.get("items") or []):
                yield item
            if not (cursor := page.get("next_cursor")):
                return
            asked["cursor"] = str(cursor)
        raise ProviderUnavailable(f"The provider's list {path} does not end.")

    async def _send(self, request: httpx.Request) -> httpx.Response:
        """Send when it is our turn, and sort out every answer that says nothing of the outcome."""
        await self._pace.turn()
        try:
            async with asyncio.timeout(WHOLE_REQUEST_SECONDS):
                answer = await self._http.send(request)
        except (httpx.HTTPError, TimeoutError) as error:
            await self._note(request.method, "0", "no_answer")
            log.warning("yookassa_not_answering", reason=type(error).__name__)
            raise ProviderUnavailable from error
        failed = not answer.is_success and answer.status_code != NOT_FOUND
        code = _error_words(_json(answer)).get("reason", "") if failed else ""
        await self._note(request.method, str(answer.status_code), code if failed else None)
        if answer.status_code == TOO_MANY_REQUESTS:
            seconds = _retry_after(answer)
            self._pace.pause(seconds or DEFAULT_PAUSE_SECONDS)
            raise ProviderUnavailable(retry_after_seconds=seconds)
        if not (answer.is_success or 400 <= answer.status_code < 500):
            log.warning("yookassa_failed", status=answer.status_code)
            raise ProviderUnavailable
        return answer

    async def _note(self, method: str, status: str, code: str | None) -> None:
        """Count an answer; `code` is an error's, which is YooKassa's word or its HTTP status."""
        YOOKASSA_ANSWERS.labels(method, status).inc()
        if code is not None and self._on_error:
            await self._on_error(code if CODE.fullmatch(code) else f"http_{status}")


def _found(answer: httpx.Response) -> Json:
    """Read the answer to a GET; a refusal of our credentials is the operator's to mend."""
    if not answer.is_success:
        log.error("yookassa_refused", status=answer.status_code, **_error_words(_json(answer)))
        raise ProviderUnavailable(f"The payment service answers {answer.status_code}.")
    return _json(answer)


def _json(answer: httpx.Response) -> Json:
    try:
        body = from_json(answer.content)
    except ValueError as error:
        if answer.is_success:
            raise ProviderUnavailable("The payment service answers what is no JSON.") from error
        return NOTHING
    return cast("Json", body) if isinstance(body, dict) else NOTHING


def _error_words(error: Json) -> dict[str, str]:
    """Return the words of an error body that may be logged.

    Its `description` is free text, which may repeat what we have sent: an e-mail, a telephone.
    """
    said = {"reason": error.get("code"), "parameter": error.get("parameter")}
    return {name: str(word) for name, word in said.items() if word is not None}


def _retry_after(answer: httpx.Response) -> float | None:
    """Read `retry_after`, which YooKassa gives in milliseconds, as seconds."""
    given = _json(answer).get("retry_after")
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return given / 1000 if 0 <= given <= LONGEST_PAUSE_MS else None


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def read_payment(body: Json) -> Payment:
    """Read a payment; what is missing or odd becomes a value that no proof accepts.

    Raises:
        ProviderUnavailable: there is no id or no status, so this says nothing about a payment.
    """
    payment_id, status = body.get("id"), body.get("status")
    if not (isinstance(payment_id, str) and payment_id and isinstance(status, str)):
        raise ProviderUnavailable("The payment service answers without id or status.")
    amount, test = _part(body, "amount"), body.get("test")
    return Payment(
        id=payment_id,
        status=status,
        paid=body.get("paid") is True,
        amount=_decimal(amount.get("value")),
        currency=str(amount.get("currency", "")),
        account_id=str(_part(body, "recipient").get("account_id", "")),
        test=test if isinstance(test, bool) else None,
        metadata={str(k): str(v) for k, v in _part(body, "metadata").items()},
        confirmation_url=_text(_part(body, "confirmation").get("confirmation_url")),
        cancel_reason=_text(_part(body, "cancellation_details").get("reason")),
        method=_method(_part(body, "payment_method")),
        refunded=_decimal(_part(body, "refunded_amount").get("value")),
    )


def read_refund(body: Json) -> Refund:
    """Read a refund; what is missing or odd becomes a value that no proof accepts.

    Raises:
        ProviderUnavailable: there is no id or no status, so this says nothing about a refund.
    """
    refund_id, status = body.get("id"), body.get("status")
    if not (isinstance(refund_id, str) and refund_id and isinstance(status, str)):
        raise ProviderUnavailable("The payment service answers without id or status.")
    amount = _part(body, "amount")
    return Refund(
        id=refund_id,
        payment_id=str(body.get("payment_id", "")),
        status=status,
        amount=_decimal(amount.get("value")),
        currency=str(amount.get("currency", "")),
        cancel_reason=_text(_part(body, "cancellation_details").get("reason")),
    )


def _method(body: Json) -> Method | None:
    if (method_id := _text(body.get("id"))) is None:
        return None
    last4 = _text(_part(body, "card").get("last4"))
    return Method(
        id=method_id,
        saved=body.get("saved") is True,
        title=_text(body.get("title")) or str(body.get("type", "")),
        last4=last4 if last4 and LAST4.fullmatch(last4) else None,
    )


def _part(body: Json, name: str) -> Json:
    part = body.get(name)
    return cast("Json", part) if isinstance(part, dict) else NOTHING


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _decimal(value: object) -> Decimal | None:
    """Read an amount, which is a text with a dot; anything else is no amount."""
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return number if number is not None and number.is_finite() else None
