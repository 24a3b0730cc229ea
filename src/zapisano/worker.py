"""Composition root of the job process."""
