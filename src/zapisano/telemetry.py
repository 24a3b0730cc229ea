"""Logging, metrics and readiness: at the bottom, for every room."""
