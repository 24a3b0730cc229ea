"""Holds: the worst case is put aside before the work, and settled to what it has really cost."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from zapisano.credits.ledger import Ledger
from zapisano.credits.model import (
    Hold,
    HoldState,
    Item,
    Posted,
    UnknownHold,
    Verb,
)
from zapisano.credits.store import holds as store
from zapisano.db import Database

LONGEST = timedelta(hours=24)
DEFAULT = timedelta(hours=1)


async def hold(
    ledger: Ledger,
    database: Database,
    *,
    email: str,
    amount: Decimal,
    operation: str,
    metadata: str | None,
    key: str | None,
    asked: str,
    expires_at: datetime,
    now: datetime,
) -> tuple[Posted, Hold]:
    """Put `amount` aside until `expires_at`, when what is not settled goes back by itself.

    Raises:
        As `Ledger.post`.
    """
    item = Item(
        email=email,
        verb=Verb.HOLD,
        amount=amount,
        operation=operation,
        metadata=metadata,
        key=key,
        hold=uuid.uuid4(),
        expires_at=expires_at,
        asked=asked,
    )
    posted = await ledger.post(item)
    if posted.is_replay:
        assert posted.hold is not None  # noqa: S101 # a posting of this verb has one
        return posted, await get(database, posted.hold, now)
    assert item.hold is not None  # noqa: S101 # drawn above
    # Told from what was sent: to read it again could fail, and the hold is there.
    made = Hold(
        id=item.hold,
        email=email,
        amount=amount,
        state=HoldState.OPEN,
        shortfall=Decimal(0),
        expires_at=expires_at,
        operation=operation,
        metadata=metadata,
    )
    return posted, made


async def get(database: Database, hold_id: UUID, now: datetime) -> Hold:
    """Return a hold as it stands at `now`: one whose time is over has expired, swept or not.

    Raises:
        UnknownHold: there is none with this id.
    """
    async with database.statements() as conn:
        found = await store.find(conn, hold_id)
    if found is None:
        raise UnknownHold
    is_over = found.state is HoldState.OPEN and found.expires_at <= now
    return replace(found, state=HoldState.EXPIRED) if is_over else found


async def settle(
    ledger: Ledger,
    database: Database,
    found: Hold,
    *,
    amount: Decimal | None,
    cost: Decimal | None,
    operation: str | None,
    metadata: str | None,
    partial: bool,
    key: str | None,
    asked: str,
    now: datetime,
) -> tuple[Posted, Decimal]:
    """End a hold and charge what the work has cost, be it less or more than was held.

    More than the account can bear is refused, or, with `partial`, charged down to the floor; what
    is missing is kept with the hold, and returned beside the charge.

    Raises:
        As `Ledger.post`; the hold stays open.
    """
    posted = await ledger.post(
        Item(
            email=found.email,
            verb=Verb.SETTLE,
            amount=amount,
            cost=cost,
            operation=operation or found.operation,
            metadata=metadata or found.metadata,
            key=key,
            hold=found.id,
            partial=partial,
            asked=asked,
        )
    )
    # Only such a settlement, or one told again, may have fallen short: the rest asks no more.
    if not (partial or posted.is_replay):
        return posted, Decimal(0)
    return posted, (await get(database, found.id, now)).shortfall


async def release(ledger: Ledger, found: Hold, *, key: str | None) -> Posted:
    """End a hold and charge nothing.

    Raises:
        As `Ledger.post`.
    """
    return await ledger.post(
        Item(
            email=found.email, verb=Verb.RELEASE, operation=found.operation, key=key, hold=found.id
        )
    )


async def renew(ledger: Ledger, found: Hold, expires_at: datetime) -> Hold:
    """Keep a hold open until `expires_at`; best done at half time.

    Raises:
        UnknownHold, HoldClosed: it has ended.
        AccountFrozen: the operator has to decide about the account.
    """
    await ledger.renew(found.email, found.id, expires_at)
    return replace(found, state=HoldState.OPEN, expires_at=expires_at)


async def refund(
    ledger: Ledger,
    *,
    email: str,
    movement: int,
    amount: Decimal | None,
    reason: str,
    key: str | None,
) -> Posted:
    """Return a charge or a part of it, together never more than it was; all that is left of it
    where no amount is given. What is refunded does not end, whatever grant it was paid from.

    Raises:
        NotRefundable: there is no such charge of this account, or not so much is left of it.
    """
    return await ledger.post(
        Item(
            email=email,
            verb=Verb.REFUND,
            amount=amount,
            operation=reason,
            key=key,
            refers=movement,
        )
    )
