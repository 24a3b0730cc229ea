"""Orders, notifications and reviews in the shared schema."""

from datetime import datetime
from typing import Any

from zapisano.db import Row, SharedConnection
from zapisano.payments.model import (
    AnyOrder,
    CreditsOrder,
    Figures,
    OrderId,
    PlanOrder,
    Reason,
    Received,
    Source,
    Status,
    UnknownOrder,
)
from zapisano.tenancy import TenantId


def _order(row: Row) -> AnyOrder:
    retry_of = row["retry_of"]
    same: dict[str, Any] = {
        "id": OrderId(str(row["id"])),
        "buyer_language": row["buyer_language"],
        "amount": row["amount"],
        "source": Source(row["source"]),
        "status": Status(row["status"]),
        "idempotence_key": row["idempotence_key"],
        "request_body": row["request_body"],
        "requested_at": row["requested_at"],
        "payment_id": row["payment_id"],
        "confirmation_url": row["confirmation_url"],
        "polls": row["polls"],
        "retry_of": OrderId(str(retry_of)) if retry_of else None,
        "cancel_reason": row["cancel_reason"],
        "created_at": row["created_at"],
        "paid_at": row["paid_at"],
    }
    if row["email"] is not None:
        return CreditsOrder(
            email=row["email"], credits=row["credits"], request_key=row["request_key"], **same
        )
    return PlanOrder(
        buyer_id=row["buyer_id"],
        company_name=row["company_name"],
        plan=row["plan"],
        days=row["days"],
        tenant_id=TenantId(row["tenant_id"]) if row["tenant_id"] else None,
        **same,
    )


def _bought(order: AnyOrder) -> tuple[object, ...]:
    """What is sold, in the order of the columns of `insert`."""
    match order:
        case PlanOrder():
            plan = (order.buyer_id, order.company_name, order.plan, order.days, order.tenant_id)
            return (*plan, None, None, None)
        case CreditsOrder():
            return (*(None,) * 5, order.email, order.credits, order.request_key)


async def insert(conn: SharedConnection, order: AnyOrder) -> bool:
    """Keep a new order; return False if its payment, its retry or its request is kept already."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.orders (
                   id, buyer_language, amount, source, status, idempotence_key, request_body,
                   payment_id, retry_of, created_at,
                   buyer_id, company_name, plan, days, tenant_id, email, credits, request_key)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                   $17, $18)
               ON CONFLICT DO NOTHING""",
            order.id,
            order.buyer_language,
            order.amount,
            order.source,
            order.status,
            order.idempotence_key,
            order.request_body,
            order.payment_id,
            order.retry_of,
            order.created_at,
            *_bought(order),
        )
    )


async def find(conn: SharedConnection, order_id: str) -> AnyOrder | None:
    """Return an order, or None."""
    row = await conn.fetchrow(
        """SELECT id, buyer_id, buyer_language, company_name, plan, days, amount, tenant_id,
               email, credits, request_key, source, status, idempotence_key, request_body,
               requested_at, payment_id, confirmation_url, polls, retry_of, cancel_reason,
               created_at, paid_at
           FROM shared.orders WHERE id = $1""",
        order_id,
    )
    return _order(row) if row else None


async def get(conn: SharedConnection, order_id: str, *, lock: bool = False) -> AnyOrder:
    """Return an order; with `lock` nobody else changes it until this transaction ends.

    Raises:
        UnknownOrder: there is none with this id.
    """
    if lock:
        await conn.execute("SELECT 1 FROM shared.orders WHERE id = $1 FOR UPDATE", order_id)
    found = await find(conn, order_id)
    if found is None:
        raise UnknownOrder
    return found


async def get_plan_order(conn: SharedConnection, order_id: str) -> PlanOrder:
    """Return an order that has a buyer in Telegram.

    Raises:
        UnknownOrder: there is none with this id.
    """
    order = await get(conn, order_id)
    if not isinstance(order, PlanOrder):
        raise UnknownOrder
    return order


async def get_credits_order(conn: SharedConnection, order_id: str) -> CreditsOrder:
    """Return an order of credits.

    Raises:
        UnknownOrder: there is none with this id.
    """
    order = await get(conn, order_id)
    if not isinstance(order, CreditsOrder):
        raise UnknownOrder
    return order


async def find_by_request(
    conn: SharedConnection, email: str, request_key: str
) -> CreditsOrder | None:
    """Return the order that this address has asked for under this key."""
    found = await conn.fetchval(
        "SELECT id FROM shared.orders WHERE email = $1 AND request_key = $2", email, request_key
    )
    return await get_credits_order(conn, str(found)) if found else None


async def newest(conn: SharedConnection, order_id: OrderId) -> AnyOrder:
    """Return the order, or the one that took its place, and the one that took that one's.

    Raises:
        UnknownOrder: there is none with this id.
    """
    while (order := await get(conn, order_id)).status is Status.CANCELED:
        successor = await find_retry(conn, order_id)
        if successor is None:
            break
        order_id = successor
    return order


async def takes_credits(conn: SharedConnection) -> bool:
    """Say whether orders of credits can be kept: credits may stand alone, without this schema."""
    return bool(
        await conn.fetchval(
            """SELECT EXISTS (SELECT FROM pg_attribute
               WHERE attrelid = to_regclass('shared.orders') AND attname = 'request_key')"""
        )
    )


async def lock_buyer(conn: SharedConnection, buyer_id: int) -> None:
    """Keep others from looking for this buyer's tenant until this transaction ends."""
    await conn.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended('payments.buyer', $1))", buyer_id
    )


async def find_by_payment(conn: SharedConnection, payment_id: str) -> OrderId | None:
    """Return the id of the order that holds this payment's id."""
    found = await conn.fetchval("SELECT id FROM shared.orders WHERE payment_id = $1", payment_id)
    return OrderId(str(found)) if found else None


async def find_retry(conn: SharedConnection, order_id: OrderId) -> OrderId | None:
    """Return the id of the order that took this canceled one's place."""
    found = await conn.fetchval("SELECT id FROM shared.orders WHERE retry_of = $1", order_id)
    return OrderId(str(found)) if found else None


async def mark_requested(conn: SharedConnection, order_id: OrderId, now: datetime) -> None:
    """Remember when the provider was first asked under this key, and count the request."""
    await conn.execute(
        """UPDATE shared.orders
           SET requested_at = coalesce(requested_at, $2), unanswered = unanswered + 1
           WHERE id = $1""",
        order_id,
        now,
    )


async def set_payment(
    conn: SharedConnection, order_id: OrderId, payment_id: str, confirmation_url: str | None
) -> bool:
    """Store the payment's id once; return False if the order holds one already."""
    return bool(
        await conn.execute(
            """UPDATE shared.orders SET payment_id = $2, confirmation_url = $3,
                   status = CASE status WHEN 'created' THEN 'pending' ELSE status END
               WHERE id = $1 AND payment_id IS NULL""",
            order_id,
            payment_id,
            confirmation_url,
        )
    )


async def count_refusal(conn: SharedConnection, order_id: OrderId, *, used: str) -> int | None:
    """Count a certain failure under `used`; return how many requests may still have succeeded.

    None if the key is not the order's any more, or has made its payment.
    """
    left: int | None = await conn.fetchval(
        """UPDATE shared.orders SET unanswered = unanswered - 1
           WHERE id = $1 AND idempotence_key = $2 AND payment_id IS NULL RETURNING unanswered""",
        order_id,
        used,
    )
    return left


async def renew_key(conn: SharedConnection, order_id: OrderId, *, used: str, new: str) -> bool:
    """Take a new key after a certain failure under `used`; False if somebody already did."""
    return bool(
        await conn.execute(
            """UPDATE shared.orders
               SET idempotence_key = $3, requested_at = NULL, unanswered = 0, polls = 0
               WHERE id = $1 AND idempotence_key = $2 AND payment_id IS NULL""",
            order_id,
            used,
            new,
        )
    )


async def count_poll(conn: SharedConnection, order_id: OrderId) -> int:
    """Count a poll; return how many there were."""
    return int(
        await conn.fetchval(
            "UPDATE shared.orders SET polls = polls + 1 WHERE id = $1 RETURNING polls", order_id
        )
    )


async def mark_paid(
    conn: SharedConnection, order_id: OrderId, *, tenant: TenantId | None, via: str, now: datetime
) -> None:
    """Write that the order is paid, for which tenant (of credits: none), and who brought it."""
    await conn.execute(
        """UPDATE shared.orders
           SET status = 'paid', paid_at = $3, tenant_id = $2, settled_via = $4
           WHERE id = $1 AND status <> 'paid'""",
        order_id,
        tenant,
        now,
        via,
    )


async def mark_canceled(conn: SharedConnection, order_id: OrderId, reason: str, via: str) -> None:
    """Write that the provider has canceled the payment."""
    await conn.execute(
        """UPDATE shared.orders SET status = 'canceled', cancel_reason = $2, settled_via = $3
           WHERE id = $1 AND status NOT IN ('paid', 'canceled')""",
        order_id,
        reason,
        via,
    )


async def mark_review(conn: SharedConnection, order_id: OrderId) -> None:
    """Write that a person has to look at the order."""
    await conn.execute(
        """UPDATE shared.orders SET status = 'review'
           WHERE id = $1 AND status IN ('created', 'pending')""",
        order_id,
    )


async def add_review(
    conn: SharedConnection, reason: Reason, *, payment_id: str | None, order_id: OrderId | None
) -> bool:
    """Put a payment or an order before a person; return False if it is there already."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.reviews (payment_id, order_id, reason) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING""",
            payment_id,
            order_id,
            reason,
        )
    )


async def is_reviewed(conn: SharedConnection, order_id: OrderId, reason: Reason) -> bool:
    """Say whether an order is before a person for this reason."""
    return bool(
        await conn.fetchval(
            """SELECT EXISTS (SELECT 1 FROM shared.reviews
               WHERE order_id = $1 AND reason = $2 AND closed_at IS NULL)""",
            order_id,
            reason,
        )
    )


async def close_reviews(conn: SharedConnection, payment_id: str, now: datetime) -> None:
    """Close what was open about a payment that has turned out well."""
    await conn.execute(
        "UPDATE shared.reviews SET closed_at = $2 WHERE payment_id = $1 AND closed_at IS NULL",
        payment_id,
        now,
    )


async def keep_notification(
    conn: SharedConnection, event: str, object_id: str, body: object, sender: str, *, open_: bool
) -> Received:
    """Keep a notification once and count its deliveries.

    One that was handled as unknown opens again: it may have come before its payment could be read.
    """
    row = await conn.fetchrow(
        """INSERT INTO shared.notifications (event, object_id, body, sender, handled_at, outcome)
           VALUES ($1, $2, $3, $4, CASE WHEN $5 THEN NULL ELSE now() END,
               CASE WHEN $5 THEN NULL ELSE 'ignored' END)
           ON CONFLICT (event, object_id) DO UPDATE SET
               deliveries = notifications.deliveries + 1,
               handled_at = CASE WHEN notifications.outcome <> 'unknown'
                   THEN notifications.handled_at END,
               outcome = nullif(notifications.outcome, 'unknown')
           RETURNING deliveries, handled_at""",
        event,
        object_id,
        body,
        sender,
        open_,
    )
    assert row is not None  # noqa: S101 # RETURNING after an INSERT that always touches a row
    return Received(is_new=row["deliveries"] == 1, is_open=row["handled_at"] is None)


async def close_notifications(
    conn: SharedConnection, payment_id: str, outcome: str, now: datetime
) -> int:
    """Mark everything we were told about a payment as handled; return how many rows."""
    return await conn.execute(
        """UPDATE shared.notifications SET handled_at = $3, outcome = $2
           WHERE object_id = $1 AND event LIKE 'payment.%' AND handled_at IS NULL""",
        payment_id,
        outcome,
        now,
    )


async def close_capture_notices(conn: SharedConnection, payment_id: str, now: datetime) -> None:
    """Mark as handled what speaks of a payment on its way."""
    await conn.execute(
        """UPDATE shared.notifications SET handled_at = $2, outcome = 'waiting'
           WHERE object_id = $1 AND event = 'payment.waiting_for_capture'
               AND handled_at IS NULL""",
        payment_id,
        now,
    )


async def has_open_notifications(conn: SharedConnection, payment_id: str) -> bool:
    """Say whether something we were told about a payment is not handled yet."""
    return bool(
        await conn.fetchval(
            """SELECT 1 FROM shared.notifications
               WHERE object_id = $1 AND event LIKE 'payment.%' AND handled_at IS NULL LIMIT 1""",
            payment_id,
        )
    )


async def last_notification_at(conn: SharedConnection) -> datetime | None:
    """Return when the newest notification was received."""
    at: datetime | None = await conn.fetchval("SELECT max(received_at) FROM shared.notifications")
    return at


async def figures(conn: SharedConnection) -> Figures:
    """Count for the metrics."""
    orders = await conn.fetch(
        "SELECT status, count(id) AS orders FROM shared.orders GROUP BY status"
    )
    settled = await conn.fetch(
        """SELECT status, settled_via, count(id) AS orders FROM shared.orders
           WHERE settled_via IS NOT NULL GROUP BY status, settled_via"""
    )
    reviews = await conn.fetch(
        """SELECT reason, count(id) AS reviews FROM shared.reviews
           WHERE closed_at IS NULL GROUP BY reason"""
    )
    ages = await conn.fetchrow(
        """SELECT
            (SELECT coalesce(extract(epoch FROM now() - min(received_at)), 0)::float8
             FROM shared.notifications WHERE handled_at IS NULL) AS unhandled,
            (SELECT coalesce(extract(epoch FROM now() - min(o.paid_at)), 0)::float8
             FROM shared.orders AS o JOIN shared.tenants AS t ON t.id = o.tenant_id
             WHERE t.state = 'provisioning' AND o.status = 'paid') AS unprovisioned"""
    )
    assert ages is not None  # noqa: S101 # a SELECT without FROM has one row
    return Figures(
        orders={row["status"]: row["orders"] for row in orders},
        settled={(row["status"], row["settled_via"]): row["orders"] for row in settled},
        open_reviews={row["reason"]: row["reviews"] for row in reviews},
        oldest_unhandled_seconds=ages["unhandled"],
        oldest_unprovisioned_seconds=ages["unprovisioned"],
    )
