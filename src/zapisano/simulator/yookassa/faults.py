"""Knobs: the ways in which the real service and the network misbehave, on demand.

A fault strikes a number of `times`, or with a `probability` drawn from a `seed`: the n-th chance of
the same seed always falls the same way, so a run can be repeated.
"""

import random
from dataclasses import dataclass, replace
from typing import Literal

NotificationFault = Literal["drop", "delay", "duplicate", "reorder", "forged"]
ApiFault = Literal["early", "slow", "429", "500", "500_after_create", "reset", "refund_pending"]
Kind = NotificationFault | ApiFault

# These break the answer to a thing that was done, so they wait for a request that does something.
ONLY_POST = frozenset({"early", "500_after_create", "reset", "refund_pending"})


@dataclass(frozen=True)
class Fault:
    """One knob.

    Attributes:
        kind: what goes wrong.
        times: how often it still will; ignored when there is a probability.
        probability: chance at each opportunity, from 0 to 1.
        seed: the start of the draws.
        drawn: how many draws were made.
        seconds: length of `delay` and `slow`; the longest that `reorder` holds one back.
        copies: how many more times `duplicate` sends.
        retry_after_ms: what `429` asks for.
        path: only requests whose path begins so (`/payments`); any when empty.
        event: only notifications of this event; any when empty.
        variant: what `forged` sends: an `unknown` object, or a real one `modified`.
    """

    kind: Kind
    times: int = 1
    probability: float | None = None
    seed: int = 0
    drawn: int = 0
    seconds: float = 3.0
    copies: int = 1
    retry_after_ms: int = 1000
    path: str = ""
    event: str = ""
    variant: Literal["unknown", "modified"] = "unknown"

    @property
    def spent(self) -> bool:
        """Will it never strike again?"""
        return self.probability is None and self.times <= 0

    def fits_request(self, method: str, path: str) -> bool:
        """Is this request one that the fault may strike?"""
        return path.startswith(self.path) and (self.kind not in ONLY_POST or method == "POST")

    def fits_event(self, event: str) -> bool:
        """Is this notification one that the fault may strike?"""
        return self.event in ("", event)


def draw(fault: Fault) -> tuple[bool, Fault]:
    """Does it strike now? Also the fault as it is after this chance."""
    if fault.probability is None:
        return fault.times > 0, replace(fault, times=max(fault.times - 1, 0))
    chance = random.Random(f"{fault.seed}:{fault.drawn}").random()  # noqa: S311 (not a secret)
    return chance < fault.probability, replace(fault, drawn=fault.drawn + 1)
