"""Plans and paid time."""

from zapisano.subscriptions.model import Period, Subscription, next_period
from zapisano.subscriptions.store import find, get
from zapisano.subscriptions.usecases import extend, lift_if_paid

__all__ = ["Period", "Subscription", "extend", "find", "get", "lift_if_paid", "next_period"]
