"""The file, its tables, and the people who live in it from the start."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS person (
    id INTEGER PRIMARY KEY, first_name TEXT NOT NULL, last_name TEXT, username TEXT UNIQUE,
    language_code TEXT NOT NULL, phone TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bot (
    id INTEGER NOT NULL UNIQUE, username TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE, owner_id INTEGER, manager_id INTEGER,
    can_manage_bots INTEGER NOT NULL DEFAULT 0, restricted INTEGER NOT NULL DEFAULT 0,
    added_users TEXT NOT NULL DEFAULT '[]', allowed_updates TEXT NOT NULL DEFAULT '[]',
    last_update_id INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS configured (bot_id INTEGER PRIMARY KEY, token TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS profile (
    bot_id INTEGER NOT NULL, field TEXT NOT NULL, language_code TEXT NOT NULL, value TEXT NOT NULL,
    PRIMARY KEY (bot_id, field, language_code)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhook (
    bot_id INTEGER PRIMARY KEY, url TEXT NOT NULL, secret_token TEXT NOT NULL,
    max_connections INTEGER NOT NULL, last_error_at INTEGER, last_error TEXT);
CREATE TABLE IF NOT EXISTS chat (
    bot_id INTEGER NOT NULL, person_id INTEGER NOT NULL, started INTEGER NOT NULL DEFAULT 0,
    blocked INTEGER NOT NULL DEFAULT 0, keyboard TEXT, last_message_id INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (bot_id, person_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chat_of_person ON chat (person_id);
CREATE TABLE IF NOT EXISTS message (
    bot_id INTEGER NOT NULL, person_id INTEGER NOT NULL, message_id INTEGER NOT NULL,
    from_bot INTEGER NOT NULL, date INTEGER NOT NULL, edit_date INTEGER,
    editable INTEGER NOT NULL, content TEXT NOT NULL,
    PRIMARY KEY (bot_id, person_id, message_id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pending_update (
    bot_id INTEGER NOT NULL, update_id INTEGER NOT NULL, person_id INTEGER NOT NULL,
    at INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (bot_id, update_id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS update_of_chat ON pending_update (bot_id, person_id, update_id);
CREATE TABLE IF NOT EXISTS query (
    id INTEGER PRIMARY KEY AUTOINCREMENT, bot_id INTEGER NOT NULL, person_id INTEGER NOT NULL,
    kind TEXT NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS file (
    file_id TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, name TEXT NOT NULL, mime_type TEXT NOT NULL,
    path TEXT NOT NULL, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS invoice (
    slug TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS star_charge (
    charge_id TEXT PRIMARY KEY, bot_id INTEGER NOT NULL, person_id INTEGER NOT NULL,
    amount INTEGER NOT NULL, payload TEXT NOT NULL, at INTEGER NOT NULL, refunded_at INTEGER);
"""
SEED = (
    (100200301, "Анна", "Соколова", "anna_sokolova", "ru", "+79161230301"),
    (100200302, "Борис", "Орлов", "boris_orlov", "ru", "+79161230302"),
)


# How the seeded people call themselves in a Telegram that does not speak Russian.
LATIN = {100200301: ("Anna", "Sokolova"), 100200302: ("Boris", "Orlov")}


def connect(folder: Path) -> sqlite3.Connection:
    """Open the state in this folder, made anew when there is none."""
    database = sqlite3.connect(folder / "telegram.sqlite3", isolation_level=None)
    database.row_factory = sqlite3.Row
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(SCHEMA)
    database.executemany(
        "INSERT OR IGNORE INTO person (id, first_name, last_name, username, language_code, phone)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        SEED,
    )
    return database


@contextmanager
def transaction(database: sqlite3.Connection) -> Generator[None, None, None]:
    """Do all of it or none of it; inside another transaction, belong to that one."""
    if database.in_transaction:
        yield
        return
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:  # raised again
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
