"""The Bot API over HTTP: `/bot{token}/{method}` and `/file/bot{token}/{path}`."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from zapisano.simulator.connection import Reset, Silence
from zapisano.simulator.telegram import parameters
from zapisano.simulator.telegram.call import Call, Told
from zapisano.simulator.telegram.errors import ApiError, too_many_requests
from zapisano.simulator.telegram.methods import METHODS
from zapisano.simulator.telegram.methods.receiving import get_updates
from zapisano.simulator.telegram.model import Json
from zapisano.simulator.telegram.parameters import Parameters
from zapisano.simulator.telegram.store import accounts, chats
from zapisano.simulator.telegram.store.database import transaction
from zapisano.simulator.telegram.world import Fault, World

NOT_FOUND = ApiError(404, "Not Found")
UNAUTHORIZED = ApiError(401, "Unauthorized")
POLLING = "getupdates"
MAX_BODY_BYTES = parameters.MAX_UPLOAD_BYTES + 1024 * 1024


async def answer(world: World, token: str, name: str, given: Parameters) -> Json:
    """Do what a method asks for; all of it, or none of it and the refusal.

    Raises:
        ApiError: as the real one refuses.
    """
    bot = accounts.find_bot_by_token(world.database, token)
    if bot is None:
        raise UNAUTHORIZED
    call = Call(world, bot, given)
    if name.lower() == POLLING:
        return {"ok": True, "result": await get_updates(call)}
    method = METHODS.get(name.lower())
    if method is None:
        raise NOT_FOUND
    with transaction(world.database):
        result = method(call)
    if isinstance(result, Told):
        return {"ok": True, "result": result.result, "description": result.description}
    return {"ok": True, "result": result}


async def reply(world: World, bot_id: int, given: Parameters) -> None:
    """Call the method that a bot put into its answer to a webhook; it never learns the result."""
    bot = accounts.find_bot(world.database, bot_id)
    name = given.text("method")
    if bot is not None and name.lower() != POLLING:
        note(world, bot_id, name, given)
        try:
            await answer(world, bot.token, name, given)
        except ApiError:
            return


def note(world: World, bot_id: int, name: str, given: Parameters) -> None:
    """Write a call into the log that tests read."""
    entry = {"at": time.time(), "bot": bot_id, "method": name, "params": given.loggable()}
    world.log.append(entry)


def bot_id_of(token: str) -> int:
    """Read the id from a token, whether it opens anything or not; zero when it has none."""
    number = token.partition(":")[0]
    return int(number) if number.isascii() and number.isdigit() else 0


def fail_before(fault: Fault) -> Response | None:
    """Play a fault that keeps the method from being done."""
    if fault.kind == "reset":
        return Reset()
    if fault.kind == "timeout":
        return Silence()
    if fault.kind == "429":
        raise too_many_requests(fault.retry_after)
    if fault.kind == "500":
        raise ApiError(500, "Internal Server Error")
    if fault.kind == "401":
        raise UNAUTHORIZED
    if fault.kind == "bad_webhook":
        raise ApiError(400, "Bad Request: bad webhook: Failed to resolve host")
    return None


async def read_body(request: Request) -> bytes:
    """Take the body in, as far as the Bot API does.

    Raises:
        ApiError: 413, it is larger than any file may be.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, "Request Entity Too Large")
    return bytes(body)


async def respond(world: World, request: Request, token: str, name: str) -> Response:
    """Answer one request, or play the fault that was ordered for it."""
    fault: Fault | None = None
    try:
        body = await read_body(request)
        given = parameters.read(request.query_params, request.headers.get("content-type", ""), body)
        bot_id = bot_id_of(token)
        note(world, bot_id, name, given)
        chat = str(given.values.get("chat_id", ""))
        fault = world.take_fault(name.lower(), bot_id, chat)
        broken = fail_before(fault) if fault else None
        if broken is not None:
            return broken
        response = JSONResponse(await answer(world, token, name, given))
    except ApiError as error:
        response = JSONResponse(error.answer(), error.code)
    return Reset() if fault is not None and fault.kind == "lost_answer" else response


def routes(world: World) -> APIRouter:
    """Make the routes of the Bot API."""
    router = APIRouter(include_in_schema=False)

    async def call_method(request: Request, token: str, method: str) -> Response:
        return await respond(world, request, token, method)

    async def fetch_file(token: str, path: str) -> Response:
        bot = accounts.find_bot_by_token(world.database, token)
        file = chats.find_file_by_path(world.database, bot.id, path) if bot else None
        if file is None:
            refusal = NOT_FOUND if bot else UNAUTHORIZED
            return JSONResponse(refusal.answer(), refusal.code)
        return Response(file.content, media_type="application/octet-stream")

    router.add_api_route(
        "/bot{token}/{method}", call_method, methods=["GET", "POST"], response_model=None
    )
    router.add_api_route(
        "/file/bot{token}/{path:path}", fetch_file, methods=["GET"], response_model=None
    )
    return router
