"""What the OpenAPI document says of these routes: examples of every answer."""

from collections.abc import Mapping
from typing import Any

Answers = dict[int | str, dict[str, Any]]

FAILURE = {
    "type": "object",
    "required": ["success", "error"],
    "properties": {"success": {"const": False}, "error": {"type": "string"}},
}


def answer(status: int, what: str, example: Mapping[str, object]) -> Answers:
    """An answer that is not an error."""
    return {status: {"description": what, "content": {"application/json": {"example": example}}}}


def refusal(status: int, when: str, error: str, **more: object) -> Answers:
    """An error in the document's own shape."""
    example = {"success": False, "error": error, **more}
    return {
        status: {
            "description": when,
            "content": {"application/json": {"schema": FAILURE, "example": example}},
        }
    }


BUSY = refusal(503, "Worth repeating in a moment", "Busy right now, please try again in a moment.")
NOBODY = refusal(401, "Nobody is signed in, or the key is none of ours", "Unauthorized")
FORBIDDEN = refusal(
    403,
    "A page of another site, a key without the scope, a session without an address, or a session "
    "where a server key is needed",
    "This is not allowed from a page of another site: let CREDITS_ORIGINS name it.",
)
FROZEN = refusal(
    409,
    "The account is frozen until the operator has decided about it",
    "This account is frozen: please write to support.",
)
WRONG = refusal(422, "A field is missing or wrong", "amount: must be above zero")
UNREADABLE = refusal(400, "The body cannot be read", "body: is not valid JSON")
NOT_JSON = refusal(415, "Not announced as JSON", "Send the header Content-Type: application/json.")
TOO_LARGE = refusal(413, "The body is too large", "The body is too large.")
TOO_OFTEN = refusal(429, "Too often", "Too many requests, please wait a moment.")
INSUFFICIENT = refusal(
    402,
    "The balance does not bear it",
    "Insufficient balance",
    balance=3.5,
    required=10,
)
UNKNOWN_HOLD = refusal(404, "There is no such hold", "There is no such hold.")
UNKNOWN_TOPUP = refusal(404, "This account has no such top-up", "There is no such order.")
OFF = refusal(
    409,
    "The account is frozen, nobody can pay here, or (with `auto`) nobody can be charged by itself",
    "Top-ups are not switched on here.",
)
PROVIDER_DOWN = refusal(502, "YooKassa does not answer", "A partner service is not answering.")
READING = {**NOBODY, **FORBIDDEN, **FROZEN, **WRONG, **TOO_OFTEN, **BUSY}
WRITING = {**READING, **UNREADABLE, **NOT_JSON, **TOO_LARGE}
MOVING = {**WRITING, **INSUFFICIENT}
