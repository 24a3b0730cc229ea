"""Orders of plans and of credits, the YooKassa client, the inbox and settle."""

from zapisano.payments.account import account_of
from zapisano.payments.checkout import (
    ask_after,
    choose,
    create_order,
    refuse_closed,
    retry_order,
    start_payment,
)
from zapisano.payments.errors import counting_errors
from zapisano.payments.handlers import payments_handlers
from zapisano.payments.inbox import read_notification, receive
from zapisano.payments.jobs import (
    AutopayEnded,
    ChargeDeclined,
    OrderCanceled,
    OrderPaid,
    OrderRefunded,
    OrderWaits,
    Poll,
    PollRefund,
    Reconcile,
    Settle,
    SettleRefund,
)
from zapisano.payments.model import (
    Agreed,
    AnyOrder,
    BusinessClosed,
    ChoiceFrozen,
    CreditsOrder,
    Order,
    OrderClosed,
    OrderId,
    PlanOrder,
    Reason,
    SavedMethod,
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
    Refund,
    UnknownPayment,
    UnknownRefund,
)
from zapisano.payments.receipts import BadContact, read_contact
from zapisano.payments.reconcile import RECONCILE_AFTER_START, Report, reconcile
from zapisano.payments.refund_model import (
    AlreadyRefunded,
    NotPaid,
    RefundId,
    RefundRow,
    RefundStatus,
    RefundTooLarge,
)
from zapisano.payments.refunds import ask_refund, left_to_refund, poll_refund, start_refund
from zapisano.payments.request import agreed, offer
from zapisano.payments.settle import Outcome, settle, was_paid_when_closed
from zapisano.payments.settle_refund import RefundOutcome, settle_refund
from zapisano.payments.topup import create_topup, top_up, topup_status
from zapisano.payments.yookassa import YooKassa

__all__ = [
    "RECONCILE_AFTER_START",
    "Agreed",
    "AlreadyRefunded",
    "AnyOrder",
    "AutopayEnded",
    "BadContact",
    "BusinessClosed",
    "ChargeDeclined",
    "ChoiceFrozen",
    "CreditsOrder",
    "Method",
    "NotPaid",
    "Order",
    "OrderCanceled",
    "OrderClosed",
    "OrderId",
    "OrderPaid",
    "OrderRefunded",
    "OrderWaits",
    "Outcome",
    "Payment",
    "PlanOrder",
    "Poll",
    "PollRefund",
    "Provider",
    "ProviderRefused",
    "ProviderUnavailable",
    "Reason",
    "Reconcile",
    "Refund",
    "RefundId",
    "RefundOutcome",
    "RefundRow",
    "RefundStatus",
    "RefundTooLarge",
    "Report",
    "SavedMethod",
    "Settle",
    "SettleRefund",
    "Status",
    "TopupsOff",
    "UnknownOrder",
    "UnknownPayment",
    "UnknownRefund",
    "YooKassa",
    "account_of",
    "agreed",
    "ask_after",
    "ask_refund",
    "choose",
    "counting_errors",
    "create_order",
    "create_topup",
    "left_to_refund",
    "offer",
    "payments_handlers",
    "poll",
    "poll_refund",
    "read_contact",
    "read_notification",
    "receive",
    "reconcile",
    "refuse_closed",
    "retry_order",
    "settle",
    "settle_refund",
    "start_payment",
    "start_refund",
    "top_up",
    "topup_status",
    "was_paid_when_closed",
]
