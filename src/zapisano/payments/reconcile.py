"""The daily sweep: the provider's money and ours, compared both ways, to the kopeck.

What is paid there and not here is settled: that is the cure for a notification that was lost. Only
what still differs is a difference, and put before a person; a later sweep that finds it in order
closes it again. Each case is looked up once more before it counts, so nothing under way is one.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from zapisano import journal
from zapisano.db import Database, SharedConnection
from zapisano.errors import AppError
from zapisano.jobs import schedule
from zapisano.payments.jobs import Reconcile
from zapisano.payments.model import OrderId, Reason, Status
from zapisano.payments.provider import (
    Payment,
    Refund,
    RefundingProvider,
    UnknownPayment,
    UnknownRefund,
)
from zapisano.payments.refund_model import RefundStatus
from zapisano.payments.settle import review, settle
from zapisano.payments.settle_refund import settle_refund
from zapisano.payments.store import reconcile as store
from zapisano.settings import Settings
from zapisano.telemetry import get_logger

log = get_logger("zapisano.payments")

SWEPT = "payments.reconciled"
EVERY = timedelta(days=1)
RECONCILE_AFTER_START = timedelta(minutes=5)
# Yesterday and the day before, or farther back, to the last whole sweep: no outage leaves a gap.
# Not the last minutes, in which notifications are still on their way.
BACK, MARGIN = timedelta(days=3), timedelta(minutes=30)
# A payment is paid later than it is made: what we say was paid may be listed under an earlier day.
MADE_BEFORE = timedelta(days=1)
AT_ONCE = 100
PAID = (Reason.PAID_THERE_ONLY, Reason.PAID_HERE_ONLY, Reason.PAID_SUMS)
REFUNDED = (Reason.REFUNDED_THERE_ONLY, Reason.REFUNDED_HERE_ONLY, Reason.REFUNDED_SUMS)


@dataclass(frozen=True)
class Difference:
    """One thing that differs; ids as the provider has them."""

    reason: Reason
    payment_id: str
    order_id: OrderId | None
    refund_id: str | None = None


@dataclass(frozen=True)
class Healed:
    """One thing that had been lost on the way here and is settled; ids as the provider has them."""

    payment_id: str
    order_id: OrderId
    refund_id: str | None = None


@dataclass
class Report:
    """What a sweep has seen. Sums in roubles, of what it looked at on either side."""

    payments: int = 0
    refunds: int = 0
    paid_there: Decimal = Decimal("0.00")
    paid_here: Decimal = Decimal("0.00")
    refunded_there: Decimal = Decimal("0.00")
    refunded_here: Decimal = Decimal("0.00")
    settled: list[Healed] = field(default_factory=list[Healed])
    put_off: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])

    @property
    def healed(self) -> int:
        """How many things were settled by this sweep."""
        return len(self.settled)


async def sweep(
    database: Database,
    provider: RefundingProvider,
    settings: Settings,
    job: Reconcile,
    now: Callable[[], datetime],
) -> None:
    """Come again tomorrow, whatever happens today; compare the last days, where there is a shop.

    Raises:
        ProviderUnavailable: the job is tried again.
    """
    at = now()
    async with database.shared() as conn:
        await schedule(conn, job, at=at + EVERY, subject="")
    if settings.yookassa_shop_id and settings.yookassa_secret_key.get_secret_value():
        since, until = await _since(database, at), at - MARGIN
        report = await reconcile(database, provider, settings, since, until, at)
        if not report.put_off:
            async with database.shared() as conn:
                await _note_whole(conn, report, until)


async def _since(database: Database, at: datetime) -> datetime:
    """Return from when on to compare: after an outage, from before the last whole one's end."""
    async with database.shared() as conn:
        whole_until = await store.whole_until(conn, SWEPT)
    return min(at - BACK, whole_until - EVERY if whole_until else at)


async def _note_whole(conn: SharedConnection, report: Report, until: datetime) -> None:
    """Write that everything was compared: the next sweep and a metric go by the last whole one."""
    await journal.record(
        conn,
        SWEPT,
        "yookassa",
        by="system",
        until=until.isoformat(),
        payments=report.payments,
        refunds=report.refunds,
        healed=report.healed,
        differences=len(report.differences),
    )


async def reconcile(
    database: Database,
    provider: RefundingProvider,
    settings: Settings,
    since: datetime,
    until: datetime,
    now: datetime,
) -> Report:
    """Compare what succeeded in [since, until], here and there; heal what can be healed.

    Raises:
        ProviderUnavailable: the list could not be read; what was healed stays so.
    """
    one = _Sweep(database, provider, settings, now, Report())
    await one.payments(since, until)
    await one.refunds(since, until)
    report = one.report
    log.info(
        "reconciled",
        payments=report.payments,
        refunds=report.refunds,
        healed=report.healed,
        put_off=report.put_off,
        differences=len(report.differences),
    )
    return report


@dataclass(frozen=True)
class _Sweep:
    """One pass; the report grows while it goes."""

    database: Database
    provider: RefundingProvider
    settings: Settings
    now: datetime
    report: Report
    # Payments of which a refund agrees, and those of which one could not be asked after.
    refunded: set[str] = field(default_factory=set[str])
    unsure: set[str] = field(default_factory=set[str])

    async def payments(self, since: datetime, until: datetime) -> None:
        """Theirs against ours, as listed; then ours that were not listed against theirs."""
        seen: set[str] = set()
        batch: list[Payment] = []
        async for payment in self.provider.list_payments(since - MADE_BEFORE, until):
            if payment.succeeded:
                seen.add(payment.id)
                batch.append(payment)
            if len(batch) >= AT_ONCE:
                await self._payments(batch)
                batch = []
        await self._payments(batch)
        async with self.database.shared() as conn:
            ours = await store.paid_between(conn, since, until)
        for payment_id in ours:
            if payment_id not in seen:
                await self._unless_put_off(payment_id, self._not_listed(payment_id))

    async def _not_listed(self, payment_id: str) -> None:
        """Ask after a payment of ours that the list does not hold: it may be older than that."""
        try:
            payment = await self.provider.get_payment(payment_id)
        except UnknownPayment:
            payment = None
        if payment is not None and payment.succeeded:
            await self._payments([payment])
            return
        async with self.database.shared() as conn:
            found = await store.orders_of(conn, [payment_id])
        order_id, _, amount, _ = found[payment_id]
        self.report.paid_here += amount
        await self._differs(Difference(Reason.PAID_HERE_ONLY, payment_id, order_id))

    async def _payments(self, batch: list[Payment]) -> None:
        ids = [payment.id for payment in batch]
        async with self.database.shared() as conn:
            ours = await store.orders_of(conn, ids)
        # A stranger's that all went back is nobody's; one of ours is granted first, then taken.
        lost = [
            one
            for one in batch
            if not _is_granted(one, ours) and (one.id in ours or not one.went_back)
        ]
        waits = {one.id for one in lost if not await self._settled(one.id)}
        if lost:
            async with self.database.shared() as conn:
                ours = await store.orders_of(conn, ids)
        agree: list[str] = []
        for payment in batch:
            reason = self._compare(payment, ours)
            if payment.id in waits:
                continue  # it is under way; the next sweep looks again
            if reason is None:
                agree.append(payment.id)
                if payment in lost and _is_granted(payment, ours):
                    self.report.settled.append(Healed(payment.id, ours[payment.id][0]))
            else:
                known = ours.get(payment.id)
                order_id = known[0] if known else None
                await self._differs(Difference(reason, payment.id, order_id))
        async with self.database.shared() as conn:
            await store.close_differences(conn, agree, PAID, self.now)

    def _compare(self, payment: Payment, ours: store.Orders) -> Reason | None:
        self.report.payments += 1
        self.report.paid_there += payment.amount or 0
        if _is_granted(payment, ours):
            amount = ours[payment.id][2]
            self.report.paid_here += amount
            return None if amount == payment.amount else Reason.PAID_SUMS
        return None if payment.went_back else Reason.PAID_THERE_ONLY

    async def refunds(self, since: datetime, until: datetime) -> None:
        """The same with what went back."""
        seen: set[str] = set()
        batch: list[Refund] = []
        async for refund in self.provider.list_refunds(since - MADE_BEFORE, until):
            if refund.succeeded:
                seen.add(refund.id)
                batch.append(refund)
            if len(batch) >= AT_ONCE:
                await self._refunds(batch)
                batch = []
        await self._refunds(batch)
        async with self.database.shared() as conn:
            ours = await store.refunded_between(conn, since, until)
        for refund_id, payment_id in ours:
            if refund_id not in seen and not await self._unless_put_off(
                refund_id, self._refund_not_listed(refund_id, payment_id)
            ):
                self.unsure.add(payment_id)
        wrong = {one.payment_id for one in self.report.differences if one.refund_id}
        async with self.database.shared() as conn:
            agree = sorted(self.refunded - wrong - self.unsure)
            await store.close_differences(conn, agree, REFUNDED, self.now)

    async def _refund_not_listed(self, refund_id: str, payment_id: str) -> None:
        try:
            refund = await self.provider.get_refund(refund_id)
        except UnknownRefund:
            refund = None
        if refund is not None and refund.succeeded:
            await self._refunds([refund])
            return
        async with self.database.shared() as conn:
            order_id, _, amount = (await store.refunds_by_id(conn, [refund_id]))[refund_id]
        self.report.refunded_here += amount
        await self._differs(Difference(Reason.REFUNDED_HERE_ONLY, payment_id, order_id, refund_id))

    async def _refunds(self, batch: list[Refund]) -> None:
        ids = [refund.id for refund in batch]
        async with self.database.shared() as conn:
            ours = await store.refunds_by_id(conn, ids)
        lost = [one for one in batch if not _is_counted(one, ours)]
        waits = {one.id for one in lost if not await self._refund_settled(one.id)}
        self.unsure.update(one.payment_id for one in lost if one.id in waits)
        async with self.database.shared() as conn:
            ours = await store.refunds_by_id(conn, ids)
            paid = await store.orders_of(conn, [one.payment_id for one in batch])
        for refund in batch:
            self.report.refunds += 1
            self.report.refunded_there += refund.amount or 0
            if refund.id in waits or refund.payment_id not in paid:
                continue  # it is under way, or a stranger's: what differs then is the payment
            known = ours.get(refund.id)
            if known is None or known[1] is not RefundStatus.SUCCEEDED:
                reason = Reason.REFUNDED_THERE_ONLY
            else:
                self.report.refunded_here += known[2]
                if refund in lost:
                    self.report.settled.append(Healed(refund.payment_id, known[0], refund.id))
                if known[2] == refund.amount:
                    self.refunded.add(refund.payment_id)
                    continue
                reason = Reason.REFUNDED_SUMS
            order_id = known[0] if known else None
            await self._differs(Difference(reason, refund.payment_id, order_id, refund.id))

    async def _settled(self, payment_id: str) -> bool:
        return await self._unless_put_off(
            payment_id,
            settle(self.database, self.provider, self.settings, payment_id, self.now, "sweep"),
        )

    async def _refund_settled(self, refund_id: str) -> bool:
        return await self._unless_put_off(
            refund_id,
            settle_refund(
                self.database, self.provider, self.settings, refund_id, self.now, "sweep"
            ),
        )

    async def _unless_put_off(self, id_: str, look: Awaitable[object]) -> bool:
        """Look at one thing; what cannot be looked at now does not keep the others waiting."""
        try:
            await look
        except AppError as error:
            log.warning("reconcile_put_off", object=id_, reason=error.code)
            self.report.put_off += 1
            return False
        return True

    async def _differs(self, difference: Difference) -> None:
        """Put a difference before a person, once, and count it."""
        self.report.differences.append(difference)
        log.error(
            "reconciliation_difference",
            reason=difference.reason,
            payment=difference.payment_id,
            order=difference.order_id,
            refund=difference.refund_id,
        )
        async with self.database.shared() as conn:
            await review(
                conn,
                difference.reason,
                payment_id=difference.payment_id,
                order_id=difference.order_id,
            )


def _is_granted(payment: Payment, ours: store.Orders) -> bool:
    known = ours.get(payment.id)
    return known is not None and known[1] is Status.PAID


def _is_counted(refund: Refund, ours: store.Refunds) -> bool:
    known = ours.get(refund.id)
    return known is not None and known[1] is RefundStatus.SUCCEEDED
