"""Tenants and their life: provision, activate, suspend, resume, archive, restore."""
