"""Plans and paid time."""
