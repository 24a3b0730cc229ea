"""Rows for people and for programs, from one description."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from pydantic_core import to_jsonable_python

from zapisano.ops import screen


def tell(value: object) -> None:
    """Write a value as JSON: exact decimals as texts, instants in ISO 8601."""
    screen.say(json.dumps(to_jsonable_python(value), ensure_ascii=False, indent=2))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Show rows under a title; nothing where there are none."""
    if rows:
        screen.table(columns, [[cell(one) for one in row] for row in rows], title=title)


def pairs(title: str, values: Mapping[str, object]) -> None:
    """Show one thing, a line for each thing to be said of it."""
    table(title, (title, ""), list(values.items()))


def cell(value: object) -> str:
    """Write a value as a person reads it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        held = cast("Mapping[object, object]", value)
        return " ".join(f"{key}={cell(one)}" for key, one in held.items())
    return str(value)


def age(passed: timedelta) -> str:
    """Write how long ago something was, in its two largest units."""
    seconds = max(int(passed.total_seconds()), 0)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
