"""What a check of the doctor found."""

from dataclasses import dataclass
from enum import StrEnum

from zapisano.settings import Settings


class Outcome(StrEnum):
    """How a check ended. A warning lets the service run, but not as it should."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Check:
    """One thing looked at, what was found, and what to do about it ('' when all is well)."""

    name: str
    outcome: Outcome
    found: str
    remedy: str = ""


def brings_its_own(settings: Settings) -> bool:
    """Say whether only `zapisano up` could run here: it makes what these settings leave out."""
    return not settings.database_url.get_secret_value()


def good(name: str, found: str) -> Check:
    """Nothing to do."""
    return Check(name, Outcome.OK, found)


def warning(name: str, found: str, remedy: str) -> Check:
    """It works, but."""
    return Check(name, Outcome.WARNING, found, remedy)


def failed(name: str, found: str, remedy: str) -> Check:
    """It does not work until something is done."""
    return Check(name, Outcome.FAILED, found, remedy)
