"""Plans and paid time."""

from zapisano.subscriptions.invitations import (
    Gift,
    Rewarding,
    accept_invitation,
    invitation,
    invited_by,
    reward,
)
from zapisano.subscriptions.jobs import Charge, DaysGiven, Live, Notice, RewardHost
from zapisano.subscriptions.life import (
    CHARGE_DAYS,
    REMINDERS,
    Word,
    charges_end_at,
    daytime,
    terms_of,
)
from zapisano.subscriptions.living import Living, find_next_charge_at, put_off, worded_now
from zapisano.subscriptions.model import (
    Grant,
    Period,
    Reason,
    Subscription,
    next_period,
    plan_at_renewal,
)
from zapisano.subscriptions.store import days_given, find, get, so_far, wake_all
from zapisano.subscriptions.trial import TrialUsed, may_try, start_trial
from zapisano.subscriptions.usecases import extend, give, lift_if_paid, look, plan_next, take

__all__ = [
    "CHARGE_DAYS",
    "REMINDERS",
    "Charge",
    "DaysGiven",
    "Gift",
    "Grant",
    "Live",
    "Living",
    "Notice",
    "Period",
    "Reason",
    "RewardHost",
    "Rewarding",
    "Subscription",
    "TrialUsed",
    "Word",
    "accept_invitation",
    "charges_end_at",
    "days_given",
    "daytime",
    "extend",
    "find",
    "find_next_charge_at",
    "get",
    "give",
    "invitation",
    "invited_by",
    "lift_if_paid",
    "look",
    "may_try",
    "next_period",
    "plan_at_renewal",
    "plan_next",
    "put_off",
    "reward",
    "so_far",
    "start_trial",
    "take",
    "terms_of",
    "wake_all",
    "worded_now",
]
