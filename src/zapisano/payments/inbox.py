"""Notifications: read, kept once, acknowledged; what they say is only where to look.

There is no event id, so a notification is told by its event and its object's id. Each delivery of
one that is not handled yet asks for a settle: a wake-up that is skipped because another one is
under way would be lost.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic_core import from_json

from zapisano.db import SharedConnection
from zapisano.db.jsonb import Unstorable, storable
from zapisano.errors import Refused
from zapisano.jobs import Job
from zapisano.payments import store
from zapisano.payments.jobs import Settle, SettleRefund
from zapisano.payments.model import Received

# What leads to a settle. Everything else is stored and ignored.
SETTLED_EVENTS = frozenset({"payment.succeeded", "payment.canceled", "payment.waiting_for_capture"})
# The jobs that handle a notification; their payload names the object.
HANDLING_KINDS = (Settle.kind, SettleRefund.kind)
# The object of these is a refund: its status has a payment's words, so only the event tells.
REFUND_EVENTS = frozenset({"refund.succeeded"})
HANDLED_EVENTS = SETTLED_EVENTS | REFUND_EVENTS
EVENT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class MalformedNotification(Refused):
    """The body is not a notification; the detail says why."""

    code, status, text = "malformed_notification", 400, "This is not a notification of YooKassa."


@dataclass(frozen=True)
class Notification:
    """What a body says: look at this object."""

    event: str
    object_id: str
    body: Mapping[str, Any]


def read_notification(raw: bytes) -> Notification:
    """Read a body, strictly: it is kept as it is and must be storable.

    Raises:
        MalformedNotification: with the reason and the field.
    """
    try:
        body = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise MalformedNotification("body: is not valid JSON") from error
    if not isinstance(body, dict):
        raise MalformedNotification("body: must be a JSON object")
    fields = cast("dict[str, Any]", body)
    _check_storable(fields)
    event = fields.get("event")
    if not (isinstance(event, str) and EVENT.fullmatch(event)):
        raise MalformedNotification("event: must be a text such as payment.succeeded")
    try:
        return Notification(event, _object_id(fields.get("object")), fields)
    except MalformedNotification:
        if event in HANDLED_EVENTS:
            raise
    # What we do not know may look as it likes: it is kept, told apart by what it says.
    return Notification(event, hashlib.sha256(raw).hexdigest(), fields)


def _object_id(subject: object) -> str:
    if not isinstance(subject, dict):
        raise MalformedNotification("object: must be a JSON object")
    object_id = cast("dict[str, Any]", subject).get("id")
    if not (isinstance(object_id, str) and OBJECT_ID.fullmatch(object_id)):
        raise MalformedNotification("object.id: must be the id of a YooKassa object")
    return object_id


def _check_storable(fields: dict[str, Any]) -> None:
    """Refuse what cannot be kept just as it came."""
    try:
        kept = storable(fields)
    except Unstorable as error:
        raise MalformedNotification(f"body: {error.detail}") from error
    if kept != fields:
        raise MalformedNotification("body: must not contain the character U+0000")


def job_for(event: str, object_id: str) -> Job | None:
    """Return what handles a notification; None where it is kept and ignored."""
    if event in SETTLED_EVENTS:
        return Settle(object_id)
    return SettleRefund(object_id) if event in REFUND_EVENTS else None


async def receive(
    conn: SharedConnection, event: str, object_id: str, body: Mapping[str, Any], sender: str
) -> Received:
    """Keep a notification, or count one more delivery of it, and ask for what it needs.

    One statement, so that whoever lends a connection without a transaction has them all or none.
    """
    job = job_for(event, object_id)
    return await store.keep_notification(conn, event, object_id, body, sender, job=job)
