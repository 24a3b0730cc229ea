"""`/api/billing/transactions`: an account's history, by pages or as a file."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from zapisano.credits import export, history
from zapisano.credits.entry import Filter, Kind, Place
from zapisano.credits.export import Form
from zapisano.credits.keys import Scope
from zapisano.credits.model import Account
from zapisano.db import Database
from zapisano.web.billing.account import Email, ledger_of
from zapisano.web.billing.caller import OF_USERS, AnyCaller
from zapisano.web.billing.documents import READING, answer
from zapisano.web.plain import plain

SHOWN = {
    "id": 2,
    "kind": "charge",
    "amount": -5.5,
    "balanceAfter": 94.5,
    "operation": "Анализ ЭКГ",
    "metadata": {"model": "anthropic/claude-opus-4.6", "tokens": {"input": 1000, "output": 500}},
    "createdAt": "2026-11-23T12:00:00.000000Z",
    "hold": None,
    "refers": None,
    "transaction": 1,
}


def _is_written(text: object) -> object:
    """Refuse a bare number: it would be taken for seconds since 1970, and is meant for a year."""
    if isinstance(text, str) and not re.match(r"\d{4}-\d\d-\d\d", text):
        raise PydanticCustomError("instant", "must be written as 2026-11-23T00:00:00Z")
    return text


Instant = Annotated[AwareDatetime, BeforeValidator(_is_written)]


class Asked(BaseModel):
    """What of the history is asked for."""

    model_config = ConfigDict(extra="forbid")

    email: Email = None
    kind: list[Kind] = Field([], max_length=len(Kind), description="Only these")
    since: Instant | None = Field(None, description="From this instant on, RFC 3339")
    until: Instant | None = Field(None, description="Before this instant")
    operation: str = Field(
        "", max_length=200, description="Part of the operation's text, in any case"
    )
    cursor: str | None = Field(None, max_length=64, description="nextCursor of the page before")
    limit: int = Field(history.DEFAULT_LIMIT, ge=1, le=history.LARGEST_LIMIT)
    format: Literal["json", "csv", "jsonl"] = Field(
        "json", description="csv and jsonl bring the whole history as a file"
    )


router = APIRouter(prefix="/api/billing", tags=["Credits"], dependencies=OF_USERS)


HISTORY = answer(
    200, "Newest first", {"success": True, "transactions": [SHOWN], "nextCursor": None}
)
HISTORY[200]["content"] |= {
    kind: {"schema": {"type": "string"}} for kind in ("text/csv", "application/x-ndjson")
}


@router.get("/transactions", summary="The history", responses={
    **HISTORY,
    **READING,
})  # fmt: skip
async def transactions(
    request: Request, caller: AnyCaller, asked: Annotated[Asked, Query()]
) -> Response:
    """Show what has happened to the account: charges, top-ups, holds, refunds, grants.

    A page that is narrowed may be short and have another after it: go on while there is a
    `nextCursor`.
    """
    account = await ledger_of(request).account(caller.account(asked.email, Scope.READ))
    where = Filter.of(asked.kind, asked.since, asked.until, asked.operation)
    database: Database = request.app.state.database
    if asked.format != "json":
        return _file(database, account, where, Form(asked.format))
    after = None if asked.cursor is None else Place.of(asked.cursor)
    async with database.statements() as conn:
        page = await history.page(conn, account, where=where, after=after, limit=asked.limit)
    return plain(
        {
            "success": True,
            "transactions": [export.as_json(entry) for entry in page.entries],
            "nextCursor": page.next_cursor,
        }
    )


def _file(database: Database, account: Account, where: Filter, form: Form) -> Response:
    lines: AsyncIterator[str] = export.text(history.stream(database, account, where), form)
    disposition = f'attachment; filename="transactions.{form}"'
    return StreamingResponse(
        lines, media_type=form.content_type, headers={"Content-Disposition": disposition}
    )
