"""Integration tests: real servers and real processes."""

from credit_book import book
from house import another_buyer, buyer, house
from salon import salon
from simulator import own_simulator, phone, simulator, simulator_process
from telegram_bots import make_bot, new_bot
from wallets import ledger_settings, ledger_template, wallets

__all__ = [
    "another_buyer",
    "book",
    "buyer",
    "house",
    "ledger_settings",
    "ledger_template",
    "make_bot",
    "new_bot",
    "own_simulator",
    "phone",
    "salon",
    "simulator",
    "simulator_process",
    "wallets",
]
