"""Plans and paid time."""

from zapisano.subscriptions.invitations import (
    Gift,
    accept_invitation,
    invitation,
    invited_by,
    reward,
)
from zapisano.subscriptions.jobs import Charge, DaysGiven
from zapisano.subscriptions.model import (
    Grant,
    Period,
    Reason,
    Subscription,
    next_period,
    plan_at_renewal,
)
from zapisano.subscriptions.store import find, get
from zapisano.subscriptions.trial import TrialUsed, may_try, start_trial
from zapisano.subscriptions.usecases import extend, give, lift_if_paid, plan_next, take

__all__ = [
    "Charge",
    "DaysGiven",
    "Gift",
    "Grant",
    "Period",
    "Reason",
    "Subscription",
    "TrialUsed",
    "accept_invitation",
    "extend",
    "find",
    "get",
    "give",
    "invitation",
    "invited_by",
    "lift_if_paid",
    "may_try",
    "next_period",
    "plan_at_renewal",
    "plan_next",
    "reward",
    "start_trial",
    "take",
]
