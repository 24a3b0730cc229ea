"""What a screen of the owner's is made from."""

from dataclasses import dataclass

from zapisano.bots.booking.buttons import Do
from zapisano.bots.booking.person import Visitor
from zapisano.db import TenantConnection


@dataclass(frozen=True)
class Press:
    """A button that was pressed, by whom, and the open transaction of their tenant."""

    conn: TenantConnection
    visitor: Visitor
    do: Do
