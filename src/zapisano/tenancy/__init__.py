"""Tenants and their life: provision, activate, suspend, resume, archive, restore."""

from zapisano.tenancy.archive import DiskTrouble, archive, restore
from zapisano.tenancy.jobs import (
    ForgetKeys,
    Provision,
    TenantChanged,
    TenantMoved,
    TenantReady,
)
from zapisano.tenancy.model import (
    LANGUAGES,
    MAX_NAME,
    TELEGRAM_IDS_END,
    Overview,
    State,
    Suspension,
    Tenant,
    TenantId,
    UnknownTenant,
    WrongState,
    checked_name,
    cleaned_name,
)
from zapisano.tenancy.usecases import activate, provision, register, register_once, resume, suspend

__all__ = [
    "LANGUAGES",
    "MAX_NAME",
    "TELEGRAM_IDS_END",
    "DiskTrouble",
    "ForgetKeys",
    "Overview",
    "Provision",
    "State",
    "Suspension",
    "Tenant",
    "TenantChanged",
    "TenantId",
    "TenantMoved",
    "TenantReady",
    "UnknownTenant",
    "WrongState",
    "activate",
    "archive",
    "checked_name",
    "cleaned_name",
    "provision",
    "register",
    "register_once",
    "restore",
    "resume",
    "suspend",
]
