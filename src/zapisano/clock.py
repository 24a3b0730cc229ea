"""The real clock, for whoever starts a process; everybody below is handed `now`."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return this moment, with its zone."""
    return datetime.now(UTC)
