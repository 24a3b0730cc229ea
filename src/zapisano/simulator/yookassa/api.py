"""The routes of `/v3`: each says which verb it is, the gate does the rest."""

import re
from typing import Any

from fastapi import APIRouter, Request, Response

from zapisano.simulator.yookassa import bodies, views
from zapisano.simulator.yookassa.gate import Gate
from zapisano.simulator.yookassa.problems import Problem, unknown
from zapisano.simulator.yookassa.queries import listing
from zapisano.simulator.yookassa.usecases import Kassa

Body = dict[str, Any]
# A known path asked with another method is answered 405 with no body.
KNOWN = re.compile(
    r"me|(payments|refunds|webhooks)(/[^/]+)?|payments/[^/]+/(capture|cancel)"
    r"|payment_methods(/[^/]+)?"
)


def routes(kassa: Kassa, gate: Gate) -> APIRouter:
    """All of the API that is simulated."""
    router = APIRouter(prefix="/v3")
    _payments(router, kassa, gate)
    _refunds(router, kassa, gate)
    _methods(router, kassa, gate)
    _webhooks(router, kassa, gate)

    @router.get("/me")
    async def me(request: Request) -> Response:
        return await gate.answer(request, lambda _: views.me_json(kassa.shop))

    @router.api_route("/{rest:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def nothing(request: Request, rest: str) -> Response:
        if KNOWN.fullmatch(rest):
            return Response(status_code=405)

        def refuse(_: Body) -> Body:
            raise Problem(404, "not_found", f"There is no /{rest}")

        return await gate.answer(request, refuse)

    return router


def _payments(router: APIRouter, kassa: Kassa, gate: Gate) -> None:
    @router.post("/payments")
    async def create(request: Request) -> Response:
        def verb(body: Body) -> Body:
            return kassa.show(kassa.create_payment(bodies.new_payment(body)))

        return await gate.answer(request, verb)

    @router.get("/payments")
    async def find(request: Request) -> Response:
        query = request.query_params
        return await gate.answer(
            request, lambda _: kassa.list_payments(listing(query), query.get("cursor"))
        )

    @router.get("/payments/{payment_id}")
    async def get(request: Request, payment_id: str) -> Response:
        return await gate.answer(request, lambda _: kassa.show(kassa.payment(payment_id)))

    @router.post("/payments/{payment_id}/capture")
    async def capture(request: Request, payment_id: str) -> Response:
        def verb(body: Body) -> Body:
            return kassa.show(kassa.capture(payment_id, bodies.optional_amount(body)))

        return await gate.answer(request, verb)

    @router.post("/payments/{payment_id}/cancel")
    async def cancel(request: Request, payment_id: str) -> Response:
        return await gate.answer(request, lambda _: kassa.show(kassa.cancel(payment_id)))


def _refunds(router: APIRouter, kassa: Kassa, gate: Gate) -> None:
    @router.post("/refunds")
    async def create(request: Request) -> Response:
        def verb(body: Body) -> Body:
            return views.refund_json(kassa.create_refund(bodies.new_refund(body)))

        return await gate.answer(request, verb)

    @router.get("/refunds")
    async def find(request: Request) -> Response:
        query = request.query_params
        return await gate.answer(
            request, lambda _: kassa.list_refunds(listing(query), query.get("cursor"))
        )

    @router.get("/refunds/{refund_id}")
    async def get(request: Request, refund_id: str) -> Response:
        return await gate.answer(request, lambda _: views.refund_json(kassa.refund(refund_id)))


def _methods(router: APIRouter, kassa: Kassa, gate: Gate) -> None:
    @router.post("/payment_methods")
    async def create(request: Request) -> Response:
        def verb(body: Body) -> Body:
            method = kassa.create_method(bodies.new_method(body), bodies.metadata(body))
            return views.method_json(method, kassa.shop)

        return await gate.answer(request, verb)

    @router.get("/payment_methods/{method_id}")
    async def get(request: Request, method_id: str) -> Response:
        return await gate.answer(
            request, lambda _: views.method_json(kassa.method(method_id), kassa.shop)
        )


def _webhooks(router: APIRouter, kassa: Kassa, gate: Gate) -> None:
    @router.post("/webhooks")
    async def add(request: Request) -> Response:
        def verb(body: Body) -> Body:
            return views.webhook_json(kassa.add_webhook(*bodies.new_webhook(body)))

        return await gate.answer(request, verb, partner=True)

    @router.get("/webhooks")
    async def find(request: Request) -> Response:
        def verb(_: Body) -> Body:
            return views.list_json([views.webhook_json(h) for h in kassa.store.list_webhooks()])

        return await gate.answer(request, verb, partner=True)

    @router.delete("/webhooks/{webhook_id}")
    async def remove(request: Request, webhook_id: str) -> Response:
        def verb(_: Body) -> Body:
            if not kassa.store.delete_webhook(webhook_id):
                raise unknown("webhook")
            return {}

        return await gate.answer(request, verb, partner=True)
