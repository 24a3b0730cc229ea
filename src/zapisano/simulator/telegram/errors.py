"""What the Bot API answers when it refuses."""

import math
from typing import Literal

Trouble = Literal[
    "bot_name",
    "bot_username",
    "button_gone",
    "empty_text",
    "long_text",
    "message_gone",
    "no_bot",
    "no_file",
    "no_invoice",
    "no_page",
    "no_person",
    "not_manager",
    "username_taken",
]
"""What a person cannot do; the page has its sentences for each, in its own language."""


class ApiError(Exception):
    """A refusal with the code, the description and the parameters a real client sees."""

    def __init__(self, code: int, description: str, *, retry_after: int | None = None) -> None:
        super().__init__(description)
        self.code = code
        self.description = description
        self.retry_after = retry_after

    def answer(self) -> dict[str, object]:
        """Say it as the Bot API says it (core.telegram.org/bots/api#making-requests)."""
        body: dict[str, object] = {
            "ok": False,
            "error_code": self.code,
            "description": self.description,
        }
        if self.retry_after is not None:
            body["parameters"] = {"retry_after": self.retry_after}
        return body


def bad_request(reason: str) -> ApiError:
    """Refuse a request that can never succeed as it is."""
    return ApiError(400, f"Bad Request: {reason}")


def too_many_requests(wait_seconds: float) -> ApiError:
    """Refuse a request that comes too early; the wait is told in whole seconds, at least one."""
    wait = max(1, math.ceil(wait_seconds))
    return ApiError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)


class PersonError(Exception):
    """The phone asked for something a person cannot do: status, which trouble, and a text of it."""

    def __init__(self, status: int, code: Trouble, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
