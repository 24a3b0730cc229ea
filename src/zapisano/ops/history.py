"""`zapisano tenants history`: what happened to a tenant, as the journal has it."""

import json
from datetime import UTC, datetime

from zapisano import journal
from zapisano.db.names import tenant_schema
from zapisano.journal import Event
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.settings import Settings
from zapisano.tenancy import store

PAGE = 500
COLUMNS = ("when (UTC)", "what", "who", "before → after", "more")
SHOWN_ELSEWHERE = {"tenant_id", "by", "before", "after", "paid_until"}


async def show(settings: Settings, name: str, *, as_json: bool) -> None:
    """List what happened to a tenant, the newest last.

    Raises:
        UnknownTenant: there is no such tenant.
    """
    async with opened(settings) as database, database.shared() as conn:
        tenant = await store.get(conn, tenant_schema(name))
        events: list[Event] = []
        while True:
            after = events[-1].id if events else 0
            page = await journal.read(conn, after=after, limit=PAGE, tenant=tenant.id)
            events.extend(page)
            if len(page) < PAGE:
                break
    if as_json:
        for event in events:
            screen.say(json.dumps(_line(event), ensure_ascii=False, default=str))
    else:
        screen.table(COLUMNS, [_row(event) for event in events])


def _line(event: Event) -> dict[str, object]:
    at = event.at.astimezone(UTC).isoformat()
    return {
        "id": event.id,
        "at": at,
        "kind": event.kind,
        "subject": event.subject,
        "data": {**event.data},
    }


def _row(event: Event) -> tuple[str, ...]:
    data = event.data
    more = (f"{key}={_short(value)}" for key, value in data.items() if key not in SHOWN_ELSEWHERE)
    return (
        f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
        event.kind,
        str(data.get("by") or data.get("via") or "-"),
        _change(event),
        " ".join(more),
    )


def _change(event: Event) -> str:
    """Say from what to what, where the event is a change; an end of paid time is its own."""
    before = event.data.get("before")
    after = event.data.get("after", event.data.get("paid_until"))
    if "before" not in event.data:
        return _short(after) if after is not None else ""
    return f"{'-' if before is None else _short(before)} → {_short(after)}"


def _short(value: object) -> str:
    """Write an instant to the minute, anything else as it is."""
    text = str(value)
    try:
        moment = datetime.fromisoformat(text) if "T" in text else None
    except ValueError:
        moment = None
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else text
