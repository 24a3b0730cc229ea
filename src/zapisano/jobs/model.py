"""What a job is: a frozen dataclass with a kind and a lane."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar


class Lane(StrEnum):
    """Jobs that share a lane share its slowness, so money has its own."""

    MONEY = "money"
    CHAT = "chat"
    LIFE = "life"


@dataclass(frozen=True)
class Job:
    """Work for now. Fields are JSON values (ids, texts, numbers, datetimes); handlers may repeat.

    `kind` is `<room>.<verb>`. Kinds that begin with `booking.` are the only ones a tenant's
    transaction may enqueue, and they must have a field `tenant_id`, which the database stamps.
    """

    kind: ClassVar[str]
    lane: ClassVar[Lane] = Lane.LIFE
