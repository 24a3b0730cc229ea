"""Tenants and their life: provision, activate, suspend, resume, archive, restore."""

from zapisano.tenancy.archive import DiskTrouble, archive, restore
from zapisano.tenancy.jobs import ForgetKeys, Provision, TenantChanged, TenantReady
from zapisano.tenancy.model import State, Suspension, Tenant, TenantId, UnknownTenant, WrongState
from zapisano.tenancy.usecases import activate, provision, register, resume, suspend

__all__ = [
    "DiskTrouble",
    "ForgetKeys",
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
    "restore",
    "resume",
    "suspend",
]
