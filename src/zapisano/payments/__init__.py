"""Orders of plans and of credits, the YooKassa client, the inbox and settle."""

from zapisano.payments.account import account_of
from zapisano.payments.checkout import (
    ask_after,
    create_order,
    refuse_closed,
    retry_order,
    start_payment,
)
from zapisano.payments.handlers import payments_handlers
from zapisano.payments.inbox import read_notification, receive
from zapisano.payments.jobs import OrderCanceled, OrderPaid, Poll, Settle
from zapisano.payments.model import (
    AnyOrder,
    BusinessClosed,
    CreditsOrder,
    Order,
    OrderClosed,
    OrderId,
    PlanOrder,
    Reason,
    Status,
    TopupsOff,
    UnknownOrder,
)
from zapisano.payments.poller import poll
from zapisano.payments.provider import (
    Method,
    Payment,
    Provider,
    ProviderRefused,
    ProviderUnavailable,
    UnknownPayment,
)
from zapisano.payments.settle import Outcome, settle, was_paid_when_closed
from zapisano.payments.stars import (
    Question,
    Refusal,
    StarsProvider,
    allow_stars,
    create_stars_order,
    note_refund,
    receive_stars,
    refund_stars,
    sold_for_stars,
)
from zapisano.payments.topup import create_topup, top_up, topup_status
from zapisano.payments.yookassa import YooKassa

__all__ = [
    "AnyOrder",
    "BusinessClosed",
    "CreditsOrder",
    "Method",
    "Order",
    "OrderCanceled",
    "OrderClosed",
    "OrderId",
    "OrderPaid",
    "Outcome",
    "Payment",
    "PlanOrder",
    "Poll",
    "Provider",
    "ProviderRefused",
    "ProviderUnavailable",
    "Question",
    "Reason",
    "Refusal",
    "Settle",
    "StarsProvider",
    "Status",
    "TopupsOff",
    "UnknownOrder",
    "UnknownPayment",
    "YooKassa",
    "account_of",
    "allow_stars",
    "ask_after",
    "create_order",
    "create_stars_order",
    "create_topup",
    "note_refund",
    "payments_handlers",
    "poll",
    "read_notification",
    "receive",
    "receive_stars",
    "refund_stars",
    "refuse_closed",
    "retry_order",
    "settle",
    "sold_for_stars",
    "start_payment",
    "top_up",
    "topup_status",
    "was_paid_when_closed",
]
