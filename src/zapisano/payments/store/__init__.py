"""Orders, notifications and reviews in the shared schema."""

from zapisano.payments.store.figures import (
    figures,
)
from zapisano.payments.store.inbox import (
    close_capture_notices,
    close_notifications,
    has_open_notifications,
    keep_notification,
    last_notification_at,
)
from zapisano.payments.store.orders import (
    count_poll,
    count_refusal,
    find,
    find_by_payment,
    find_by_request,
    find_retry,
    get,
    get_credits_order,
    get_plan_order,
    insert,
    lock_buyer,
    mark_canceled,
    mark_paid,
    mark_requested,
    mark_review,
    newest,
    renew_key,
    set_payment,
    takes_credits,
)
from zapisano.payments.store.reviews import (
    add_review,
    close_reviews,
    is_reviewed,
)

__all__ = [
    "add_review",
    "close_capture_notices",
    "close_notifications",
    "close_reviews",
    "count_poll",
    "count_refusal",
    "figures",
    "find",
    "find_by_payment",
    "find_by_request",
    "find_retry",
    "get",
    "get_credits_order",
    "get_plan_order",
    "has_open_notifications",
    "insert",
    "is_reviewed",
    "keep_notification",
    "last_notification_at",
    "lock_buyer",
    "mark_canceled",
    "mark_paid",
    "mark_requested",
    "mark_review",
    "newest",
    "renew_key",
    "set_payment",
    "takes_credits",
]
