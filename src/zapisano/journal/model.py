"""What happened, in the past tense."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Event:
    """One line of the journal. `data` holds ids, numbers and names of states: no personal data."""

    id: int
    at: datetime
    kind: str
    tenant: str | None
    subject: str
    data: Mapping[str, object]
