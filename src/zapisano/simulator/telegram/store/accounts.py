"""People, bots, what bots say about themselves, and where their updates go."""

import json
import secrets
import sqlite3

from zapisano.simulator.telegram.model import Bot, Person, Webhook, new_token
from zapisano.simulator.telegram.store.database import LATIN, SEED

FIRST_PERSON_ID = 100200303
BOT_IDS = range(7_000_000_000, 8_000_000_000)
"""Ten digits, as new bots have them now."""


def people(database: sqlite3.Connection) -> list[Person]:
    """List everybody, the first comers first."""
    rows = database.execute(
        "SELECT id, first_name, last_name, username, language_code, phone FROM person ORDER BY id"
    )
    return [Person(**dict(row)) for row in rows]


def find_person(database: sqlite3.Connection, person_id: int) -> Person | None:
    """Find somebody by id."""
    row = database.execute(
        "SELECT id, first_name, last_name, username, language_code, phone FROM person WHERE id = ?",
        (person_id,),
    ).fetchone()
    return Person(**dict(row)) if row else None


def set_language(database: sqlite3.Connection, person_id: int, language_code: str) -> None:
    """Let a person's Telegram speak another language; the seeded people follow with their names."""
    database.execute("UPDATE person SET language_code = ? WHERE id = ?", (language_code, person_id))
    russian = {person: (first, last) for person, first, last, *_ in SEED}
    if name := (russian if language_code == "ru" else LATIN).get(person_id):
        database.execute(
            "UPDATE person SET first_name = ?, last_name = ? WHERE id = ?", (*name, person_id)
        )


def add_person(database: sqlite3.Connection, first_name: str, language_code: str) -> Person:
    """Let somebody in, with a telephone number made from the id."""
    (last,) = database.execute("SELECT coalesce(max(id), 0) FROM person").fetchone()
    number = max(last + 1, FIRST_PERSON_ID)
    phone = f"+7916{number % 10**7:07d}"
    person = Person(number, first_name, None, None, language_code, phone)
    database.execute(
        "INSERT INTO person (id, first_name, language_code, phone) VALUES (?, ?, ?, ?)",
        (person.id, person.first_name, person.language_code, person.phone),
    )
    return person


def bot_of(row: sqlite3.Row) -> Bot:
    """Read a bot's row."""
    return Bot(
        id=row["id"],
        username=row["username"],
        name=row["name"],
        token=row["token"],
        owner_id=row["owner_id"],
        manager_id=row["manager_id"],
        can_manage_bots=bool(row["can_manage_bots"]),
        restricted=bool(row["restricted"]),
        added_users=tuple(json.loads(row["added_users"])),
        allowed_updates=tuple(json.loads(row["allowed_updates"])),
    )


def bots(database: sqlite3.Connection) -> list[Bot]:
    """List every bot, the oldest first."""
    rows = database.execute(
        "SELECT id, username, name, token, owner_id, manager_id, can_manage_bots, restricted,"
        " added_users, allowed_updates FROM bot ORDER BY rowid"
    )
    return [bot_of(row) for row in rows]


def find_bot(database: sqlite3.Connection, bot_id: int) -> Bot | None:
    """Find a bot by its id."""
    row = database.execute(
        "SELECT id, username, name, token, owner_id, manager_id, can_manage_bots, restricted,"
        " added_users, allowed_updates FROM bot WHERE id = ?",
        (bot_id,),
    ).fetchone()
    return bot_of(row) if row else None


def find_bot_by_token(database: sqlite3.Connection, token: str) -> Bot | None:
    """Find the bot whose token this is now."""
    row = database.execute(
        "SELECT id, username, name, token, owner_id, manager_id, can_manage_bots, restricted,"
        " added_users, allowed_updates FROM bot WHERE token = ?",
        (token,),
    ).fetchone()
    return bot_of(row) if row else None


def is_taken(database: sqlite3.Connection, username: str) -> bool:
    """Tell whether a person or a bot has this name already."""
    row = database.execute(
        "SELECT 1 FROM bot WHERE username = :name UNION"
        " SELECT 1 FROM person WHERE username = :name COLLATE NOCASE",
        {"name": username},
    ).fetchone()
    return row is not None


def add_bot(
    database: sqlite3.Connection,
    *,
    username: str,
    name: str,
    owner_id: int,
    manager_id: int | None,
) -> Bot:
    """Make a bot with a fresh id and token; its first update gets a number like the real ones."""
    bot_id = secrets.choice(BOT_IDS)
    while find_bot(database, bot_id) is not None:
        bot_id = secrets.choice(BOT_IDS)
    token = new_token(bot_id)
    database.execute(
        "INSERT INTO bot (id, username, name, token, owner_id, manager_id, last_update_id)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (bot_id, username, name, token, owner_id, manager_id, first_update_id()),
    )
    return Bot(
        id=bot_id,
        username=username,
        name=name,
        token=token,
        owner_id=owner_id,
        manager_id=manager_id,
        can_manage_bots=False,
        restricted=False,
        added_users=(),
        allowed_updates=(),
    )


def first_update_id() -> int:
    """Choose where a bot's updates begin to count: "a certain positive number" in the real one."""
    return 100_000_000 + secrets.randbelow(800_000_000)


def ensure_manager(
    database: sqlite3.Connection, *, bot_id: int, username: str, name: str, token: str
) -> None:
    """See that the configured bot exists and may manage others.

    A token revoked here stays revoked: the configured one counts only when it has changed.
    """
    database.execute(
        "UPDATE bot SET username = 'former_' || id || '_bot' WHERE username = ? AND id <> ?",
        (username, bot_id),
    )
    database.execute(
        "INSERT INTO bot (id, username, name, token, can_manage_bots, last_update_id)"
        " VALUES (?, ?, ?, ?, 1, ?)"
        " ON CONFLICT (id) DO UPDATE SET username = excluded.username",
        (bot_id, username, name, token, first_update_id()),
    )
    row = database.execute("SELECT token FROM configured WHERE bot_id = ?", (bot_id,)).fetchone()
    if row is None or row["token"] != token:
        set_token(database, bot_id, token)
        database.execute(
            "INSERT INTO configured (bot_id, token) VALUES (?, ?)"
            " ON CONFLICT (bot_id) DO UPDATE SET token = excluded.token",
            (bot_id, token),
        )


def set_token(database: sqlite3.Connection, bot_id: int, token: str) -> None:
    """Replace a bot's token; the old one opens nothing from now on."""
    database.execute("UPDATE bot SET token = ? WHERE id = ?", (token, bot_id))


def set_management(database: sqlite3.Connection, bot_id: int, *, enabled: bool) -> None:
    """Turn BotFather's Bot Management Mode on or off."""
    database.execute("UPDATE bot SET can_manage_bots = ? WHERE id = ?", (enabled, bot_id))


def set_access(
    database: sqlite3.Connection, bot_id: int, *, restricted: bool, added_users: list[int]
) -> None:
    """Say who may use a bot besides its owner."""
    database.execute(
        "UPDATE bot SET restricted = ?, added_users = ? WHERE id = ?",
        (restricted, json.dumps(added_users), bot_id),
    )


def set_name(database: sqlite3.Connection, bot_id: int, name: str) -> None:
    """Rename a bot for everybody without a name in their own language."""
    database.execute("UPDATE bot SET name = ? WHERE id = ?", (name, bot_id))


def set_allowed_updates(database: sqlite3.Connection, bot_id: int, kinds: list[str]) -> None:
    """Keep which updates a bot wants; the wish stays until it is changed."""
    database.execute("UPDATE bot SET allowed_updates = ? WHERE id = ?", (json.dumps(kinds), bot_id))


def set_profile(
    database: sqlite3.Connection, bot_id: int, field: str, language_code: str, value: str
) -> None:
    """Keep one thing a bot says about itself in one language; an empty value forgets it."""
    if not value:
        database.execute(
            "DELETE FROM profile WHERE bot_id = ? AND field = ? AND language_code = ?",
            (bot_id, field, language_code),
        )
        return
    database.execute(
        "INSERT INTO profile (bot_id, field, language_code, value) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (bot_id, field, language_code) DO UPDATE SET value = excluded.value",
        (bot_id, field, language_code, value),
    )


def find_profile(
    database: sqlite3.Connection, bot_id: int, field: str, language_code: str
) -> str | None:
    """Read one thing a bot says about itself in exactly this language."""
    row = database.execute(
        "SELECT value FROM profile WHERE bot_id = ? AND field = ? AND language_code = ?",
        (bot_id, field, language_code),
    ).fetchone()
    return row["value"] if row else None


def find_webhook(database: sqlite3.Connection, bot_id: int) -> Webhook | None:
    """Find where a bot's updates are posted; nothing means long polling."""
    row = database.execute(
        "SELECT bot_id, url, secret_token, max_connections, last_error_at, last_error"
        " FROM webhook WHERE bot_id = ?",
        (bot_id,),
    ).fetchone()
    return Webhook(**dict(row)) if row else None


def set_webhook(
    database: sqlite3.Connection, bot_id: int, *, url: str, secret_token: str, max_connections: int
) -> None:
    """Post a bot's updates there from now on; earlier errors are forgotten."""
    database.execute(
        "INSERT OR REPLACE INTO webhook (bot_id, url, secret_token, max_connections)"
        " VALUES (?, ?, ?, ?)",
        (bot_id, url, secret_token, max_connections),
    )


def delete_webhook(database: sqlite3.Connection, bot_id: int) -> None:
    """Go back to long polling."""
    database.execute("DELETE FROM webhook WHERE bot_id = ?", (bot_id,))


def set_webhook_error(database: sqlite3.Connection, bot_id: int, at: int, error: str) -> None:
    """Remember why the last delivery failed, for getWebhookInfo."""
    database.execute(
        "UPDATE webhook SET last_error_at = ?, last_error = ? WHERE bot_id = ?", (at, error, bot_id)
    )
