"""Where an order of credits meets the ledger."""

import json
from collections.abc import Mapping
from datetime import datetime

from zapisano.credits import ledger
from zapisano.credits.model import (
    Account,
    AccountFrozen,
    Item,
    KeyReused,
    Rules,
    TooMuch,
    Verb,
    own_key,
)
from zapisano.db import SharedConnection
from zapisano.db.ledger import is_installed
from zapisano.errors import AppError
from zapisano.payments.model import CreditsOrder, Reason, TopupsOff
from zapisano.settings import Settings

OPERATION = "Top-up"
# Why the ledger may take no credits though they are paid: a person has to look.
REFUSALS: Mapping[type[AppError], Reason] = {
    AccountFrozen: Reason.FROZEN,
    TooMuch: Reason.TOO_MUCH,
    KeyReused: Reason.KEY_REUSED,
}


async def account_of(
    conn: SharedConnection, settings: Settings, email: str, now: datetime
) -> Account:
    """Return the account that credits are bought for; a first visit makes it.

    Raises:
        TopupsOff: there is no ledger.
        AccountFrozen: the operator has to decide about the account.
    """
    if not await is_installed(conn):
        raise TopupsOff
    return await ledger.account(conn, Rules.of(settings), email, now)


async def credit(
    conn: SharedConnection,
    settings: Settings,
    order: CreditsOrder,
    payment_id: str,
    now: datetime,
) -> Reason | None:
    """Add what was paid for, in the caller's transaction; return why not, or None.

    Once per payment, whoever asks: the posting's key is the payment's.
    """
    if not await is_installed(conn):
        return Reason.NO_LEDGER
    item = Item(
        order.email,
        Verb.TOPUP,
        amount=order.credits,
        operation=OPERATION,
        metadata=json.dumps(
            {"order": order.id, "payment": payment_id, "roubles": str(order.amount)}
        ),
        key=own_key("topup", payment_id),
    )
    try:
        await ledger.post(conn, Rules.of(settings), item, now)
    except tuple(REFUSALS) as error:
        return REFUSALS[type(error)]
    return None
