"""Tenants, and which states may follow which."""

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from zapisano.errors import Conflict, NotFound, Refused

TenantId = NewType("TenantId", str)

MAX_NAME = 100
# https://core.telegram.org/bots/api#user: at most 52 significant bits
TELEGRAM_IDS_END = 2**52
LANGUAGES = ("ru", "en")  # what we speak to people; the first where nobody has chosen


class State(StrEnum):
    """Where a tenant is in its life."""

    PROVISIONING = "provisioning"
    AWAITING_BOT = "awaiting_bot"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ARCHIVED = "archived"


class Suspension(StrEnum):
    """Why a tenant is suspended; a payment lifts only `UNPAID`."""

    UNPAID = "unpaid"
    OPERATOR = "operator"


class UnknownTenant(NotFound):
    """No tenant has this id."""

    code, text = "unknown_tenant", "There is no tenant with this id."


class WrongState(Conflict):
    """The tenant is in a state from which this step does not lead."""

    code, text = "wrong_state", "The tenant's state does not allow this."


@dataclass(frozen=True)
class Tenant:
    """One business with its bot. Its id is also its schema and its Redis prefix."""

    id: TenantId
    name: str
    owner_id: int
    owner_language: str
    state: State
    suspended_for: Suspension | None
    created_at: datetime
    changed_at: datetime

    @property
    def is_paused_by_operator(self) -> bool:
        """Whether it is paused, and paying does not end that."""
        return self.state is State.SUSPENDED and self.suspended_for is Suspension.OPERATOR


@dataclass(frozen=True)
class Overview:
    """A tenant with what the operator wants to see beside it; None where there is none yet."""

    tenant: Tenant
    bot_username: str | None
    bot_managed: bool | None
    paid_until: datetime | None
    plan: str | None
    has_autopay: bool
    schema_version: str | None


def tenant_id(number: int) -> TenantId:
    """Return the id of the `number`-th tenant: `client_001`."""
    return TenantId(f"client_{number:03d}")


def cleaned_name(name: str) -> str | None:
    """Return a business's name on one line without stray spaces, None if it is not usable."""
    name = " ".join(name.split())
    if not 1 <= len(name) <= MAX_NAME:
        return None
    kinds = [unicodedata.category(letter) for letter in name]
    if any(kind in {"Cc", "Cs", "Co", "Cn"} for kind in kinds):
        return None
    # Joiners and the like are part of names and emoji, but alone they show nothing.
    return name if any(kind[0] in "LNPS" for kind in kinds) else None


def checked_name(name: str, *, field: str = "name") -> str:
    """Return a business's name as it is kept; `field` is what the caller's input calls it.

    Raises:
        Refused: it is empty, too long, or holds characters that cannot be shown.
    """
    if (cleaned := cleaned_name(name)) is None:
        raise Refused(f"{field}: must have 1 to {MAX_NAME} visible characters")
    return cleaned
