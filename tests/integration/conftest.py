"""Integration tests: real servers and real processes."""

from credit_book import book
from credits_api import api, bare, credits_settings
from house import another_buyer, buyer, house
from salon import salon
from simulator import own_simulator, phone, simulator, simulator_process
from telegram_bots import make_bot, new_bot
from wallets import wallets

__all__ = [
    "another_buyer",
    "api",
    "bare",
    "book",
    "buyer",
    "credits_settings",
    "house",
    "make_bot",
    "new_bot",
    "own_simulator",
    "phone",
    "salon",
    "simulator",
    "simulator_process",
    "wallets",
]
