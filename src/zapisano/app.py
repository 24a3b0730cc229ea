"""Composition root of the HTTP processes."""
