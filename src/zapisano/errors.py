"""The errors people may see: a code, an HTTP status and a text that is safe to show.

Web turns them into problem JSON, bots into a chat message, jobs into a retry (`Busy`, `Upstream`)
or a discard. Everything else that is raised is a bug.
"""

from typing import ClassVar


class AppError(Exception):
    """What went wrong, in words a person can act on. The text must hold no secret."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    text: ClassVar[str] = "Something went wrong on our side."

    def __init__(self, detail: str = "") -> None:
        """Keep `detail`, or the class's own text."""
        super().__init__(detail or self.text)

    @property
    def detail(self) -> str:
        """The sentence to show."""
        return str(self.args[0])


class NotFound(AppError):
    """The thing asked for is not there."""

    code, status, text = "not_found", 404, "There is no such thing."


class Malformed(AppError):
    """What was sent cannot be read at all."""

    code, status, text = "malformed", 400, "The request cannot be read."


class Conflict(AppError):
    """The world has moved on; asking again as before will not help."""

    code, status, text = "conflict", 409, "This is no longer possible."


class Refused(AppError):
    """The input breaks a rule; the detail names the field and the remedy."""

    code, status, text = "refused", 422, "The input cannot be accepted."


class Unauthorized(AppError):
    """The caller has not shown who they are."""

    code, status, text = "unauthorized", 401, "A valid token is needed."


class Passing(AppError):
    """Worth repeating later; `retry_after_seconds`: how long we were asked to wait, if at all."""

    def __init__(self, detail: str = "", *, retry_after_seconds: float | None = None) -> None:
        """Keep the detail and the pause."""
        super().__init__(detail)
        self.retry_after_seconds = retry_after_seconds


class Busy(Passing):
    """We cannot now; the same request may succeed later."""

    code, status, text = "busy", 503, "Busy right now, please try again in a moment."


class Upstream(Passing):
    """A service we depend on failed or could not be reached; worth a retry."""

    code, status, text = "upstream", 502, "A partner service is not answering."


class SlotTaken(Conflict):
    """Somebody else has just booked this time."""

    code, text = "slot_taken", "This time has just been taken."


class BrokenSetting(AppError):
    """A setting is missing or wrong; the detail has one line per setting."""

    code, text = "broken_setting", "A setting is missing or wrong."
