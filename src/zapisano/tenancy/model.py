"""Tenants, and which states may follow which."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType

from zapisano.errors import Conflict, NotFound

TenantId = NewType("TenantId", str)


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


@dataclass(frozen=True)
class Overview:
    """A tenant with what the operator wants to see beside it; None where there is none yet."""

    tenant: Tenant
    bot_username: str | None
    paid_until: datetime | None
    schema_version: str | None


def tenant_id(number: int) -> TenantId:
    """Return the id of the `number`-th tenant: `client_001`."""
    return TenantId(f"client_{number:03d}")
