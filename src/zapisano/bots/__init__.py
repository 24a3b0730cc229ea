"""Telegram: the sales bot, the booking bot, attaching bots, notifications."""
