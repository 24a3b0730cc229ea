"""The door of the API: credentials, idempotence, knobs and the log around every verb."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from zapisano.simulator.connection import Reset
from zapisano.simulator.yookassa.bodies import read_json, read_key
from zapisano.simulator.yookassa.cards import any_card
from zapisano.simulator.yookassa.courier import Courier
from zapisano.simulator.yookassa.problems import (
    Problem,
    bad_credentials,
    broken,
    forbidden,
    invalid,
    too_many,
    unsupported_type,
)
from zapisano.simulator.yookassa.usecases import Kassa

TOKEN_LENGTH = 16
Verb = Callable[[dict[str, Any]], dict[str, Any]]


class Gate:
    """Lets requests in and answers them."""

    def __init__(self, kassa: Kassa, courier: Courier, secret_key: str) -> None:
        self._kassa = kassa
        self._store = kassa.store
        self._courier = courier
        self._login = f"{kassa.shop.id}:{secret_key}".encode()

    async def answer(self, request: Request, verb: Verb, *, partner: bool = False) -> Response:
        """Do `verb` with the request's body and answer; `partner` asks for an OAuth token."""
        method, path = request.method, request.url.path.removeprefix("/v3")
        raw = await request.body()
        key = request.headers.get("idempotence-key")
        call = self._store.log_call(method, _with_query(path, request), key, _text(raw))
        ahead = self._kassa.strike("429", "500", request=(method, path))
        if ahead is not None:
            problem = too_many(ahead.retry_after_ms) if ahead.kind == "429" else broken()
            self._store.log_answer(call, problem.status, ahead.kind)
            return JSONResponse(problem.body(), problem.status)
        status, body = self._handle(request, raw, verb, partner=partner)
        self._courier.call()
        return await self._send(request, call, status, body)

    def _handle(
        self, request: Request, raw: bytes, verb: Verb, *, partner: bool
    ) -> tuple[int, str]:
        """The status and the JSON text."""
        self._kassa.sweep()
        try:
            self._check_credentials(request.headers.get("authorization", ""), partner=partner)
            if request.method == "GET":
                return 200, _dump(verb({}))
            if request.method == "POST" and not _is_json(request):
                raise unsupported_type(request.headers.get("content-type", ""))
            return self._handle_once(request, raw, verb)
        except Problem as problem:
            return problem.status, _dump(problem.body())

    def _handle_once(self, request: Request, raw: bytes, verb: Verb) -> tuple[int, str]:
        """The first answer to a key, now or remembered; a refusal is an answer too."""
        key = read_key(request.headers.get("idempotence-key"))
        asked = f"{request.method} {request.url.path}\n".encode() + raw
        fingerprint = hashlib.sha256(asked).hexdigest()
        with self._store.transaction():
            kept = self._store.find_answer(key, self._kassa.now())
            if kept is not None:
                if kept[0] != fingerprint:
                    raise invalid("Idempotence key duplicated", "Idempotence-Key")
                return kept[1], kept[2]
            status, body = self._attempt(verb, raw)
            self._store.keep_answer(key, fingerprint, status, body, self._kassa.now())
            return status, body

    def _attempt(self, verb: Verb, raw: bytes) -> tuple[int, str]:
        # Verbs check before they write, so a refusal leaves nothing half done in the transaction.
        try:
            return 200, _dump(verb(read_json(raw)))
        except Problem as problem:
            return problem.status, _dump(problem.body())

    def _check_credentials(self, header: str, *, partner: bool) -> None:
        """Basic shopId:secretKey, or a partner's token: any of at least 16 characters here."""
        scheme, _, given = header.partition(" ")
        if scheme.lower() == "bearer" and len(given.strip()) >= TOKEN_LENGTH:
            return
        if scheme.lower() != "basic" or not hmac.compare_digest(_decoded(given), self._login):
            raise bad_credentials()
        if partner:
            raise forbidden("Webhooks are managed with an OAuth token only", "Authorization")

    async def _send(self, request: Request, call: int, status: int, body: str) -> Response:
        """Answer, or fail to, as the knobs say: the thing itself is done by now."""
        chance = (request.method, request.url.path.removeprefix("/v3"))
        struck = [
            fault
            for kind in ("early", "slow", "500_after_create", "reset")
            if (fault := self._kassa.strike(kind, request=chance))
        ]
        kinds = [fault.kind for fault in struck]
        if "early" in kinds:
            await self._notify_early(body if status == 200 and chance[1] == "/payments" else None)
        for fault in struck:
            if fault.kind == "slow":
                await pause(request, fault.seconds)
        name = "+".join(kinds) or None
        if "reset" in kinds:
            self._store.log_answer(call, None, name)
            return Reset()
        if "500_after_create" in kinds:
            problem = broken()
            self._store.log_answer(call, problem.status, name)
            return JSONResponse(problem.body(), problem.status)
        self._store.log_answer(call, status, name)
        return Response(body, status, media_type="application/json")

    async def _notify_early(self, created: str | None) -> None:
        """Let the payer be faster than our answer: pay what was created, and tell the shop now."""
        if created is not None:
            made: dict[str, Any] = json.loads(created)
            payment = self._kassa.payment(str(made["id"]))
            if payment.status == "pending":  # it may be a kept answer, and the payment further
                self._kassa.pay(payment.id, any_card())
        await self._courier.hand_over_now()


async def pause(request: Request, seconds: float) -> None:
    """Let the client wait; end early when it has gone, as the next message then says."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await request.receive()


def _decoded(given: str) -> bytes:
    try:
        return base64.b64decode(given.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json"


def _with_query(path: str, request: Request) -> str:
    return f"{path}?{request.url.query}" if request.url.query else path


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _dump(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False)
