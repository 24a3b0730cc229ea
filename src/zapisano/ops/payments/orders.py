"""`zapisano payments show|find|settle`: an order and all that is known of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from zapisano.clock import utc_now
from zapisano.db import Database, SharedConnection
from zapisano.errors import NotFound, Refused
from zapisano.ops import screen
from zapisano.ops.opening import opened
from zapisano.ops.payments import rows
from zapisano.payments import (
    AnyOrder,
    Outcome,
    ProviderUnavailable,
    UnknownPayment,
    YooKassa,
    desk,
    store,
)
from zapisano.payments import settle as settle_payment
from zapisano.payments.model import (
    MAX_TELEGRAM_ID,
    PlanOrder,
    ProviderName,
    read_order_id,
)
from zapisano.settings import Settings

LONGEST_WORD = 255
MOST_LINES = 200
PAYMENT_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
PHONE = re.compile(r"\+?[0-9() -]{10,25}")
FOUND = ("order", "status", "amount", "what", "whose", "card", "payment", "created (UTC)", "paid")
SAID: Mapping[Outcome, str] = {
    Outcome.PAID: "is paid, and what was bought is granted",
    Outcome.CANCELED: "was canceled; nothing is granted",
    Outcome.WAITING: "is not final yet; nothing is granted",
    Outcome.REVIEW: "does not prove what it should; nothing is granted: zapisano payments review",
    Outcome.UNKNOWN: "is unknown to YooKassa; nothing is granted",
    Outcome.IGNORED: "was canceled, and pays no order of ours",
}


async def find(settings: Settings, wanted: str, count: int, *, as_json: bool) -> None:
    """Find orders by what a buyer can tell.

    Raises:
        Refused: it is too long to be anything.
        NotFound: there is none.
    """
    wanted = wanted.strip()
    if not 0 < len(wanted) <= LONGEST_WORD:
        raise Refused("payments find: give a phone, an id, an e-mail or a card's last four")
    number = int(wanted) if re.fullmatch(r"[0-9]{1,16}", wanted, re.ASCII) else None
    async with opened(settings) as database, database.shared() as conn:
        found = await store.search(
            conn,
            wanted.encode(errors="ignore").decode().replace("\0", ""),
            digits=phone_digits(wanted),
            telegram_id=number if number is not None and number < MAX_TELEGRAM_ID else None,
            limit=count,
        )
    if as_json:
        rows.tell(found)
        return
    if not found:
        raise NotFound("No order is found by that.")
    table = [
        (
            o.order_id,
            o.status,
            o.amount,
            o.what,
            o.holder,
            o.last4,
            o.payment_id,
            o.created_at,
            o.paid_at,
        )
        for o in found
    ]
    rows.table("", FOUND, table)


def phone_digits(text: str) -> str:
    """Return the digits of a telephone number, '' where it is none; a Russian one without its 7."""
    if not PHONE.fullmatch(text):
        return ""
    digits = re.sub(r"[^0-9]", "", text)
    return digits[1:] if len(digits) == 11 and digits[0] in "78" else digits


async def show(settings: Settings, about: str, *, as_json: bool) -> None:
    """Show an order and its payment: ours, YooKassa's, and what has happened.

    Raises:
        NotFound: neither an order nor a notification nor a review speaks of it.
    """
    async with opened(settings) as database:
        async with database.shared() as conn:
            order = await _order_of(conn, about)
            subjects = [about, *((order.id, order.payment_id or about) if order else ())]
            told = {
                "notifications": await desk.notices_about(conn, subjects),
                "reviews": await store.list_reviews(conn, subjects=subjects, limit=MOST_LINES),
                "journal": await store.lines(conn, subjects, limit=MOST_LINES),
            }
        if order is None and not any(told.values()):
            raise NotFound(f"Neither an order nor a payment is known as {about[:64]}.")
        payment_id = order.payment_id if order else about
        in_stars = order is not None and order.provider is ProviderName.STARS
        asks = payment_id if payment_id and not in_stars else None
        at_provider = await _at_provider(settings, asks) if asks else None
    if as_json:
        rows.tell({"order": _said(order), "yookassa": at_provider, **told})
        return
    if order:
        rows.pairs("order", _said(order) or {})
    if at_provider:
        rows.pairs("at YooKassa", at_provider)
    _show_told(told)


def _show_told(told: Mapping[str, Sequence[object]]) -> None:
    columns = {
        "notifications": ("id", "event", "state", "outcome", "received_at", "deliveries", "error"),
        "reviews": ("id", "reason", "created_at", "closed_at", "note"),
        "journal": ("at", "kind", "tenant", "data"),
    }
    for name, shown in columns.items():
        values = [[getattr(one, column) for column in shown] for one in told[name]]
        rows.table(name, [column.replace("_", " ") for column in shown], values)


async def _order_of(conn: SharedConnection, about: str) -> AnyOrder | None:
    order_id = await store.find_by_payment(conn, about) or read_order_id(about.lower())
    return await store.find(conn, order_id) if order_id else None


def _said(order: AnyOrder | None) -> dict[str, object] | None:
    """Say of an order what a person asks; the frozen request stays where it is."""
    if order is None:
        return None
    hidden = {"request_body", "idempotence_key", "request_key", "charge_key", "confirmation_url"}
    kind = "plan" if isinstance(order, PlanOrder) else "credits"
    return {"sold": kind, **{k: v for k, v in asdict(order).items() if k not in hidden}}


async def _at_provider(settings: Settings, payment_id: str) -> dict[str, object] | None:
    """Ask YooKassa what it says now; a person is told where that cannot be had."""
    if not settings.yookassa_shop_id:
        return None
    provider = YooKassa(settings)
    try:
        payment = await provider.get_payment(payment_id)
    except UnknownPayment:
        return {"status": "unknown there"}
    except ProviderUnavailable as error:
        screen.note(f"YooKassa could not be asked: {error.detail}")
        return None
    finally:
        await provider.close()
    shown = ("id", "status", "paid", "amount", "currency", "test", "refunded", "cancel_reason")
    return {name: getattr(payment, name) for name in shown}


async def settle(settings: Settings, about: str) -> None:
    """Do what a payment's state asks for, as its notification would.

    Raises:
        Refused: it is no id of a payment.
        UnknownPayment: YooKassa does not know it; a slip of the pen is not put before a person.
        ProviderUnavailable, Busy: not now.
    """
    settings.require("yookassa_shop_id", "yookassa_secret_key")
    async with opened(settings) as database:
        async with database.shared() as conn:
            payment_id = await _payment_of(conn, about.strip())
        outcome = await _settle(database, settings, payment_id)
    screen.say(f"{payment_id} {SAID[outcome]}.")


async def _payment_of(conn: SharedConnection, about: str) -> str:
    """Return the id of the payment that is meant: by itself, or by its order's."""
    order = await _order_of(conn, about) if PAYMENT_ID.fullmatch(about) else None
    payment_id = order.payment_id if order else about
    if payment_id is None or not PAYMENT_ID.fullmatch(payment_id):
        raise Refused("PAYMENT: give a payment's id, or that of an order whose payment was made")
    if await store.provider_of_payment(conn, payment_id) is ProviderName.STARS:
        raise Refused("PAYMENT: is in Telegram Stars, which the worker asks after by itself")
    return payment_id


async def _settle(database: Database, settings: Settings, payment_id: str) -> Outcome:
    provider = YooKassa(settings)
    try:
        await provider.get_payment(payment_id)
        return await settle_payment(
            database, provider, settings, payment_id, utc_now(), via="operator"
        )
    finally:
        await provider.close()
