"""What the simulated YooKassa does: each verb changes state and announces it in one commit."""

import json
import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from zapisano.simulator.yookassa import model, views
from zapisano.simulator.yookassa.bodies import NewPayment, NewRefund
from zapisano.simulator.yookassa.cards import Card, any_card
from zapisano.simulator.yookassa.faults import Fault, draw
from zapisano.simulator.yookassa.model import (
    Cancellation,
    Confirmation,
    Method,
    MethodType,
    Payment,
    Refund,
    RefundStatus,
    Webhook,
)
from zapisano.simulator.yookassa.problems import invalid, unknown
from zapisano.simulator.yookassa.store import Listing, Store

KNOWN_PAYMENT = "test_payment_123"
# The old sales bot has sold it a month ago: only whoever tells of it has it looked at, no list of
# the last days does.
KNOWN_SINCE = timedelta(days=30)
# The shop's own address is a setting that may change while a notification waits, so it is looked
# up when the notification is sent.
OWN_ADDRESS = ""
IDS_SINCE = datetime(2000, 1, 1, tzinfo=UTC)


def new_id(now: datetime) -> str:
    """An id that looks like the real ones: seconds since 2000, then chance."""
    seconds = int((now - IDS_SINCE).total_seconds()) & 0xFFFFFFFF
    return f"{seconds:08x}-000f-5{secrets.token_hex(2)[:3]}-8000-{secrets.token_hex(6)}"


class Kassa:
    """The shop's YooKassa: verbs over the store, with the time of its own clock."""

    def __init__(self, store: Store, shop: views.Shop, notify_url: str) -> None:
        self.store = store
        self.shop = shop
        self.notify_url = notify_url
        self._seed()

    def _seed(self) -> None:
        """A new state knows the payment that the guide's curl speaks of."""
        if self.store.find_payment(KNOWN_PAYMENT) is not None:
            return
        now = self.store.now() - KNOWN_SINCE
        method = Method(id=KNOWN_PAYMENT, type="bank_card", card=any_card())
        payment = Payment(
            id=KNOWN_PAYMENT,
            amount=Decimal("299.00"),
            created_at=now,
            capture=True,
            description="Test Company",
            metadata={
                "user_id": "123456789",
                "company_name": "Test Company",
                "plan": "1m",
                "days": "30",
            },
        )
        self.store.save_payment(model.authorize(payment, method, now))

    # the clock

    def now(self) -> datetime:
        """The time here."""
        return self.store.now()

    def advance(self, seconds: float) -> datetime:
        """Move the clock forward and let everything that is due then happen."""
        with self.store.transaction():
            offset = float(self.store.setting("clock_offset", "0")) + seconds
            self.store.remember("clock_offset", str(offset))
            self.sweep()
        return self.now()

    def sweep(self) -> None:
        """Cancel the payments that the clock has overtaken."""
        now = self.now()
        with self.store.transaction():
            for payment in self.store.overdue_payments(now):
                self._keep(model.expire(payment, now))

    # payments

    def create_payment(self, wanted: NewPayment) -> Payment:
        """A new payment: pending with a page for the payer, or made at once with a saved method."""
        now = self.now()
        payment = Payment(
            id=new_id(now),
            amount=wanted.amount,
            created_at=now,
            capture=wanted.capture,
            description=wanted.description,
            metadata=wanted.metadata,
            merchant_customer_id=wanted.merchant_customer_id,
            confirmation=wanted.confirmation,
            wanted_method=wanted.wanted_method,
            save_method=wanted.save_method,
            receipt=wanted.receipt,
        )
        if wanted.saved_method_id is None:
            self.store.save_payment(payment)
            return payment
        method = self.store.find_method(wanted.saved_method_id)
        if method is None or not method.saved:
            raise invalid("Payment method is unknown or not saved", "payment_method_id")
        allowed = self.store.setting("recurring", "1") == "1"
        return self._keep(model.pay_with_saved(payment, method, allowed=allowed, now=now))

    def payment(self, payment_id: str) -> Payment:
        """A payment of the shop.

        Raises:
            Problem: 404 when there is none.
        """
        payment = self.store.find_payment(payment_id)
        if payment is None:
            raise unknown("payment")
        return payment

    def pay(self, payment_id: str, card: Card | None, kind: MethodType = "bank_card") -> Payment:
        """The payer pays: with a card, or without one by SBP or wallet."""
        with self.store.transaction():
            payment = self.payment(payment_id)
            method = Method(id=payment.id, type=kind, card=card)
            return self._keep(model.authorize(payment, method, self.now()))

    def fail(self, payment_id: str, reason: str) -> Payment:
        """Cancel a pending payment for a reason that no test card gives."""
        with self.store.transaction():
            payment = self.payment(payment_id)
            method = Method(id=payment.id, type="bank_card", card=any_card())
            return self._keep(
                model.decline(payment, method, Cancellation("payment_network", reason))
            )

    def capture(self, payment_id: str, amount: Decimal | None) -> Payment:
        """Take held money."""
        return self._keep(model.capture(self.payment(payment_id), amount, self.now()))

    def cancel(self, payment_id: str) -> Payment:
        """Let held money go."""
        return self._keep(model.cancel(self.payment(payment_id)))

    def _keep(self, payment: Payment) -> Payment:
        """Store a payment in its new state, the method it saved, and tell the shop."""
        self.store.save_payment(payment)
        if payment.status != "canceled" and payment.method and payment.method.saved:
            self.store.save_method(replace(payment.method, status="active"))
        self.announce(f"payment.{payment.status}", payment.id, self.show(payment))
        return payment

    def show(self, payment: Payment) -> dict[str, Any]:
        """The payment's JSON at this moment."""
        looks = json.loads(self.store.setting(f"disguise {payment.id}", "{}"))
        return views.disguised(views.payment_json(payment, self.shop, self.now()), **looks)

    def disguise(self, payment_id: str, looks: dict[str, Any]) -> dict[str, Any]:
        """Let a payment look like another shop's, a real one, or one in other money."""
        self.store.remember(f"disguise {payment_id}", json.dumps(looks))
        return self.show(self.payment(payment_id))

    # refunds

    def create_refund(self, wanted: NewRefund) -> Refund:
        """Give money back; with the knob `refund_pending` it takes its time."""
        now = self.now()
        payment = self.payment(wanted.payment_id)
        refund = Refund(
            id=new_id(now),
            payment_id=payment.id,
            amount=wanted.amount,
            created_at=now,
            description=wanted.description,
            metadata=wanted.metadata,
            receipt=wanted.receipt,
        )
        self.store.save_payment(model.give_back(payment, refund, now))
        if self.strike("refund_pending"):
            refund = replace(refund, status="pending")
        return self._keep_refund(refund)

    def finish_refund(self, refund_id: str, status: RefundStatus) -> Refund:
        """End a pending refund."""
        with self.store.transaction():
            refund = self.refund(refund_id)
            payment, done = model.finish_refund(self.payment(refund.payment_id), refund, status)
            self.store.save_payment(payment)
            return self._keep_refund(done)

    def refund(self, refund_id: str) -> Refund:
        """A refund of the shop.

        Raises:
            Problem: 404 when there is none.
        """
        refund = self.store.find_refund(refund_id)
        if refund is None:
            raise unknown("refund")
        return refund

    def _keep_refund(self, refund: Refund) -> Refund:
        self.store.save_refund(refund)
        if refund.status == "succeeded":
            # The only event there is: a canceled refund is found by asking.
            self.announce("refund.succeeded", refund.id, views.refund_json(refund))
        return refund

    # lists

    def list_payments(self, wanted: Listing, cursor: str | None) -> dict[str, Any]:
        """A page of payments, newest first."""
        before = _place(cursor, self.store.place_of_payment)
        page = replace(wanted, before=before, limit=wanted.limit + 1)
        found = self.store.list_payments(page)
        shown = found[: wanted.limit]
        following = shown[-1].id if len(found) > wanted.limit else None
        return views.list_json([self.show(payment) for payment in shown], following)

    def list_refunds(self, wanted: Listing, cursor: str | None) -> dict[str, Any]:
        """A page of refunds, newest first."""
        before = _place(cursor, self.store.place_of_refund)
        page = replace(wanted, before=before, limit=wanted.limit + 1)
        found = self.store.list_refunds(page)
        shown = found[: wanted.limit]
        following = shown[-1].id if len(found) > wanted.limit else None
        return views.list_json([views.refund_json(refund) for refund in shown], following)

    # saved methods

    def create_method(self, confirmation: Confirmation, metadata: dict[str, str]) -> Method:
        """Ask the payer to bind a card with no charge."""
        method = Method(
            id=new_id(self.now()),
            type="bank_card",
            status="pending",
            confirmation=confirmation,
            metadata=metadata,
        )
        self.store.save_method(method)
        return method

    def method(self, method_id: str) -> Method:
        """A saved or pending method.

        Raises:
            Problem: 404 when there is none.
        """
        method = self.store.find_method(method_id)
        if method is None:
            raise unknown("payment_method")
        return method

    def bind(self, method_id: str, card: Card) -> Method:
        """The payer binds a card."""
        with self.store.transaction():
            method = model.activate(self.method(method_id), card)
            self.store.save_method(method)
            if method.status == "active":
                body = views.method_json(method, self.shop)
                self.announce("payment_method.active", method.id, body)
            return method

    def change_method(self, method_id: str, *, revoked: bool, card: Card | None) -> Method:
        """The payer withdrew the permission, or the card behind it will now do something else."""
        with self.store.transaction():
            method = self.method(method_id)
            changed = replace(
                method, status="inactive" if revoked else "active", card=card or method.card
            )
            self.store.save_method(changed)
            return changed

    # webhooks and notifications

    def add_webhook(self, event: str, url: str) -> Webhook:
        """Register an address for one kind of event."""
        webhook = Webhook(f"wh_{uuid.uuid4()}", event, url)
        self.store.save_webhook(webhook)
        return webhook

    def announce(self, event: str, object_id: str, body: dict[str, Any]) -> None:
        """Put one notification per listening address on its way, as the knobs bend it."""
        message = {"type": "notification", "event": event, "object": body}
        for url in self._addresses(event):
            self._send(url, message, object_id)

    def _addresses(self, event: str) -> list[str]:
        """Whom to tell: the shop at its present address, then the partners' webhooks."""
        hooks = dict.fromkeys(h.url for h in self.store.list_webhooks() if h.event == event)
        own = [OWN_ADDRESS] if self.notify_url else []
        return own + [url for url in hooks if url != self.notify_url]

    def _send(self, url: str, message: dict[str, Any], object_id: str) -> None:
        event = str(message["event"])
        if fault := self.strike("forged", event=event):
            self.forge(message, fault.variant, url)
        if self.strike("drop", event=event):
            self._enqueue(url, message, object_id, state="dropped", fault="drop")
            return
        if fault := self.strike("delay", event=event):
            self._enqueue(url, message, object_id, wait_seconds=fault.seconds, fault="delay")
        elif fault := self.strike("reorder", event=event):
            self._enqueue(
                url, message, object_id, wait_seconds=fault.seconds, held=True, fault="reorder"
            )
        else:
            self._enqueue(url, message, object_id)
        if fault := self.strike("duplicate", event=event):
            for _ in range(fault.copies):
                self._enqueue(url, message, object_id, fault="duplicate")

    def forge(
        self, message: dict[str, Any], variant: str, url: str = OWN_ADDRESS
    ) -> dict[str, Any]:
        """Send what an impostor would: about an unknown object, or with a changed amount.

        It is sent once: an impostor does not wait for an acknowledgement.
        """
        forged = json.loads(json.dumps(message))
        if variant == "unknown":
            forged["object"]["id"] = new_id(self.now())
        else:
            forged["object"] |= {"status": "succeeded", "paid": True}
            forged["object"]["amount"] = views.money(Decimal(1))
        object_id = str(forged["object"]["id"])
        self._enqueue(url, forged, object_id, fault="forged")
        return forged

    def _enqueue(self, url: str, message: dict[str, Any], object_id: str, **options: Any) -> None:
        self.store.enqueue(
            str(message["event"]),
            object_id,
            url,
            json.dumps(message, ensure_ascii=False),
            first_at=self.now(),
            **options,
        )

    # knobs

    def strike(
        self, *kinds: str, event: str | None = None, request: tuple[str, str] | None = None
    ) -> Fault | None:
        """The first turned knob of these kinds that strikes at this chance."""
        for fault_id, fault in self.store.faults(kinds):
            if event is not None and not fault.fits_event(event):
                continue
            if request is not None and not fault.fits_request(*request):
                continue
            struck, left = draw(fault)
            self.store.update_fault(fault_id, left)
            if struck:
                return fault
        return None

    def turn(self, faults: Iterable[Fault]) -> None:
        """Turn knobs; those turned before stay."""
        with self.store.transaction():
            for fault in faults:
                self.store.add_fault(fault)


def _place(cursor: str | None, find: Callable[[str], int | None]) -> int | None:
    if cursor is None:
        return None
    place = find(cursor)
    if place is None:
        raise invalid("Unknown cursor", "cursor")
    return place
