"""Payments in Stars, and those given back."""

import secrets
import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True)
class Charge:
    """One payment; `refunded_at` is None while the bot has its Stars."""

    charge_id: str
    bot_id: int
    person_id: int
    amount: int
    payload: str
    at: int
    refunded_at: int | None


def add(
    database: sqlite3.Connection, *, bot_id: int, person_id: int, amount: int, payload: str, at: int
) -> str:
    """Write down that a person paid a bot, and get the charge's id."""
    charge_id = f"stx{secrets.token_urlsafe(24)}"
    database.execute(
        "INSERT INTO star_charge (charge_id, bot_id, person_id, amount, payload, at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (charge_id, bot_id, person_id, amount, payload, at),
    )
    return charge_id


def of_bot(database: sqlite3.Connection, bot_id: int) -> list[Charge]:
    """List what a bot was paid, the oldest first."""
    rows = database.execute(
        "SELECT charge_id, bot_id, person_id, amount, payload, at, refunded_at FROM star_charge"
        " WHERE bot_id = ? ORDER BY at, rowid",
        (bot_id,),
    )
    return [Charge(**dict(row)) for row in rows]


def find(
    database: sqlite3.Connection, bot_id: int, person_id: int, charge_id: str
) -> Charge | None:
    """Find a charge of this bot and this person."""
    charges = of_bot(database, bot_id)
    mine = (one for one in charges if (one.person_id, one.charge_id) == (person_id, charge_id))
    return next(mine, None)


def set_refunded(database: sqlite3.Connection, charge_id: str, at: int) -> None:
    """Give the Stars back."""
    database.execute("UPDATE star_charge SET refunded_at = ? WHERE charge_id = ?", (at, charge_id))
