"""Orders, the YooKassa client, the inbox and settle."""

from zapisano.payments.checkout import create_order, refuse_closed, retry_order, start_payment
from zapisano.payments.handlers import payments_handlers
from zapisano.payments.inbox import read_notification, receive
from zapisano.payments.jobs import OrderCanceled, OrderPaid, Poll, Settle
from zapisano.payments.model import (
    BusinessClosed,
    Order,
    OrderClosed,
    OrderId,
    Reason,
    Status,
    UnknownOrder,
)
from zapisano.payments.poller import poll
from zapisano.payments.provider import (
    Payment,
    Provider,
    ProviderRefused,
    ProviderUnavailable,
    UnknownPayment,
)
from zapisano.payments.settle import Outcome, settle, was_paid_when_closed
from zapisano.payments.yookassa import YooKassa

__all__ = [
    "BusinessClosed",
    "Order",
    "OrderCanceled",
    "OrderClosed",
    "OrderId",
    "OrderPaid",
    "Outcome",
    "Payment",
    "Poll",
    "Provider",
    "ProviderRefused",
    "ProviderUnavailable",
    "Reason",
    "Settle",
    "Status",
    "UnknownOrder",
    "UnknownPayment",
    "YooKassa",
    "create_order",
    "payments_handlers",
    "poll",
    "read_notification",
    "receive",
    "refuse_closed",
    "retry_order",
    "settle",
    "start_payment",
    "was_paid_when_closed",
]
