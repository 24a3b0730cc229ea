"""Unit tests touch nothing outside the process."""
