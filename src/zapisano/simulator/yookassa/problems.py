"""The errors of the simulated API, in the real one's words where those are known.

Known: the shape of the body, the codes, the texts for a duplicated key, wrong credentials and an
unknown payment (published examples and clients' logs). Other descriptions are our own words: the
real API promises the `code` and the `parameter`, not the text.
"""

import uuid
from typing import Any


class Problem(Exception):
    """A refusal that the API tells its caller."""

    def __init__(
        self,
        status: int,
        code: str,
        description: str,
        *,
        parameter: str | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description
        self.parameter = parameter
        self.retry_after_ms = retry_after_ms

    def body(self) -> dict[str, Any]:
        """The JSON the caller reads; every error has its own id, as support asks for it."""
        answer: dict[str, Any] = {
            "type": "error",
            "id": str(uuid.uuid4()),
            "code": self.code,
            "description": self.description,
        }
        if self.parameter is not None:
            answer["parameter"] = self.parameter
        if self.retry_after_ms is not None:
            answer["retry_after"] = self.retry_after_ms
        return answer


def invalid(description: str, parameter: str | None = None) -> Problem:
    """400: the request breaks a rule; `parameter` names the field or header."""
    return Problem(400, "invalid_request", description, parameter=parameter)


def unknown(thing: str) -> Problem:
    """404: no such payment, refund or method in this shop."""
    return Problem(
        404,
        "not_found",
        f"Incorrect {thing}_id. {thing.replace('_', ' ').capitalize()} doesn't exist or access "
        f"denied. Specify the {thing.replace('_', ' ')} ID created in your store.",
        parameter=f"{thing}_id",
    )


def bad_credentials() -> Problem:
    """401: neither the shop's key nor a token."""
    return Problem(
        401,
        "invalid_credentials",
        "Error in shopId or secret key. Check their validity. "
        "You can reissue the key in the Merchant Profile",
        parameter="Authorization",
    )


def forbidden(description: str, parameter: str | None = None) -> Problem:
    """403: the caller is known, but may not do this."""
    return Problem(403, "forbidden", description, parameter=parameter)


def unsupported_type(given: str) -> Problem:
    """415: a body that is not called JSON. The real one's code for it is not published."""
    found = f"not {given}" if given else "and it is missing"
    return Problem(
        415,
        "unsupported_media_type",
        f"Content-Type must be application/json, {found}",
        parameter="Content-Type",
    )


def too_many(retry_after_ms: int) -> Problem:
    """429: nothing was done; come back after `retry_after` milliseconds."""
    return Problem(
        429,
        "too_many_requests",
        "Too many requests per unit of time",
        retry_after_ms=retry_after_ms,
    )


def broken() -> Problem:
    """500: the outcome is unknown to the caller, who repeats with the same key."""
    return Problem(500, "internal_server_error", "Internal server error")
