"""Private chats: messages, keyboards, questions waiting for an answer, files, invoices."""

import json
import secrets
import sqlite3
from dataclasses import dataclass

from zapisano.simulator.telegram.model import Chat, Json, Message, StoredFile


@dataclass(frozen=True)
class Query:
    """A pressed button or a checkout that a bot has to answer."""

    id: int
    bot_id: int
    person_id: int
    at: int
    body: Json


def encode(value: object) -> str:
    """Write JSON the same way always, so that equal things compare equal."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def chat_of(row: sqlite3.Row) -> Chat:
    """Read a chat's row."""
    return Chat(
        bot_id=row["bot_id"],
        person_id=row["person_id"],
        started=bool(row["started"]),
        blocked=bool(row["blocked"]),
        keyboard=json.loads(row["keyboard"]) if row["keyboard"] else None,
    )


def find_chat(database: sqlite3.Connection, bot_id: int, person_id: int) -> Chat | None:
    """Find a chat that one of the two has opened."""
    row = database.execute(
        "SELECT bot_id, person_id, started, blocked, keyboard FROM chat"
        " WHERE bot_id = ? AND person_id = ?",
        (bot_id, person_id),
    ).fetchone()
    return chat_of(row) if row else None


def chats_of_person(database: sqlite3.Connection, person_id: int) -> list[Chat]:
    """List a person's chats."""
    rows = database.execute(
        "SELECT bot_id, person_id, started, blocked, keyboard FROM chat WHERE person_id = ?",
        (person_id,),
    )
    return [chat_of(row) for row in rows]


def people_of_bot(database: sqlite3.Connection, bot_id: int) -> list[int]:
    """List who has a chat with a bot."""
    rows = database.execute("SELECT person_id FROM chat WHERE bot_id = ?", (bot_id,))
    return [row["person_id"] for row in rows]


def open_chat(database: sqlite3.Connection, bot_id: int, person_id: int) -> None:
    """See that the chat exists; nobody has started it by this."""
    database.execute(
        "INSERT OR IGNORE INTO chat (bot_id, person_id) VALUES (?, ?)", (bot_id, person_id)
    )


def set_started(database: sqlite3.Connection, bot_id: int, person_id: int) -> None:
    """Let the bot write to this person from now on."""
    database.execute(
        "UPDATE chat SET started = 1, blocked = 0 WHERE bot_id = ? AND person_id = ?",
        (bot_id, person_id),
    )


def set_blocked(
    database: sqlite3.Connection, bot_id: int, person_id: int, *, blocked: bool
) -> None:
    """Let a person shut a bot out, or in again."""
    database.execute(
        "UPDATE chat SET blocked = ? WHERE bot_id = ? AND person_id = ?",
        (blocked, bot_id, person_id),
    )


def set_keyboard(
    database: sqlite3.Connection, bot_id: int, person_id: int, keyboard: Json | None
) -> None:
    """Put a keyboard under a chat, or take it away."""
    database.execute(
        "UPDATE chat SET keyboard = ? WHERE bot_id = ? AND person_id = ?",
        (encode(keyboard) if keyboard else None, bot_id, person_id),
    )


def message_of(row: sqlite3.Row) -> Message:
    """Read a message's row."""
    return Message(
        bot_id=row["bot_id"],
        person_id=row["person_id"],
        message_id=row["message_id"],
        from_bot=bool(row["from_bot"]),
        date=row["date"],
        edit_date=row["edit_date"],
        editable=bool(row["editable"]),
        content=json.loads(row["content"]),
    )


def add_message(
    database: sqlite3.Connection,
    *,
    bot_id: int,
    person_id: int,
    from_bot: bool,
    date: int,
    content: Json,
    editable: bool = True,
) -> Message:
    """Write a message into an open chat under the chat's next number."""
    (message_id,) = database.execute(
        "UPDATE chat SET last_message_id = last_message_id + 1"
        " WHERE bot_id = ? AND person_id = ? RETURNING last_message_id",
        (bot_id, person_id),
    ).fetchone()
    database.execute(
        "INSERT INTO message (bot_id, person_id, message_id, from_bot, date, editable, content)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (bot_id, person_id, message_id, from_bot, date, editable, encode(content)),
    )
    return Message(bot_id, person_id, message_id, from_bot, date, None, editable, content)


def find_message(
    database: sqlite3.Connection, bot_id: int, person_id: int, message_id: int
) -> Message | None:
    """Find a message by its number in the chat."""
    row = database.execute(
        "SELECT bot_id, person_id, message_id, from_bot, date, edit_date, editable, content"
        " FROM message WHERE bot_id = ? AND person_id = ? AND message_id = ?",
        (bot_id, person_id, message_id),
    ).fetchone()
    return message_of(row) if row else None


def last_messages(
    database: sqlite3.Connection, bot_id: int, person_id: int, limit: int
) -> list[Message]:
    """Read the end of a chat, the last message last."""
    rows = database.execute(
        "SELECT bot_id, person_id, message_id, from_bot, date, edit_date, editable, content"
        " FROM message WHERE bot_id = ? AND person_id = ? ORDER BY message_id DESC LIMIT ?",
        (bot_id, person_id, limit),
    ).fetchall()
    return [message_of(row) for row in reversed(rows)]


def set_content(
    database: sqlite3.Connection, message: Message, content: Json, edit_date: int
) -> None:
    """Change what a message says."""
    database.execute(
        "UPDATE message SET content = ?, edit_date = ?"
        " WHERE bot_id = ? AND person_id = ? AND message_id = ?",
        (encode(content), edit_date, message.bot_id, message.person_id, message.message_id),
    )


def delete_message(database: sqlite3.Connection, message: Message) -> None:
    """Take a message out of the chat, for both sides."""
    database.execute(
        "DELETE FROM message WHERE bot_id = ? AND person_id = ? AND message_id = ?",
        (message.bot_id, message.person_id, message.message_id),
    )


def add_query(
    database: sqlite3.Connection, *, bot_id: int, person_id: int, kind: str, at: int, body: Json
) -> int:
    """Ask a bot something and get the question's number, never used twice."""
    cursor = database.execute(
        "INSERT INTO query (bot_id, person_id, kind, at, body) VALUES (?, ?, ?, ?, ?)",
        (bot_id, person_id, kind, at, encode(body)),
    )
    return int(cursor.lastrowid or 0)


def find_query(database: sqlite3.Connection, bot_id: int, query_id: int, kind: str) -> Query | None:
    """Find a question of this kind to this bot."""
    row = database.execute(
        "SELECT id, bot_id, person_id, at, body FROM query"
        " WHERE id = ? AND bot_id = ? AND kind = ?",
        (query_id, bot_id, kind),
    ).fetchone()
    if row is None:
        return None
    return Query(row["id"], row["bot_id"], row["person_id"], row["at"], json.loads(row["body"]))


def add_file(
    database: sqlite3.Connection, *, bot_id: int, folder: str, name: str, mime: str, content: bytes
) -> StoredFile:
    """Keep a file a bot has sent."""
    (number,) = database.execute("SELECT count(file_id) + 1 FROM file").fetchone()
    file_id = f"{folder[:3].upper()}{number}{secrets.token_urlsafe(24)}"
    suffix = name.rpartition(".")[2] if "." in name else "bin"
    path = f"{folder}/file_{number}.{suffix}"
    database.execute(
        "INSERT INTO file (file_id, bot_id, name, mime_type, path, content)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (file_id, bot_id, name, mime, path, content),
    )
    return StoredFile(file_id, bot_id, name, mime, path, content)


def find_file(database: sqlite3.Connection, file_id: str) -> StoredFile | None:
    """Find a file by its id."""
    row = database.execute(
        "SELECT file_id, bot_id, name, mime_type, path, content FROM file WHERE file_id = ?",
        (file_id,),
    ).fetchone()
    return StoredFile(**dict(row)) if row else None


def find_file_by_path(database: sqlite3.Connection, bot_id: int, path: str) -> StoredFile | None:
    """Find a bot's file by the path getFile gave."""
    row = database.execute(
        "SELECT file_id, bot_id, name, mime_type, path, content FROM file"
        " WHERE bot_id = ? AND path = ?",
        (bot_id, path),
    ).fetchone()
    return StoredFile(**dict(row)) if row else None


def add_invoice(database: sqlite3.Connection, bot_id: int, invoice: Json) -> str:
    """Keep an invoice that travels as a link, and get the link's last part."""
    slug = secrets.token_urlsafe(12)
    database.execute(
        "INSERT INTO invoice (slug, bot_id, body) VALUES (?, ?, ?)", (slug, bot_id, encode(invoice))
    )
    return slug


def find_invoice(database: sqlite3.Connection, bot_id: int, slug: str) -> Json | None:
    """Find a bot's invoice by its link's last part."""
    row = database.execute(
        "SELECT body FROM invoice WHERE slug = ? AND bot_id = ?", (slug, bot_id)
    ).fetchone()
    return json.loads(row["body"]) if row else None
