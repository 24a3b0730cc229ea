"""What PostgreSQL's jsonb can hold of what strangers send: the one rule for every inbox."""

from math import isfinite
from typing import Any, ClassVar, cast

from zapisano.errors import Refused

DEEPEST = 60


class Unstorable(Refused):
    """A JSON value that cannot be kept; the detail says why."""

    code: ClassVar[str] = "unstorable"


def storable(value: Any, depth: int = 0) -> Any:
    """Leave out U+0000, the one character that jsonb cannot hold.

    Raises:
        Unstorable: deeper than 60 levels, or a number that is not finite (`1e999` is read as one).
    """
    if depth > DEEPEST:
        raise Unstorable("The body is nested too deeply.")
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [storable(each, depth + 1) for each in cast("list[Any]", value)]
        case dict():
            pairs = cast("dict[str, Any]", value).items()
            return {storable(key): storable(each, depth + 1) for key, each in pairs}
        case float() if not isfinite(value):
            raise Unstorable("A number is out of range.")
        case _:
            return value
