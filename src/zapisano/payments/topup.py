"""Credits for money: an order of credits, its payment, and what became of it.

The money itself comes in by `settle`, as for every order.
"""

from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from zapisano.credits.model import LARGEST, KeyReused, TooMuch
from zapisano.db import Database, SharedConnection
from zapisano.errors import Conflict, Refused
from zapisano.payments import store
from zapisano.payments.account import account_of
from zapisano.payments.auto_model import AutopayOff
from zapisano.payments.checkout import ask_after, credits_order, keep, start_payment
from zapisano.payments.model import (
    MAX_REQUEST_KEY,
    AutoTerms,
    CreditsOrder,
    OrderClosed,
    TopupsOff,
    UnknownOrder,
    read_order_id,
    topup_amount,
)
from zapisano.payments.provider import Provider
from zapisano.settings import Settings
from zapisano.tenancy import LANGUAGES


async def top_up(
    database: Database,
    provider: Provider,
    settings: Settings,
    *,
    email: str,
    amount: Decimal,
    key: str | None,
    language: str = LANGUAGES[0],
    auto: AutoTerms | None = None,
    now: datetime,
) -> CreditsOrder:
    """Order credits for `amount` roubles and have their payment made; return the order.

    While it is open, `pay_at` says where to pay. With a `key` the same request may be sent again:
    it brings the same order and the same payment, in whatever state they are then. With `auto` no
    payment is made yet: its payer agrees, or not, on our page first.

    Raises:
        As `create_topup` and `start_payment`, but never OrderClosed: then the state tells.
    """
    async with database.shared() as conn:
        order = await create_topup(
            conn, settings, email=email, amount=amount, key=key, language=language, auto=auto,
            now=now,
        )  # fmt: skip
    if not order.is_open or order.confirmation_url or order.auto:
        return order
    with suppress(OrderClosed):
        await start_payment(database, provider, order.id, now)
    async with database.shared() as conn:
        return await store.get_credits_order(conn, order.id)


def pay_at(settings: Settings, order: CreditsOrder) -> str | None:
    """Return where a top-up is paid: at YooKassa, or first on our page, where its payer agrees."""
    if not order.is_open:
        return None
    return f"{settings.checkout_base}/checkout/{order.id}" if order.auto else order.confirmation_url


async def create_topup(
    conn: SharedConnection,
    settings: Settings,
    *,
    email: str,
    amount: Decimal,
    key: str | None,
    language: str = LANGUAGES[0],
    auto: AutoTerms | None = None,
    now: datetime,
) -> CreditsOrder:
    """Keep an order of credits for `amount` roubles with its frozen request.

    `email` is in lower case. With a `key` asking again returns the order there is. `auto` is what
    its payer will be asked to agree to, as `auto_terms` makes it.

    Raises:
        Refused: the sum or the key is not acceptable; the detail names the field.
        KeyReused: this address has asked for something else under this key.
        TooMuch: the account could not hold so much.
        AccountFrozen: the operator has to decide about the account.
        TopupsOff: nobody can add credits for money here.
        AutopayOff: nobody can be charged by themselves here.
    """
    roubles, key = topup_amount(amount), _checked_key(key)
    if not await _is_on(conn, settings):
        raise TopupsOff
    if auto is not None and not settings.yookassa_autopay:
        raise AutopayOff
    if key and (before := await store.find_by_request(conn, email, key)):
        return _same(before, roubles, auto)
    account = await account_of(conn, settings, email, now)
    order = credits_order(
        settings, email=email, amount=roubles, language=language, request_key=key, auto=auto,
        now=now,
    )  # fmt: skip
    if account.balance + account.held + order.credits > LARGEST:
        raise TooMuch
    if await keep(conn, order):
        return order
    # Somebody has sent the same request at this very instant.
    if key and (before := await store.find_by_request(conn, email, key)):
        return _same(before, roubles, auto)
    raise Conflict


def _checked_key(key: str | None) -> str | None:
    if key is not None and not (1 <= len(key) <= MAX_REQUEST_KEY and key.isprintable()):
        raise Refused(f"Idempotency-Key: must be 1 to {MAX_REQUEST_KEY} printable characters")
    return key


async def _is_on(conn: SharedConnection, settings: Settings) -> bool:
    has_shop = settings.yookassa_shop_id and settings.yookassa_secret_key.get_secret_value()
    return bool(has_shop) and await store.takes_credits(conn)


def _same(before: CreditsOrder, roubles: Decimal, auto: AutoTerms | None) -> CreditsOrder:
    if (before.amount, before.auto) != (roubles, auto):
        raise KeyReused
    return before


async def topup_status(
    conn: SharedConnection, email: str, order_id: str, now: datetime
) -> CreditsOrder:
    """Return an order of credits of this address, and have its payment looked up if it is open.

    An order whose place was taken, because a canceled one was paid again on our page, is answered
    by the one that took it.

    Raises:
        UnknownOrder: this address has none with this id.
    """
    known = read_order_id(order_id)
    if known is None or not await store.takes_credits(conn):
        raise UnknownOrder
    order = await store.newest(conn, known)
    if not (isinstance(order, CreditsOrder) and order.email == email):
        raise UnknownOrder
    await ask_after(conn, order, via="status", now=now)
    return order
