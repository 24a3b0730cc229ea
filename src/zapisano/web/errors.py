"""The one handler of errors over HTTP: problem JSON (RFC 9457), request ids, a count of answers.

The credits' routes answer in the shape that their document prints (`plain.py`).

`AppError` shows its own text; wrong input names its field; anything else is a bug: 500 without
details, and a traceback in the log under the request's id.
"""

import math
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zapisano.db import CONNECTION_LOST
from zapisano.errors import AppError, Busy, Malformed, Passing, Unauthorized
from zapisano.telemetry import HTTP_REQUESTS, get_logger
from zapisano.web import plain

log = get_logger("zapisano.web")

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-Id"
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
RETRY_AFTER_SECONDS = 5
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
DETAILS: Mapping[int, str] = {
    404: "There is no such page.",
    405: "This method is not allowed here.",
}


class Forbidden(AppError):
    """The caller may not do this, whoever they are."""

    code, status, text = "forbidden", 403, "This is not allowed from here."


class TooLarge(AppError):
    """The body is longer than any route reads."""

    code, status, text = "too_large", 413, "The body is too large."


class WrongInput(AppError):
    """A field is missing or has a wrong value; the detail names each."""

    code: ClassVar[str] = "wrong_input"
    status: ClassVar[int] = 422
    text: ClassVar[str] = "A field is missing or wrong."


def install_error_handlers(app: FastAPI) -> None:
    """Give `app` problem JSON for every error, and request ids in, out and in the log."""
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _wrong_input)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(RequestContext)


def told(error: AppError, path: str) -> Response:
    """Write an error in the shape of its path, and into the log; one worth a retry says when."""
    note(error)
    return _answer(
        path,
        error.status,
        error.code,
        title_of(error.code),
        error.detail,
        _headers(error),
        **plain.particulars(error),
    )


def title_of(code: str) -> str:
    """Name a class of errors; the detail says what has happened this time (RFC 9457, 3.1.3)."""
    return code.replace("_", " ").capitalize()


def _headers(error: AppError) -> dict[str, str]:
    if isinstance(error, Passing):
        return {"Retry-After": str(math.ceil(error.retry_after_seconds or RETRY_AFTER_SECONDS))}
    return {"WWW-Authenticate": "Bearer"} if error.status == Unauthorized.status else {}


def note(error: AppError) -> None:
    """Write into the log that a request got an error for an answer, whatever it looks like."""
    if error.status >= 500:
        log.warning("request_not_served", code=error.code, detail=error.detail)
    else:
        log.info("request_refused", code=error.code, detail=error.detail)


def _answer(
    path: str,
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    if plain.is_ours(path):
        return plain.refusal(status, code, detail, headers, **more)
    body = {
        "type": f"urn:zapisano:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


async def _app_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, AppError):
        raise error
    return told(error, request.url.path)


async def _wrong_input(request: Request, error: Exception) -> Response:
    """Name every wrong field; a body that is no JSON is malformed, not merely wrong."""
    if not isinstance(error, RequestValidationError):
        raise error
    problems: Sequence[Mapping[str, Any]] = error.errors()
    if any(one["type"] == "json_invalid" for one in problems):
        return told(Malformed("body: is not valid JSON"), request.url.path)
    return told(wrong_input(problems), request.url.path)


def wrong_input(problems: Iterable[Mapping[str, Any]]) -> WrongInput:
    """Name every field that pydantic complains of, and what is wrong with it."""
    return WrongInput("; ".join(f"{_field(one['loc'])}: {one['msg']}" for one in problems))


def _field(location: Sequence[str | int]) -> str:
    """Write where a value stands, as the caller would: `name`, `items.0.name`."""
    inner = location[1:] if location and location[0] in {"body", "query", "path"} else location
    return ".".join(str(part) for part in inner) or "body"


async def _http_error(request: Request, error: Exception) -> Response:
    """Write what the framework itself refuses: no such route, no such method."""
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code == TooLarge.status:
        return told(TooLarge(), request.url.path)
    if error.status_code == Malformed.status:
        return told(Malformed(), request.url.path)
    code, title = f"http_{error.status_code}", HTTPStatus(error.status_code).phrase
    detail = DETAILS.get(error.status_code, error.detail)
    log.info("request_refused", code=code)
    return _answer(request.url.path, error.status_code, code, title, detail, error.headers)


class RequestContext:
    """Around every request: its id in the log, a count of its answer, and the last resort."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap the rest of the app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                header = (REQUEST_ID_HEADER.lower().encode(), request_id.encode())
                message["headers"] = [*message.get("headers", ()), header]
            await send(message)

        bound = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            log.info("client_left")
        except Exception as error:  # the last resort: 500, and a traceback in the log
            answer = told(as_told(error), str(scope["path"]))
            if status:  # half an answer is out: only cutting the connection is honest
                raise
            await answer(scope, receive, send_with_id)
        finally:
            HTTP_REQUESTS.labels(_method(scope), _route(scope), str(status)).inc()
            structlog.contextvars.reset_contextvars(**bound)


def as_told(error: Exception) -> AppError:
    """Return what to tell of any error: a lost database may come back, the unexpected is a bug."""
    if isinstance(error, AppError):
        return error
    if isinstance(error, HTTPException) and error.status_code == TooLarge.status:
        return TooLarge()
    if isinstance(error, CONNECTION_LOST):
        log.warning("database_lost", reason=type(error).__name__)
        return Busy()
    log.error("request_failed", exc_info=error)
    return AppError()


def _request_id(scope: Scope) -> str:
    """Take the caller's id where it is a plain one, else draw one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value.decode("latin-1")):
            return str(value.decode("latin-1"))
    return secrets.token_hex(16)


def _method(scope: Scope) -> str:
    """Name the method; what strangers invent does not become a label."""
    method = str(scope["method"])
    return method if method in METHODS else "other"


def _route(scope: Scope) -> str:
    """Name the route by its pattern, so that ids do not become labels."""
    return str(getattr(scope.get("route"), "path", "unmatched"))
