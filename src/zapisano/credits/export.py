"""Histories as text that other programs read: JSON, JSON lines, CSV. Pure.

Numbers are exact decimals: `50.00` stays `50.00`. In CSV a text that a spreadsheet would take for a
formula gets an apostrophe before it (OWASP, "CSV Injection"); numbers stay as they are.
"""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum

import simplejson

from zapisano.credits.entry import Entry

FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    "email",
    "id",
    "kind",
    "amount",
    "balanceAfter",
    "operation",
    "metadata",
    "createdAt",
    "hold",
    "refers",
    "transaction",
)


class Form(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"

    @property
    def content_type(self) -> str:
        """Its name in HTTP."""
        return "text/csv; charset=utf-8" if self is Form.CSV else "application/x-ndjson"


def as_json(entry: Entry) -> dict[str, object]:
    """Return a line of a history as the API shows it, for `simplejson.dumps(…, use_decimal=True)`.

    `metadata` goes as it is kept, letter for letter. A sum that is no number, as a row of the
    original system may have, is null.
    """
    return {
        "id": entry.movement,
        "kind": entry.kind.value,
        "amount": _number(entry.amount),
        "balanceAfter": _number(entry.balance_after),
        "operation": entry.operation,
        "metadata": None if entry.metadata is None else simplejson.RawJSON(entry.metadata),
        "createdAt": None if entry.created_at is None else written(entry.created_at),
        "hold": None if entry.hold is None else str(entry.hold),
        "refers": entry.refers,
        "transaction": entry.transaction,
    }


def written(instant: datetime) -> str:
    """Return an instant as RFC 3339 has it, in UTC."""
    return f"{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _number(number: Decimal) -> Decimal | None:
    return number if number.is_finite() else None


async def text(batches: AsyncIterator[list[Entry]], form: Form) -> AsyncGenerator[str]:
    """Write a history, batch by batch; CSV begins with the columns' names."""
    if form is Form.CSV:
        yield _csv([COLUMNS])
    async for batch in batches:
        yield json_lines(batch) if form is Form.JSONL else csv_lines(batch)


def json_lines(entries: Iterable[Entry]) -> str:
    """Return an object a line, with the account's address."""
    return "".join(
        simplejson.dumps({"email": entry.email, **as_json(entry)}, use_decimal=True) + "\n"
        for entry in entries
    )


def csv_lines(entries: Iterable[Entry]) -> str:
    """Return a line each, as RFC 4180 has it, without the columns' names."""
    return _csv([_cells(entry) for entry in entries])


def _csv(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _cells(entry: Entry) -> list[str]:
    numbers = {"id", "amount", "balanceAfter", "refers", "transaction"}
    shown = {**as_json(entry), "email": entry.email, "metadata": entry.metadata}
    return [_cell(shown[name], is_number=name in numbers) for name in COLUMNS]


def _cell(value: object, *, is_number: bool) -> str:
    cell = "" if value is None else str(value)
    return f"'{cell}" if cell.startswith(FORMULA) and not is_number else cell
