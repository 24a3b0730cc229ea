"""Orders of plans and of credits, in one table: money has one way in."""

from datetime import datetime
from typing import Any

from zapisano.db import Row, SharedConnection
from zapisano.payments.model import (
    AnyOrder,
    AutoTerms,
    CreditsOrder,
    OrderId,
    PlanOrder,
    ProviderName,
    Source,
    Status,
    UnknownOrder,
)
from zapisano.tenancy import TenantId


def _order(row: Row) -> AnyOrder:
    retry_of, instead_of = row["retry_of"], row["instead_of"]
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
        "saves_method": row["saves_method"],
        "receipt_contact": row["receipt_contact"],
        "method_id": row["method_id"],
        "charge_key": row["charge_key"],
        "card_last4": row["card_last4"],
        "refunded": row["refunded"],
        "provider": ProviderName(row["provider"]),
        "currency": row["currency"],
        "instead_of": OrderId(str(instead_of)) if instead_of else None,
    }
    if row["email"] is not None:
        return CreditsOrder(
            email=row["email"],
            credits=row["credits"],
            request_key=row["request_key"],
            auto=_auto(row),
            **same,
        )
    return PlanOrder(
        buyer_id=row["buyer_id"],
        company_name=row["company_name"],
        plan=row["plan"],
        days=row["days"],
        tenant_id=TenantId(row["tenant_id"]) if row["tenant_id"] else None,
        promo_code=row["promo_code"],
        is_switch=row["is_switch"],
        **same,
    )


def _auto(row: Row) -> AutoTerms | None:
    if row["auto_below"] is None:
        return None
    return AutoTerms(row["auto_below"], row["auto_amount"], row["auto_per_day"])


def _bought(order: AnyOrder) -> tuple[object, ...]:
    """What is sold, in the order of the columns of `insert`."""
    match order:
        case PlanOrder():
            plan = (order.buyer_id, order.company_name, order.plan, order.days, order.tenant_id)
            return (*plan, order.promo_code, order.is_switch, *(None,) * 6)
        case CreditsOrder(email=email, credits=credits, request_key=key, auto=auto):
            terms = (auto.below, auto.amount, auto.per_day) if auto else (None,) * 3
            return (*(None,) * 6, False, email, credits, key, *terms)


async def insert(conn: SharedConnection, order: AnyOrder) -> bool:
    """Keep a new order; return False if its payment, its retry or its request is kept already."""
    return bool(
        await conn.execute(
            """INSERT INTO shared.orders (
                   id, buyer_language, amount, source, status, idempotence_key, request_body,
                   payment_id, retry_of, created_at, saves_method, receipt_contact, method_id,
                   charge_key, buyer_id, company_name, plan, days, tenant_id, promo_code, is_switch,
                   email, credits, request_key, auto_below, auto_amount, auto_per_day, provider,
                   currency, instead_of)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
                   $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30)
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
            order.saves_method,
            order.receipt_contact,
            order.method_id,
            order.charge_key,
            *_bought(order),
            order.provider,
            order.currency,
            order.instead_of,
        )
    )


async def find(conn: SharedConnection, order_id: str) -> AnyOrder | None:
    """Return an order, or None."""
    row = await conn.fetchrow(
        """SELECT id, buyer_id, buyer_language, company_name, plan, days, amount, tenant_id,
               email, credits, request_key, source, status, idempotence_key, request_body,
               requested_at, payment_id, confirmation_url, polls, retry_of, cancel_reason,
               created_at, paid_at, saves_method, receipt_contact, method_id, charge_key,
               promo_code, is_switch, card_last4, refunded, provider, currency, instead_of,
               auto_below, auto_amount, auto_per_day
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


async def set_choice(conn: SharedConnection, order: AnyOrder) -> None:
    """Write what the payer has chosen, and the request that says so."""
    await conn.execute(
        """UPDATE shared.orders SET saves_method = $2, receipt_contact = $3, request_body = $4
           WHERE id = $1""",
        order.id,
        order.saves_method,
        order.receipt_contact,
        order.request_body,
    )


async def find_by_charge(conn: SharedConnection, charge_key: str) -> PlanOrder | None:
    """Return the order that is this attempt to charge, or None."""
    found = await conn.fetchval("SELECT id FROM shared.orders WHERE charge_key = $1", charge_key)
    return await get_plan_order(conn, str(found)) if found else None


async def in_the_way(
    conn: SharedConnection, tenant: TenantId, period: str
) -> list[tuple[OrderId, Status, bool]]:
    """Return the orders because of which a tenant is not charged now: id, status, is a charge.

    Those are its charges for the same period (their keys begin with `period`) that were not
    canceled, and what a person is about to pay for it.
    """
    rows = await conn.fetch(
        """SELECT id, status, charge_key IS NOT NULL AS is_charge FROM shared.orders
           WHERE tenant_id = $1
             AND (starts_with(charge_key, $2) AND status <> 'canceled'
                  OR charge_key IS NULL AND status IN ('created', 'pending')
                     AND requested_at IS NOT NULL)
           ORDER BY created_at""",
        tenant,
        period,
    )
    return [(OrderId(str(row["id"])), Status(row["status"]), row["is_charge"]) for row in rows]


async def drop_charge(conn: SharedConnection, order_id: OrderId, reason: str) -> bool:
    """Cancel a charge that nobody can have asked the provider for; False if that is not so.

    One that somebody holds, to ask or to settle, is not waited for: the caller holds its tenant.
    """
    return bool(
        await conn.execute(
            """UPDATE shared.orders
               SET status = 'canceled', cancel_reason = $2, method_id = NULL,
                   request_body = (request_body::jsonb - 'payment_method_id')::text
               WHERE id = (
                   SELECT id FROM shared.orders
                   WHERE id = $1 AND charge_key IS NOT NULL AND status = 'created'
                     AND requested_at IS NULL AND payment_id IS NULL
                   FOR UPDATE SKIP LOCKED)""",
            order_id,
            reason,
        )
    )


async def last_asked(conn: SharedConnection, tenant: TenantId, period: str) -> datetime | None:
    """Return when the provider was last asked to charge for a period; its keys begin with it."""
    last: datetime | None = await conn.fetchval(
        """SELECT max(requested_at) FROM shared.orders
           WHERE tenant_id = $1 AND starts_with(charge_key, $2)""",
        tenant,
        period,
    )
    return last


async def forget_charged(conn: SharedConnection, order_id: OrderId) -> None:
    """Forget by what a charge was charged, once it is over: the id could charge again."""
    await conn.execute(
        """UPDATE shared.orders
           SET method_id = NULL, request_body = (request_body::jsonb - 'payment_method_id')::text
           WHERE id = $1 AND charge_key IS NOT NULL AND status IN ('paid', 'canceled')""",
        order_id,
    )


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
    conn: SharedConnection,
    order_id: OrderId,
    *,
    tenant: TenantId | None,
    via: str,
    last4: str | None,
    now: datetime,
) -> None:
    """Write that the order is paid, for which tenant (of credits: none), and who brought it.

    `last4` are the last digits of the card, which a buyer can tell us.
    """
    await conn.execute(
        """UPDATE shared.orders
           SET status = 'paid', paid_at = $3, tenant_id = $2, settled_via = $4, card_last4 = $5
           WHERE id = $1 AND status <> 'paid'""",
        order_id,
        tenant,
        now,
        via,
        last4,
    )


async def mark_canceled(
    conn: SharedConnection, order_id: OrderId, reason: str, *, via: str, last4: str | None
) -> None:
    """Write that the provider has canceled the payment, and by which card it was tried."""
    await conn.execute(
        """UPDATE shared.orders
           SET status = 'canceled', cancel_reason = $2, settled_via = $3, card_last4 = $4
           WHERE id = $1 AND status NOT IN ('paid', 'canceled')""",
        order_id,
        reason,
        via,
        last4,
    )


async def mark_review(conn: SharedConnection, order_id: OrderId) -> None:
    """Write that a person has to look at the order."""
    await conn.execute(
        """UPDATE shared.orders SET status = 'review'
           WHERE id = $1 AND status IN ('created', 'pending')""",
        order_id,
    )
