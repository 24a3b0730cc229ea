"""Zapisano («Записано»): booked, and in the ledger."""

__version__ = "0.1.0"
