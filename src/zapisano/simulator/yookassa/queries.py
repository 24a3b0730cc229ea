"""Reading the filters of a list from a query string."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from zapisano.simulator.yookassa.problems import invalid
from zapisano.simulator.yookassa.store import Listing, milliseconds

STATUSES = ("pending", "waiting_for_capture", "succeeded", "canceled")
STEP = timedelta(milliseconds=1)


def listing(query: Mapping[str, str]) -> Listing:
    """The filters that the real lists have; there is none by metadata."""
    created, captured = _span(query, "created_at"), _span(query, "captured_at")
    status = query.get("status")
    if status is not None and status not in STATUSES:
        raise invalid("Unknown status", "status")
    return Listing(
        created_from=created[0],
        created_to=created[1],
        captured_from=captured[0],
        captured_to=captured[1],
        status=status,
        method=query.get("payment_method"),
        payment_id=query.get("payment_id"),
        limit=_limit(query.get("limit", "10")),
    )


def _limit(given: str) -> int:
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= 100):
        raise invalid("Limit is a number from 1 to 100", "limit")
    return int(given)


def _span(query: Mapping[str, str], name: str) -> tuple[int | None, int | None]:
    """From and to, both inclusive, of `name.gte`, `.gt`, `.lte` and `.lt`."""
    lower = [_instant(query, f"{name}.gte"), _instant(query, f"{name}.gt", STEP)]
    upper = [_instant(query, f"{name}.lte"), _instant(query, f"{name}.lt", -STEP)]
    return (
        max((at for at in lower if at is not None), default=None),
        min((at for at in upper if at is not None), default=None),
    )


def _instant(query: Mapping[str, str], name: str, shift: timedelta = timedelta(0)) -> int | None:
    given = query.get(name)
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
        return milliseconds(at + shift)
    except (ValueError, OverflowError):
        raise invalid("Time must be ISO 8601", name) from None
