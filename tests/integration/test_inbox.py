"""The inbox: every notification kept once, and no wake-up lost."""

import asyncio
import json
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.payments_fixtures import (
    Buyer,
    Witness,
    buyer,
    kassa,
    now,
    provider,
    queued,
    settings,
    shared_kassa,
)
from zapisano.db import Database
from zapisano.errors import Busy
from zapisano.payments import Outcome, read_notification, receive, settle
from zapisano.payments.inbox import MalformedNotification
from zapisano.payments.model import Received

__all__ = ["buyer", "kassa", "provider", "settings", "shared_kassa"]


async def deliver(
    database: Database, object_id: str, event: str = "payment.succeeded", **body: Any
) -> Received:
    async with database.shared() as conn:
        said = {"event": event, "object": {"id": object_id}, **body}
        return await receive(conn, event, object_id, said, "185.71.76.1")


async def row(witness: Witness, object_id: str) -> tuple[Any, ...]:
    found = await witness.fetchrow(
        "SELECT deliveries, outcome FROM shared.notifications WHERE object_id = $1", object_id
    )
    return tuple(found or ())


async def test_rule_1_a_notification_is_kept_once_and_each_delivery_counted(
    database: Database, witness: Witness
) -> None:
    results = await asyncio.gather(*(deliver(database, "p-1", n=n) for n in range(5)))
    assert sorted(one.is_new for one in results) == [False] * 4 + [True]
    assert await row(witness, "p-1") == (5, None)
    assert await witness.fetchval("SELECT count(*) FROM shared.notifications") == 1


async def test_rule_1_what_is_not_committed_is_neither_kept_nor_asked_for(
    database: Database, witness: Witness
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.shared() as conn:
            await receive(conn, "payment.succeeded", "p-1", {}, "185.71.76.1")
            raise ZeroDivisionError
    assert await row(witness, "p-1") == ()
    assert await queued(witness, "payments.settle") == []


async def test_each_delivery_of_an_unhandled_notification_wakes_somebody(
    database: Database, witness: Witness
) -> None:
    for _ in range(3):
        await deliver(database, "p-1")
    asked = await queued(witness, "payments.settle")
    assert asked == [{"payment_id": "p-1", "via": "notification"}] * 3


async def test_a_delivery_of_a_handled_notification_wakes_nobody(
    buyer: Buyer, witness: Witness
) -> None:
    _, payment_id = await buyer.pays()
    await deliver(buyer.database, payment_id)
    await settle(buyer.database, buyer.provider, buyer.settings, payment_id, now())
    assert (await deliver(buyer.database, payment_id)).is_open is False
    assert await row(witness, payment_id) == (2, "paid")
    assert len(await queued(witness, "payments.settle")) == 1


async def test_both_events_of_one_payment_are_two_notifications(
    database: Database, witness: Witness
) -> None:
    await deliver(database, "p-1", "payment.waiting_for_capture")
    await deliver(database, "p-1", "payment.succeeded")
    assert await witness.fetchval("SELECT count(*) FROM shared.notifications") == 2


@pytest.mark.parametrize("event", ["refund.canceled", "payout.succeeded", "payment_method.active"])
async def test_other_events_are_kept_and_ignored(
    database: Database, witness: Witness, event: str
) -> None:
    assert await deliver(database, "r-1", event) == Received(is_new=True, is_open=False)
    assert await row(witness, "r-1") == (1, "ignored")
    assert await queued(witness, "payments.settle") == []


async def test_a_payment_that_could_not_be_found_is_looked_up_again_when_told_again(
    buyer: Buyer, witness: Witness
) -> None:
    unknown = str(uuid.uuid4())
    await deliver(buyer.database, unknown)
    args = buyer.database, buyer.provider, buyer.settings, unknown, now()
    assert await settle(*args) is Outcome.UNKNOWN
    assert await row(witness, unknown) == (1, "unknown")
    assert (await deliver(buyer.database, unknown)).is_open is True
    assert len(await queued(witness, "payments.settle")) == 2


async def test_news_of_success_is_not_believed_while_the_provider_says_pending(
    buyer: Buyer, witness: Witness
) -> None:
    order = await buyer.orders()
    payment_id = await buyer.starts(order)
    await deliver(buyer.database, payment_id, "payment.waiting_for_capture")
    args = buyer.database, buyer.provider, buyer.settings, payment_id, now()
    assert await settle(*args) is Outcome.WAITING
    await deliver(buyer.database, payment_id, "payment.succeeded")
    with pytest.raises(Busy, match="not final"):
        await settle(*args)
    buyer.kassa.control("pay", {"payment_id": payment_id})
    assert await settle(*args) is Outcome.PAID
    outcomes = await witness.fetch("SELECT outcome FROM shared.notifications ORDER BY id")
    assert [one[0] for one in outcomes] == ["waiting", "paid"]


async def test_rule_9_the_first_raw_notification_is_kept(
    database: Database, witness: Witness
) -> None:
    await deliver(database, "p-1", extra={"нет": [1, None, 2.5, "₽"]})
    await deliver(database, "p-1", extra="later")
    kept = await witness.fetchval("SELECT body::text FROM shared.notifications")
    assert json.loads(kept)["extra"] == {"нет": [1, None, 2.5, "₽"]}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_read_or_refused_with_a_reason(raw: bytes) -> None:
    with pytest.raises(MalformedNotification, match=r"^(body|event|object|object\.id): "):
        read_notification(raw)


@pytest.mark.parametrize(
    ("event", "subject"),
    [
        ("payment.sbp2.done", {"id": "p-1"}),
        ("self-employed.bound", {"id": "a.b:c"}),
        ("ping", None),
        ("deal.closed", {}),
    ],
)
async def test_an_event_that_nobody_knows_is_kept_whatever_its_shape(
    database: Database, witness: Witness, event: str, subject: Any
) -> None:
    said = read_notification(json.dumps({"event": event, "object": subject}).encode())
    async with database.shared() as conn:
        received = await receive(conn, said.event, said.object_id, said.body, "185.71.76.1")
    assert received.is_new
    assert not received.is_open
    assert await witness.fetchval("SELECT event FROM shared.notifications") == event


@given(JSON)
def test_whatever_else_a_notification_holds_is_kept(extra: Any) -> None:
    body = {"event": "payment.succeeded", "object": {"id": "p-1"}, "extra": extra}
    raw = json.dumps(body).encode()
    if "\\u0000" in raw.decode().replace("\\\\", ""):
        with pytest.raises(MalformedNotification):
            read_notification(raw)
    else:
        assert read_notification(raw).body == body
