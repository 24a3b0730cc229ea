"""The simulated YooKassa's memory: one SQLite file that survives restarts and SIGKILL."""

import json
import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from zapisano.simulator.yookassa.faults import Fault
from zapisano.simulator.yookassa.model import IDEMPOTENCE_KEPT, Method, Payment, Refund, Webhook

PAYMENT: TypeAdapter[Payment] = TypeAdapter(Payment)
REFUND: TypeAdapter[Refund] = TypeAdapter(Refund)
METHOD: TypeAdapter[Method] = TypeAdapter(Method)
FAULT: TypeAdapter[Fault] = TypeAdapter(Fault)
T = TypeVar("T")
LOG_KEPT = 10_000

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS payments (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL,
    method TEXT, created_ms INTEGER NOT NULL, captured_ms INTEGER, deadline_ms INTEGER,
    document TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS payments_deadline ON payments (deadline_ms)
    WHERE deadline_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS refunds (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, payment_id TEXT NOT NULL,
    status TEXT NOT NULL, created_ms INTEGER NOT NULL, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS methods (id TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS webhooks (id TEXT PRIMARY KEY, event TEXT NOT NULL, url TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, body TEXT NOT NULL,
    at_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, object_id TEXT NOT NULL,
    url TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, first_ms INTEGER NOT NULL,
    due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, last_answer TEXT,
    held INTEGER NOT NULL DEFAULT 0, fault TEXT);
CREATE INDEX IF NOT EXISTS notifications_due ON notifications (due) WHERE state = 'waiting';
CREATE TABLE IF NOT EXISTS calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, method TEXT NOT NULL,
    path TEXT NOT NULL, status INTEGER, key TEXT, body TEXT, fault TEXT);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, document TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Notification:
    """A message on its way to the shop; `due` is in the machine's own seconds."""

    id: int
    event: str
    object_id: str
    url: str
    body: str
    first_at: datetime
    attempts: int
    fault: str | None


@dataclass(frozen=True)
class Listing:
    """Filters of a list; instants in milliseconds, both ends inclusive."""

    created_from: int | None = None
    created_to: int | None = None
    captured_from: int | None = None
    captured_to: int | None = None
    status: str | None = None
    method: str | None = None
    payment_id: str | None = None
    before: int | None = None
    limit: int = 10


def milliseconds(at: datetime | None) -> int | None:
    """An instant as a whole number of milliseconds, as exact as the API shows it."""
    return (
        None if at is None else (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    )


class Store:
    """Every statement of the simulated YooKassa; one connection, one thread."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All of it or nothing; an inner transaction joins the outer one."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:  # raised again
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _one(self, kind: TypeAdapter[T], sql: str, *arguments: object) -> T | None:
        row = self._db.execute(sql, arguments).fetchone()
        return None if row is None else kind.validate_json(row["document"])

    def _many(self, kind: TypeAdapter[T], sql: str, *arguments: object) -> list[T]:
        return [kind.validate_json(row["document"]) for row in self._db.execute(sql, arguments)]

    # the clock and other settings

    def setting(self, name: str, default: str) -> str:
        """A remembered setting."""
        row = self._db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return default if row is None else str(row["value"])

    def remember(self, name: str, value: str) -> None:
        """Keep a setting."""
        self._db.execute(
            "INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", (name, value)
        )

    def now(self) -> datetime:
        """The service's time: the machine's, moved by what control/clock added."""
        offset = timedelta(seconds=float(self.setting("clock_offset", "0")))
        at = datetime.now(UTC) + offset
        return at.replace(microsecond=at.microsecond // 1000 * 1000)

    # payments

    def save_payment(self, payment: Payment) -> None:
        """Insert or replace; the place in the list stays."""
        self._db.execute(
            "INSERT INTO payments (id, status, method, created_ms, captured_ms, deadline_ms,"
            " document) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " status = excluded.status, method = excluded.method,"
            " captured_ms = excluded.captured_ms, deadline_ms = excluded.deadline_ms,"
            " document = excluded.document",
            (
                payment.id,
                payment.status,
                payment.method.type if payment.method else payment.wanted_method,
                milliseconds(payment.created_at),
                milliseconds(payment.captured_at),
                milliseconds(payment.deadline_at),
                PAYMENT.dump_json(payment).decode(),
            ),
        )

    def find_payment(self, payment_id: str) -> Payment | None:
        """A payment by id."""
        return self._one(PAYMENT, "SELECT document FROM payments WHERE id = ?", payment_id)

    def overdue_payments(self, now: datetime) -> list[Payment]:
        """Payments that the clock has overtaken, oldest deadline first."""
        return self._many(
            PAYMENT,
            "SELECT document FROM payments WHERE deadline_ms <= ? ORDER BY deadline_ms, seq",
            milliseconds(now),
        )

    def list_payments(self, wanted: Listing) -> list[Payment]:
        """Newest first, at most `limit`."""
        return self._many(
            PAYMENT,
            "SELECT document FROM payments WHERE (?1 IS NULL OR created_ms >= ?1)"
            " AND (?2 IS NULL OR created_ms <= ?2) AND (?3 IS NULL OR captured_ms >= ?3)"
            " AND (?4 IS NULL OR captured_ms <= ?4) AND (?5 IS NULL OR status = ?5)"
            " AND (?6 IS NULL OR method = ?6) AND (?7 IS NULL OR seq < ?7)"
            " ORDER BY seq DESC LIMIT ?8",
            wanted.created_from,
            wanted.created_to,
            wanted.captured_from,
            wanted.captured_to,
            wanted.status,
            wanted.method,
            wanted.before,
            wanted.limit,
        )

    def place_of_payment(self, payment_id: str) -> int | None:
        """Where a payment stands in the list; None when unknown."""
        row = self._db.execute("SELECT seq FROM payments WHERE id = ?", (payment_id,)).fetchone()
        return None if row is None else int(row["seq"])

    # refunds

    def save_refund(self, refund: Refund) -> None:
        """Insert or replace."""
        self._db.execute(
            "INSERT INTO refunds (id, payment_id, status, created_ms, document)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
            " status = excluded.status, document = excluded.document",
            (
                refund.id,
                refund.payment_id,
                refund.status,
                milliseconds(refund.created_at),
                REFUND.dump_json(refund).decode(),
            ),
        )

    def find_refund(self, refund_id: str) -> Refund | None:
        """A refund by id."""
        return self._one(REFUND, "SELECT document FROM refunds WHERE id = ?", refund_id)

    def list_refunds(self, wanted: Listing) -> list[Refund]:
        """Newest first, at most `limit`."""
        return self._many(
            REFUND,
            "SELECT document FROM refunds WHERE (?1 IS NULL OR created_ms >= ?1)"
            " AND (?2 IS NULL OR created_ms <= ?2) AND (?3 IS NULL OR payment_id = ?3)"
            " AND (?4 IS NULL OR status = ?4) AND (?5 IS NULL OR seq < ?5)"
            " ORDER BY seq DESC LIMIT ?6",
            wanted.created_from,
            wanted.created_to,
            wanted.payment_id,
            wanted.status,
            wanted.before,
            wanted.limit,
        )

    def place_of_refund(self, refund_id: str) -> int | None:
        """Where a refund stands in the list; None when unknown."""
        row = self._db.execute("SELECT seq FROM refunds WHERE id = ?", (refund_id,)).fetchone()
        return None if row is None else int(row["seq"])

    # saved methods and webhooks

    def save_method(self, method: Method) -> None:
        """Insert or replace."""
        self._db.execute(
            "INSERT OR REPLACE INTO methods (id, document) VALUES (?, ?)",
            (method.id, METHOD.dump_json(method).decode()),
        )

    def find_method(self, method_id: str) -> Method | None:
        """A saved or pending method by id."""
        return self._one(METHOD, "SELECT document FROM methods WHERE id = ?", method_id)

    def save_webhook(self, webhook: Webhook) -> None:
        """Insert; the id is new."""
        self._db.execute(
            "INSERT INTO webhooks (id, event, url) VALUES (?, ?, ?)",
            (webhook.id, webhook.event, webhook.url),
        )

    def list_webhooks(self) -> list[Webhook]:
        """All registered webhooks, oldest first."""
        rows = self._db.execute("SELECT id, event, url FROM webhooks ORDER BY rowid")
        return [Webhook(row["id"], row["event"], row["url"]) for row in rows]

    def delete_webhook(self, webhook_id: str) -> bool:
        """Was there such a webhook? There is none now."""
        deleted = self._db.execute("DELETE FROM webhooks WHERE id = ?", (webhook_id,))
        return deleted.rowcount > 0

    # answers kept for repeated keys

    def find_answer(self, key: str, now: datetime) -> tuple[str, int, str] | None:
        """(fingerprint, status, body) of the first answer, for 24 hours."""
        oldest = milliseconds(now - IDEMPOTENCE_KEPT)
        self._db.execute("DELETE FROM answers WHERE at_ms <= ?", (oldest,))
        row = self._db.execute(
            "SELECT fingerprint, status, body FROM answers WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else (row["fingerprint"], row["status"], row["body"])

    def keep_answer(self, key: str, fingerprint: str, status: int, body: str, at: datetime) -> None:
        """Remember the first answer to a key."""
        self._db.execute(
            "INSERT INTO answers (key, fingerprint, status, body, at_ms) VALUES (?, ?, ?, ?, ?)",
            (key, fingerprint, status, body, milliseconds(at)),
        )

    # notifications

    def enqueue(
        self,
        event: str,
        object_id: str,
        url: str,
        body: str,
        *,
        first_at: datetime,
        wait_seconds: float = 0.0,
        state: str = "waiting",
        held: bool = False,
        fault: str | None = None,
    ) -> None:
        """Put a notification on its way."""
        self._db.execute(
            "INSERT INTO notifications (event, object_id, url, body, state, first_ms, due, held,"
            " fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                event,
                object_id,
                url,
                body,
                state,
                milliseconds(first_at),
                time.time() + wait_seconds,
                held,
                fault,
            ),
        )

    def due_notifications(self, limit: int) -> list[Notification]:
        """What should be sent now, oldest first."""
        rows = self._db.execute(
            "SELECT id, event, object_id, url, body, first_ms, attempts, fault FROM notifications"
            " WHERE state = 'waiting' AND due <= ? ORDER BY id LIMIT ?",
            (time.time(), limit),
        )
        return [
            Notification(
                id=row["id"],
                event=row["event"],
                object_id=row["object_id"],
                url=row["url"],
                body=row["body"],
                first_at=datetime.fromtimestamp(row["first_ms"] / 1000, UTC),
                attempts=row["attempts"],
                fault=row["fault"],
            )
            for row in rows
        ]

    def record_attempt(
        self, notification_id: int, answer: str, state: str, wait_seconds: float
    ) -> None:
        """What came of one attempt; `waiting` means that another follows."""
        self._db.execute(
            "UPDATE notifications SET attempts = attempts + 1, last_answer = ?, state = ?, due = ?"
            " WHERE id = ?",
            (answer, state, time.time() + wait_seconds, notification_id),
        )

    def let_held_go(self, before_id: int) -> None:
        """A later notification has arrived: the ones held back for it may go."""
        self._db.execute(
            "UPDATE notifications SET held = 0, due = ? WHERE held = 1 AND id < ?",
            (time.time(), before_id),
        )

    # the log

    def log_call(self, method: str, path: str, key: str | None, body: str) -> int:
        """Note a request as it arrives; the oldest notes go."""
        cursor = self._db.execute(
            "INSERT INTO calls (at, method, path, key, body) VALUES (?, ?, ?, ?, ?)",
            (self.now().isoformat(), method, path, key, body),
        )
        self._db.execute("DELETE FROM calls WHERE id <= ?", ((cursor.lastrowid or 0) - LOG_KEPT,))
        return cursor.lastrowid or 0

    def log_answer(self, call_id: int, status: int | None, fault: str | None) -> None:
        """Note how a request was answered; no status means that the connection was reset."""
        self._db.execute(
            "UPDATE calls SET status = ?, fault = ? WHERE id = ?", (status, fault, call_id)
        )

    def log(self) -> dict[str, list[dict[str, Any]]]:
        """Calls and notifications, oldest first."""
        calls = self._db.execute(
            "SELECT id, at, method, path, status, key, body, fault FROM calls ORDER BY id"
        )
        notifications = self._db.execute(
            "SELECT id, event, object_id, url, state, attempts, last_answer, fault, body"
            " FROM notifications ORDER BY id"
        )
        return {
            "calls": [dict(row) for row in calls],
            "notifications": [
                {**dict(row), "body": json.loads(row["body"])} for row in notifications
            ],
        }

    # knobs

    def add_fault(self, fault: Fault) -> None:
        """Turn a knob."""
        self._db.execute(
            "INSERT INTO faults (kind, document) VALUES (?, ?)",
            (fault.kind, FAULT.dump_json(fault).decode()),
        )

    def faults(self, kinds: Sequence[str] = ()) -> list[tuple[int, Fault]]:
        """The knobs that are turned, oldest first; of some kinds only, if any are named."""
        rows = self._db.execute("SELECT id, document FROM faults ORDER BY id")
        found = [(int(row["id"]), FAULT.validate_json(row["document"])) for row in rows]
        return [(at, fault) for at, fault in found if not kinds or fault.kind in kinds]

    def update_fault(self, fault_id: int, fault: Fault) -> None:
        """Keep what is left of a knob; a spent one goes."""
        if fault.spent:
            self._db.execute("DELETE FROM faults WHERE id = ?", (fault_id,))
        else:
            self._db.execute(
                "UPDATE faults SET document = ? WHERE id = ?",
                (FAULT.dump_json(fault).decode(), fault_id),
            )

    def clear_faults(self) -> None:
        """Turn every knob back."""
        self._db.execute("DELETE FROM faults")
