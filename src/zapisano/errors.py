"""The errors people may see: a code, an HTTP status and a text that is safe to show."""
