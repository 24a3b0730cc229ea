"""What tenancy asks others to do."""

from dataclasses import dataclass
from typing import ClassVar

from zapisano.jobs import Job, Lane


@dataclass(frozen=True)
class Provision(Job):
    """Make the schema and the role of a registered tenant."""

    kind: ClassVar[str] = "tenancy.provision"
    lane: ClassVar[Lane] = Lane.MONEY

    tenant_id: str


@dataclass(frozen=True)
class TenantReady(Job):
    """Tell the owner that the tenant waits for its bot."""

    kind: ClassVar[str] = "tenancy.ready"

    tenant_id: str


@dataclass(frozen=True)
class TenantChanged(Job):
    """A tenant was suspended, resumed, put away or brought back: tell its owner and its bot."""

    kind: ClassVar[str] = "tenancy.changed"

    tenant_id: str
    state: str
    restored: bool = False


@dataclass(frozen=True)
class ForgetKeys(Job):
    """A tenant was archived: delete its keys in Redis."""

    kind: ClassVar[str] = "tenancy.forget_keys"

    tenant_id: str


@dataclass(frozen=True)
class TenantMoved(Job):
    """A tenant has another owner: tell that person."""

    kind: ClassVar[str] = "tenancy.moved"

    tenant_id: str
    owner_id: int
