"""The journal as server-sent events: replayed, then followed."""

from collections.abc import AsyncGenerator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from pydantic_core import to_json

from zapisano.journal import Event
from zapisano.web.auth import operator_only
from zapisano.web.feed import Feed
from zapisano.web.master import EVERYWHERE, WRONG

KEEP_ALIVE = b": still here\n\n"
LARGEST_ID = 2**63 - 1
EXAMPLE = (
    'id: 42\ndata: {"id":42,"at":"2026-11-22T12:00:00Z","kind":"tenant.awaiting_bot",'
    '"tenant":"client_001","subject":"client_001","data":{"tenant_id":"client_001"}}\n\n'
)

router = APIRouter(prefix="/api", tags=["Events"], dependencies=[Depends(operator_only)])


@router.get(
    "/events",
    summary="Follow what happens",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events for ever; a comment each 10 s while nothing happens",
            "content": {"text/event-stream": {"example": EXAMPLE}},
            "headers": {
                "Journal": {
                    "description": "Which journal it is: ids of another one mean other events",
                    "schema": {"type": "string"},
                }
            },
        },
        **EVERYWHERE,
        **WRONG,
    },
)
async def events(
    request: Request,
    after: Annotated[
        int, Query(ge=0, le=LARGEST_ID, description="Begin after this id; 0 is from the start")
    ] = 0,
    last_event_id: Annotated[
        str | None, Header(pattern=r"^[0-9]{1,18}$", description="Stronger than `after`")
    ] = None,
) -> StreamingResponse:
    """Replay the journal after an id, then follow it. Ids may come out of order, none twice."""
    feed: Feed = request.app.state.feed
    await feed.ready()
    start = int(last_event_id) if last_event_id else after
    return StreamingResponse(
        _stream(feed, start),
        media_type="text/event-stream",
        headers={
            "Cache-Control": "no-store",
            "Journal": feed.journal,
            "X-Accel-Buffering": "no",
        },
    )


async def _stream(feed: Feed, after: int) -> AsyncGenerator[bytes]:
    yield b": hello\n\n"
    async for event in feed.follow(after):
        yield _written(event) if event else KEEP_ALIVE


def _written(event: Event) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (event.id, to_json(event))
