"""The append-only list of what happened, readable as a stream."""
