"""Money going back: what a refund needs in the shop of `payments_fixtures`."""

import uuid
from decimal import Decimal
from typing import Any

from integration.payments_fixtures import Buyer, Witness, now
from integration.topup_fixtures import Payer
from integration.yookassa_fixtures import Simulator
from zapisano.payments import (
    Outcome,
    RefundOutcome,
    RefundRow,
    ask_refund,
    settle,
    settle_refund,
    start_refund,
)

Shop = Buyer | Payer


async def settles(shop: Shop, payment_id: str, at: Any = None) -> Outcome:
    return await settle(shop.database, shop.provider, shop.settings, payment_id, at or now())


async def refund_settles(shop: Shop, refund_id: str | None, at: Any = None) -> RefundOutcome:
    assert refund_id is not None
    return await settle_refund(shop.database, shop.provider, shop.settings, refund_id, at or now())


async def asks(shop: Shop, order_id: str, amount: str | None = None, at: Any = None) -> RefundRow:
    """The operator asks for a refund; nobody has called the provider yet."""
    sum_ = Decimal(amount) if amount else None
    async with shop.database.shared() as conn:
        return await ask_refund(conn, order_id, amount=sum_, reason=None, now=at or now())


async def refunds(shop: Shop, order_id: str, amount: str | None = None, at: Any = None) -> str:
    """Ask, and have the provider give the money back; return the provider's id."""
    row = await asks(shop, order_id, amount, at)
    done = await start_refund(shop.database, shop.provider, row.id, at or now())
    assert done.refund_id is not None
    return done.refund_id


def in_cabinet(kassa: Simulator, payment_id: str, amount: str) -> str:
    """Give money back in the provider's cabinet; return the refund's id."""
    body = {"payment_id": payment_id, "amount": {"value": amount, "currency": "RUB"}}
    refund_id: str = kassa.post("/refunds", body, str(uuid.uuid4())).json()["id"]
    return refund_id


async def rows(witness: Witness) -> list[tuple[Any, ...]]:
    """Every refund that we keep, the oldest first."""
    found = await witness.fetch(
        """SELECT source, status, amount, days_taken, credits_taken FROM shared.refunds
           ORDER BY created_at, id"""
    )
    return [tuple(row) for row in found]


async def refunded(witness: Witness, order_id: str) -> Decimal:
    found: Decimal = await witness.fetchval(
        "SELECT refunded FROM shared.orders WHERE id = $1", order_id
    )
    return found
