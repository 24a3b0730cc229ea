"""One ledger as a plain fold in Python: what the real one must be equal to.

It knows nothing of rows, locks or batches. Movements are named after the real ones, so that a
refund can speak of a charge; everything else is computed here a second time.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal
from uuid import UUID

from zapisano.credits.model import CENT, LARGEST, Item, Outcome, Rules, Verb

NOTHING = Decimal("0.00")
SPENDING = (Verb.CHARGE, Verb.SETTLE)


@dataclass(eq=False)
class Lot:
    """A grant that ends."""

    left: Decimal
    expires_at: datetime


@dataclass(eq=False)
class Reserved:
    """A hold, and what it has taken from which grant."""

    amount: Decimal
    expires_at: datetime
    taken: list[tuple[Lot, Decimal]]
    state: str = "open"


@dataclass(eq=False)
class Entry:
    """One thing done; `movement` is told by the real ledger."""

    verb: Verb
    amount: Decimal
    balance: Decimal
    refundable: Decimal = NOTHING
    movement: int | None = None


@dataclass
class Said:
    """What became of an item."""

    outcome: Outcome
    amount: Decimal | None = None
    balance: Decimal | None = None
    entry: Entry | None = None


@dataclass
class Wallet:
    """One account."""

    balance: Decimal
    spent: Decimal = NOTHING
    remainder: Decimal = NOTHING
    alerts: int = 0
    lots: list[Lot] = field(default_factory=list[Lot])
    holds: dict[UUID, Reserved] = field(default_factory=dict[UUID, Reserved])
    entries: list[Entry] = field(default_factory=list[Entry])
    keys: dict[str, tuple[bytes | None, Entry]] = field(
        default_factory=dict[str, tuple[bytes | None, Entry]]
    )

    @property
    def held(self) -> Decimal:
        return sum((h.amount for h in self.holds.values() if h.state == "open"), NOTHING)

    @property
    def funds(self) -> Decimal:
        return self.balance + self.held

    @property
    def promo(self) -> Decimal:
        return sum((lot.left for lot in self.lots), NOTHING)

    def has_ended(self, now: datetime) -> bool:
        holds = (h.expires_at for h in self.holds.values() if h.state == "open")
        return any(end <= now for end in (*holds, *(g.expires_at for g in self.lots if g.left)))

    def expire(self, now: datetime, threshold: Decimal | None) -> None:
        for hold in self.holds.values():
            if hold.state == "open" and hold.expires_at <= now:
                self.close(hold, "expired")
        for lot in self.lots:
            if lot.expires_at <= now:
                before = self.funds
                self.balance -= lot.left
                lot.left = NOTHING
                self.note_a_fall(before, threshold)

    def note_a_fall(self, before: Decimal, threshold: Decimal | None) -> None:
        if threshold is not None and before >= threshold > self.funds:
            self.alerts += 1

    def close(self, hold: Reserved, state: str) -> None:
        hold.state = state
        self.balance += hold.amount
        for lot, amount in hold.taken:
            lot.left += amount

    def draw(self, amount: Decimal) -> list[tuple[Lot, Decimal]]:
        taken: list[tuple[Lot, Decimal]] = []
        for lot in sorted(self.lots, key=lambda one: one.expires_at):
            part = min(lot.left, amount)
            if part > 0:
                lot.left, amount = lot.left - part, amount - part
                taken.append((lot, part))
        return taken


@dataclass
class Model:
    """Accounts under one set of rules."""

    rules: Rules
    wallets: dict[str, Wallet] = field(default_factory=dict[str, Wallet])

    def open(self, email: str) -> Wallet:
        return self.wallets.setdefault(email, Wallet(self.rules.opening_of(email)[0]))

    def ask(self, item: Item, now: datetime) -> Said:
        wallet = self.wallets[item.email]
        if item.key is not None and item.key in wallet.keys:
            params, entry = wallet.keys[item.key]
            if params != item.params:
                return Said(Outcome.KEY_REUSED)
            return Said(Outcome.REPLAY, entry.amount, entry.balance, entry)
        assert not wallet.has_ended(now), "the real one should have said expiry_due"
        before = wallet.funds
        said = self._do(wallet, item)
        if said.entry is not None:
            if item.key is not None:
                wallet.keys[item.key] = (item.params, said.entry)
            wallet.entries.append(said.entry)
            wallet.note_a_fall(before, self.rules.threshold)
        return said

    def _do(self, wallet: Wallet, item: Item) -> Said:
        hold = wallet.holds.get(item.hold) if item.hold and item.verb is not Verb.HOLD else None
        if refused := _unfit(wallet, item, hold):
            return Said(refused)
        if item.verb is Verb.RELEASE and hold:
            wallet.close(hold, "released")
            return _done(wallet, item.verb, hold.amount)
        delta, remainder = self._delta(wallet, item)
        there = wallet.balance + (hold.amount if hold else NOTHING)
        if delta < 0 and there + delta < self.rules.floor:
            if not item.partial:
                return Said(Outcome.INSUFFICIENT, delta, there)
            delta = -max(there - self.rules.floor, NOTHING)
        spent = wallet.spent - delta if item.verb in SPENDING else wallet.spent
        if max(wallet.balance + wallet.held + delta, spent) > LARGEST:
            return Said(Outcome.TOO_MUCH)
        wallet.remainder = remainder
        if hold:
            wallet.close(hold, "settled")
        wallet.balance += delta
        self._besides(wallet, item, delta)
        return _done(wallet, item.verb, delta)

    def _delta(self, wallet: Wallet, item: Item) -> tuple[Decimal, Decimal]:
        if item.cost is not None:
            total = wallet.remainder + item.cost
            charged = total.quantize(CENT, ROUND_FLOOR)
            return -charged, total - charged
        if item.amount is None:  # a refund of all that is left
            charges = (e.refundable for e in wallet.entries if e.movement == item.refers)
            return next(charges), wallet.remainder
        takes = item.verb in (Verb.CHARGE, Verb.HOLD, Verb.SETTLE)
        return -item.amount if takes else item.amount, wallet.remainder

    def _besides(self, wallet: Wallet, item: Item, delta: Decimal) -> None:
        taken = wallet.draw(-delta) if delta < 0 else []
        if item.verb in SPENDING:
            wallet.spent -= delta
        elif item.verb is Verb.HOLD:
            assert item.hold is not None and item.expires_at is not None  # noqa: PT018 # a hold has both
            wallet.holds[item.hold] = Reserved(-delta, item.expires_at, taken)
        elif item.verb is Verb.REFUND:
            wallet.spent -= delta
            charge = next(e for e in wallet.entries if e.movement == item.refers)
            charge.refundable -= delta
        elif item.verb is Verb.GRANT and item.expires_at is not None:
            wallet.lots.append(Lot(delta, item.expires_at))


def _unfit(wallet: Wallet, item: Item, hold: Reserved | None) -> Outcome | None:
    """Why this cannot be, whatever the account can bear."""
    if item.verb in (Verb.SETTLE, Verb.RELEASE):
        if hold is None:
            return Outcome.NO_HOLD
        return None if hold.state == "open" else Outcome(f"hold_{hold.state}")
    if item.verb is Verb.REFUND:
        charges = (e.refundable for e in wallet.entries if e.movement == item.refers)
        if (item.amount or CENT) > next(charges, NOTHING):
            return Outcome.NOT_REFUNDABLE
    return None


def _done(wallet: Wallet, verb: Verb, amount: Decimal) -> Said:
    refundable = -amount if verb in SPENDING else NOTHING
    entry = Entry(verb, amount, wallet.balance, refundable)
    return Said(Outcome.OK, amount, wallet.balance, entry)
