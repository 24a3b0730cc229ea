"""Telegram as a payment provider: the sales bot's own list of transactions in Stars.

Behind the same port as YooKassa. Facts: https://core.telegram.org/bots/api#getstartransactions
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import StarTransaction, TransactionPartnerUser

from zapisano.bots.model import BotRow
from zapisano.bots.registry import Bots
from zapisano.errors import NotFound
from zapisano.payments import Payment, ProviderRefused, ProviderUnavailable, UnknownPayment
from zapisano.payments.model import STARS_CURRENCY

PAGE = 100
MAX_PAGES = 500
DONE_ALREADY = "CHARGE_ALREADY_REFUNDED"


@dataclass(frozen=True)
class TelegramStars:
    """The sales bot's till."""

    bots: Bots

    async def create_payment(self, body: bytes, key: str) -> Payment:  # noqa: ARG002 # the port's
        """Refuse: Telegram's own dialog makes payments, after an invoice in the chat."""
        raise ProviderRefused("Telegram Stars are paid in the chat.")

    async def get_payment(self, payment_id: str) -> Payment:
        """See `Provider.get_payment`. There is no look-up by id, so the list is gone through.

        A refund stands in it under its payment's id.
        """
        shop = await self._shop()
        moves = [one async for one in self._transactions() if one.id == payment_id]
        found = next((paid for one in moves if (paid := read_charge(one, shop))), None)
        if found is None:
            raise UnknownPayment
        given_back = sum(one.amount for one in moves if one.receiver is not None)
        return replace(found, refunded=Decimal(given_back))

    async def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """See `Provider.list_payments`."""
        shop = await self._shop()
        async for one in self._transactions():
            payment = read_charge(one, shop)
            if payment is not None and since <= one.date.astimezone(UTC) <= until:
                yield payment

    async def refund(self, buyer_id: int, payment_id: str) -> None:
        """See `StarsProvider.refund`."""
        bot, _row = await self._sales()
        try:
            await bot.refund_star_payment(buyer_id, payment_id)
        except TelegramBadRequest as error:
            if DONE_ALREADY not in error.message:
                raise ProviderRefused(error.message) from error

    async def _sales(self) -> tuple[Bot, BotRow]:
        try:
            return await self.bots.sales()
        except NotFound as error:
            raise ProviderUnavailable(error.detail) from error

    async def _shop(self) -> str:
        _bot, row = await self._sales()
        return str(row.bot_id)

    async def _transactions(self) -> AsyncIterator[StarTransaction]:
        bot, _row = await self._sales()
        for page in range(MAX_PAGES):
            got = (await bot.get_star_transactions(offset=page * PAGE, limit=PAGE)).transactions
            for one in got:
                yield one
            if len(got) < PAGE:
                return
        raise ProviderUnavailable("Telegram's list of transactions does not end.")


def read_charge(one: StarTransaction, shop_id: str) -> Payment | None:
    """Read a payment of an invoice of ours; None for whatever else moves Stars."""
    payer = one.source
    if not isinstance(payer, TransactionPartnerUser) or not payer.invoice_payload:
        return None
    return charge(one.id, one.amount, STARS_CURRENCY, payer.invoice_payload, shop_id)


def charge(payment_id: str, amount: int, currency: str, payload: str, shop_id: str) -> Payment:
    """Word a payment in Stars as the port has it: Telegram tells of those that have succeeded."""
    return Payment(
        id=payment_id,
        status="succeeded",
        paid=True,
        amount=Decimal(amount),
        currency=currency,
        account_id=shop_id,
        test=False,
        metadata={"order_id": payload},
    )
