"""Plans and paid time."""

from zapisano.subscriptions.jobs import Charge
from zapisano.subscriptions.model import Grant, Period, Reason, Subscription, next_period
from zapisano.subscriptions.store import days_given, find, get
from zapisano.subscriptions.usecases import extend, give, lift_if_paid, take

__all__ = [
    "Charge",
    "Grant",
    "Period",
    "Reason",
    "Subscription",
    "days_given",
    "extend",
    "find",
    "get",
    "give",
    "lift_if_paid",
    "next_period",
    "take",
]
