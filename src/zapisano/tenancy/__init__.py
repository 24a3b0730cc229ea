"""Tenants and their life: provision, activate, suspend, resume, archive, restore."""

from zapisano.tenancy.archive import DiskTrouble, archive, restore
from zapisano.tenancy.jobs import ForgetKeys, Provision, TenantChanged, TenantReady
from zapisano.tenancy.model import (
    Overview,
    State,
    Suspension,
    Tenant,
    TenantId,
    UnknownTenant,
    WrongState,
)
from zapisano.tenancy.usecases import activate, provision, register, register_once, resume, suspend

__all__ = [
    "DiskTrouble",
    "ForgetKeys",
    "Overview",
    "Provision",
    "State",
    "Suspension",
    "Tenant",
    "TenantChanged",
    "TenantId",
    "TenantReady",
    "UnknownTenant",
    "WrongState",
    "activate",
    "archive",
    "provision",
    "register",
    "register_once",
    "restore",
    "resume",
    "suspend",
]
