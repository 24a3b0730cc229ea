"""Plans and paid time."""

from zapisano.subscriptions.jobs import Charge, Live, Notice
from zapisano.subscriptions.life import Word
from zapisano.subscriptions.living import Living
from zapisano.subscriptions.model import Grant, Period, Reason, Subscription, next_period
from zapisano.subscriptions.store import days_given, find, get, wake_all
from zapisano.subscriptions.usecases import extend, give, lift_if_paid, look, take

__all__ = [
    "Charge",
    "Grant",
    "Live",
    "Living",
    "Notice",
    "Period",
    "Reason",
    "Subscription",
    "Word",
    "days_given",
    "extend",
    "find",
    "get",
    "give",
    "lift_if_paid",
    "look",
    "next_period",
    "take",
    "wake_all",
]
