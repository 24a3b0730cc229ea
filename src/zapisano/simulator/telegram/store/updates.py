"""What bots have yet to hear of: kept until taken, for 24 hours at most."""

import json
import sqlite3

from zapisano.simulator.telegram.model import Json, Update
from zapisano.simulator.telegram.store.chats import encode

KEPT_SECONDS = 24 * 3600
"""core.telegram.org/bots/api#getting-updates: no longer than 24 hours."""


def add(database: sqlite3.Connection, bot_id: int, person_id: int, at: int, event: Json) -> None:
    """Put an update behind the bot's earlier ones, under the bot's next number."""
    (update_id,) = database.execute(
        "UPDATE bot SET last_update_id = last_update_id + 1 WHERE id = ? RETURNING last_update_id",
        (bot_id,),
    ).fetchone()
    database.execute(
        "INSERT INTO pending_update (bot_id, update_id, person_id, at, body)"
        " VALUES (?, ?, ?, ?, ?)",
        (bot_id, update_id, person_id, at, encode({"update_id": update_id, **event})),
    )


def update_of(row: sqlite3.Row) -> Update:
    """Read an update's row."""
    return Update(row["bot_id"], row["update_id"], row["person_id"], json.loads(row["body"]))


def pending(database: sqlite3.Connection, bot_id: int, limit: int) -> list[Update]:
    """List the earliest updates a bot has not taken."""
    rows = database.execute(
        "SELECT bot_id, update_id, person_id, body FROM pending_update"
        " WHERE bot_id = ? ORDER BY update_id LIMIT ?",
        (bot_id, limit),
    )
    return [update_of(row) for row in rows]


def heads(database: sqlite3.Connection, bot_id: int) -> list[Update]:
    """List the earliest untaken update of each chat: what may be posted without losing order."""
    rows = database.execute(
        "SELECT bot_id, update_id, person_id, body FROM pending_update"
        " WHERE bot_id = ?1 AND update_id IN (SELECT min(update_id) FROM pending_update"
        " WHERE bot_id = ?1 GROUP BY person_id) ORDER BY update_id",
        (bot_id,),
    )
    return [update_of(row) for row in rows]


def count(database: sqlite3.Connection, bot_id: int) -> int:
    """Count what a bot has not taken."""
    (number,) = database.execute(
        "SELECT count(update_id) FROM pending_update WHERE bot_id = ?", (bot_id,)
    ).fetchone()
    return number


def take(database: sqlite3.Connection, bot_id: int, update_id: int) -> None:
    """Forget one update: it has been delivered."""
    database.execute(
        "DELETE FROM pending_update WHERE bot_id = ? AND update_id = ?", (bot_id, update_id)
    )


def confirm_before(database: sqlite3.Connection, bot_id: int, offset: int) -> None:
    """Forget the updates below this number: getUpdates with an offset confirms them."""
    database.execute(
        "DELETE FROM pending_update WHERE bot_id = ? AND update_id < ?", (bot_id, offset)
    )


def keep_last(database: sqlite3.Connection, bot_id: int, number: int) -> None:
    """Forget all but the last so many: what a negative offset asks for."""
    database.execute(
        "DELETE FROM pending_update WHERE bot_id = ?1 AND update_id NOT IN (SELECT update_id"
        " FROM pending_update WHERE bot_id = ?1 ORDER BY update_id DESC LIMIT ?2)",
        (bot_id, number),
    )


def drop(database: sqlite3.Connection, bot_id: int) -> None:
    """Forget everything a bot has not taken."""
    database.execute("DELETE FROM pending_update WHERE bot_id = ?", (bot_id,))


def expire(database: sqlite3.Connection, bot_id: int, now: int) -> None:
    """Forget what nobody took in time."""
    database.execute(
        "DELETE FROM pending_update WHERE bot_id = ? AND at < ?", (bot_id, now - KEPT_SECONDS)
    )


def bots_to_notify(database: sqlite3.Connection) -> list[int]:
    """List the bots that have a webhook and something to hear: where a restart goes on."""
    rows = database.execute(
        "SELECT DISTINCT pending_update.bot_id AS bot_id FROM pending_update"
        " JOIN webhook ON webhook.bot_id = pending_update.bot_id"
    )
    return [row["bot_id"] for row in rows]
