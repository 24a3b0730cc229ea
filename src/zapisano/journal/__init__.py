"""The append-only list of what happened, readable as a stream."""

from zapisano.journal.model import Event
from zapisano.journal.store import CHANNEL, identity, newest, read, read_unseen, record

__all__ = ["CHANNEL", "Event", "identity", "newest", "read", "read_unseen", "record"]
