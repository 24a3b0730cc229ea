"""Promo codes: an order gets a lower price, and holds one of the code's uses.

No counter is kept: the orders with a code are counted, with the code's row locked. So a canceled
order gives its use back by being canceled, and one that is paid late keeps it.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from zapisano import journal
from zapisano.db import SharedConnection
from zapisano.errors import Conflict, Refused
from zapisano.payments import store
from zapisano.payments.model import OrderClosed, OrderId, PlanOrder, UnknownOrder
from zapisano.payments.promo_model import (
    NOTED_FOR,
    RESERVED_FOR,
    NoPromo,
    Promo,
    PromoLapsed,
    PromoOtherPlan,
    PromoUsedOnce,
    PromoUsedUp,
    cleaned_code,
)
from zapisano.payments.request import request_body
from zapisano.payments.store import promo as promos
from zapisano.settings import Settings


async def apply_promo(
    conn: SharedConnection, settings: Settings, order_id: OrderId, text: str, now: datetime
) -> PlanOrder:
    """Give an order the price that a code leaves; the order with the code already stays as it is.

    One person holds one use of a code at a time: other orders of hers, which she has not begun to
    pay, lose it.

    Raises:
        NoPromo, PromoUsedUp, PromoUsedOnce, PromoOtherPlan: the code does not go with the order.
        OrderClosed: its payment is under way, or it is over.
    """
    code = cleaned_code(text)
    promo = await promos.find_promo(conn, code, lock=True) if code else None
    if promo is None:
        raise NoPromo
    found = await store.get(conn, order_id, lock=True)
    if not isinstance(found, PlanOrder) or found.method_id:
        raise NoPromo
    if found.promo_code == promo.code:
        return found
    if promo.is_over(now):
        raise NoPromo
    plan = settings.plans.get(found.plan)
    if plan is None or not promo.is_for(plan.id):
        raise PromoOtherPlan
    await _take_from_others(conn, settings, promo, found, now)
    await _check_uses(conn, promo, found, now)
    return await _reprice(conn, settings, found, promo.code, promo.price(plan.price), now)


async def apply_noted(
    conn: SharedConnection, settings: Settings, order: PlanOrder, now: datetime
) -> PlanOrder:
    """Give a new order the code that its buyer has come with, if the two go together."""
    code = await promos.noted_code(conn, order.buyer_id, now - NOTED_FOR)
    if code is None or order.promo_code or not order.is_open or order.requested_at:
        return order
    try:
        return await apply_promo(conn, settings, order.id, code, now)
    except Conflict:
        return order


async def remove_promo(
    conn: SharedConnection, settings: Settings, order_id: OrderId, now: datetime
) -> PlanOrder:
    """Give an order its usual price of today again; its code is not offered by itself any more.

    Raises:
        OrderClosed: its payment is under way, or it is over.
        Refused: its plan is sold no more, so there is no usual price.
        UnknownOrder: there is no such order of a plan.
    """
    found = await store.get(conn, order_id, lock=True)
    if not isinstance(found, PlanOrder):
        raise UnknownOrder
    if not found.promo_code:
        return found
    if (plan := settings.plans.get(found.plan)) is None:
        raise Refused("plan: is no longer sold")
    new = await _reprice(conn, settings, found, None, plan.price, now)
    await promos.forget_code(conn, found.buyer_id, found.promo_code)
    return new


async def note_promo(conn: SharedConnection, person_id: int, text: str, now: datetime) -> Promo:
    """Remember the code that a person has come with, for her next order.

    Raises:
        NoPromo: there is no such code, or it is over.
        PromoUsedUp, PromoUsedOnce: an order of hers could not have it any more.
    """
    code = cleaned_code(text)
    promo = await promos.find_promo(conn, code) if code else None
    if promo is None or promo.is_over(now):
        raise NoPromo
    await _check_for_person(conn, promo, person_id, now)
    await promos.note_code(conn, person_id, promo.code, now)
    return promo


async def forget_noted(conn: SharedConnection, order: PlanOrder) -> None:
    """The order is paid: the code it holds is not offered to its buyer's next one by itself."""
    if order.promo_code:
        await promos.forget_code(conn, order.buyer_id, order.promo_code)


async def hold_promo(conn: SharedConnection, order_id: OrderId, now: datetime) -> None:
    """Before an order's payment is asked for: see that its use of a code is still its own.

    Called before the order is locked: a code's row is locked first, everywhere.

    Raises:
        PromoLapsed: it was not paid for long, and the code is over, or others have taken what was
            left.
    """
    order = await store.get(conn, order_id)
    if not isinstance(order, PlanOrder) or not order.promo_code or order.requested_at:
        return
    promo = await promos.find_promo(conn, order.promo_code, lock=True)
    if promo is None or order.created_at > now - RESERVED_FOR:
        return
    if promo.is_over(now):
        raise PromoLapsed
    try:
        await _check_uses(conn, promo, order, now)
    except Conflict as error:
        raise PromoLapsed from error


async def lock_promo(conn: SharedConnection, order_id: OrderId) -> None:
    """Lock the code that an order holds, if it does: before the order, as everywhere."""
    order = await store.get(conn, order_id)
    if isinstance(order, PlanOrder) and order.promo_code:
        await promos.find_promo(conn, order.promo_code, lock=True)


async def _take_from_others(
    conn: SharedConnection, settings: Settings, promo: Promo, order: PlanOrder, now: datetime
) -> None:
    for other_id in await promos.unasked_with(conn, promo.code, order.buyer_id):
        other = await store.get_plan_order(conn, other_id)
        plan = settings.plans.get(other.plan)
        if other.id != order.id and plan is not None:
            await _reprice(conn, settings, other, None, plan.price, now)


async def _check_uses(
    conn: SharedConnection, promo: Promo, order: PlanOrder, now: datetime
) -> None:
    since = now - RESERVED_FOR
    if promo.uses is not None:
        taken = await promos.count_uses(conn, promo.code, unasked_since=since, besides=order.id)
        if taken >= promo.uses:
            raise PromoUsedUp
    if promo.once_per_person and await promos.count_uses(
        conn, promo.code, unasked_since=since, besides=order.id, buyer_id=order.buyer_id
    ):
        raise PromoUsedOnce


async def _check_for_person(
    conn: SharedConnection, promo: Promo, person_id: int, now: datetime
) -> None:
    """See that a use is left for a person. What she holds and has not begun to pay moves along."""
    since = now - RESERVED_FOR
    begun = await promos.count_uses(conn, promo.code, unasked_since=now, buyer_id=person_id)
    if promo.once_per_person and begun:
        raise PromoUsedOnce
    if promo.uses is None:
        return
    taken = await promos.count_uses(conn, promo.code, unasked_since=since)
    held = await promos.count_uses(conn, promo.code, unasked_since=since, buyer_id=person_id)
    if taken - (held - begun) >= promo.uses:
        raise PromoUsedUp


async def _reprice(
    conn: SharedConnection,
    settings: Settings,
    order: PlanOrder,
    code: str | None,
    amount: Decimal,
    now: datetime,
) -> PlanOrder:
    """Write a new price into the order and its request, which nobody has sent yet."""
    created_at = order.created_at if code is None else now
    new = replace(order, promo_code=code, amount=amount, created_at=created_at)
    new = replace(new, request_body=request_body(settings, new))
    done = await promos.reprice(
        conn, new.id, code=code, amount=new.amount, body=new.request_body, now=now
    )
    if not done:
        raise OrderClosed
    await journal.record(
        conn,
        "order.repriced",
        order.id,
        tenant=order.tenant_id,
        order_id=order.id,
        by="buyer",
        promo=code,
        before=str(order.amount),
        after=str(new.amount),
    )
    return new
