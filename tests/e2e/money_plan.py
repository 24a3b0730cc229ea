"""What is drawn for a storm of money: who buys what, and what befalls each payment."""

import random
from dataclasses import dataclass
from enum import Enum


class Ware(Enum):
    """What an order sells."""

    NEW_BOT = "a bot that is made"
    MORE_DAYS = "days for a bot that works"
    CREDITS = "credits"


class Fate(Enum):
    """What becomes of an order's payment."""

    PAID = "paid, and told"
    LOST = "paid, and never told"
    REFUNDED = "paid and paid back before anything is told"
    CANCELED = "canceled after pending"
    FORGED = "somebody lies about it"


class Forgery(Enum):
    """The lie. The last three are about the order's own payment, which is not what it should be."""

    UNKNOWN_ID = "a payment that never was"
    WRONG_AMOUNT = "a payment of one rouble for the order"
    SOMEONE_ELSES = "another's payment, which names the order"
    OTHER_SHOP = "another shop's"
    TEST_FLAG = "not a test payment"
    CURRENCY = "other money"


OF_ITSELF = (Forgery.OTHER_SHOP, Forgery.TEST_FLAG, Forgery.CURRENCY)
SHARES = {Fate.LOST: 0.10, Fate.FORGED: 0.05, Fate.CANCELED: 0.05, Fate.REFUNDED: 0.03}
MOST_NOTICES = 6


@dataclass(frozen=True)
class Deal:
    """One order to come."""

    number: int
    ware: Ware
    fate: Fate
    forgery: Forgery | None
    notices: int


def deals(draw: random.Random, size: int) -> list[Deal]:
    """Draw `size` deals in the shares above; what is left over is paid and told."""
    fates = [fate for fate, share in SHARES.items() for _ in range(round(size * share))]
    fates += [Fate.PAID] * (size - len(fates))
    draw.shuffle(fates)
    lies = list(Forgery)
    drawn: list[Deal] = []
    for number, fate in enumerate(fates):
        lie = lies[sum(deal.forgery is not None for deal in drawn) % len(lies)]
        forgery = lie if fate is Fate.FORGED else None
        notices = 0 if fate is Fate.LOST else draw.randint(1, MOST_NOTICES)
        drawn.append(Deal(number, draw.choice(list(Ware)), fate, forgery, notices))
    return drawn
