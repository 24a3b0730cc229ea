"""The pages people see: the demo (a phone and the story behind it) and the phone alone."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from zapisano.simulator.config import Config
from zapisano.simulator.pages.framing import may_be_framed
from zapisano.simulator.pages.story import TIMEOUT, StoryFeed
from zapisano.simulator.part import Part

HERE = Path(__file__).parent
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    # The in-phone browser may show any page; everything else comes from this program alone.
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; frame-src http: https:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


class Pages:
    """Templates and static files of the two pages."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._static = StaticFiles(directory=HERE / "static")
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
        )

    def page(self, name: str) -> HTMLResponse:
        """Render one page; its first chat is the sales bot's."""
        template = self._templates.get_template(name)
        config = self._config
        text = template.render(
            sales_bot=config.sales_bot_username, sales_bot_name=config.sales_bot_name
        )
        return HTMLResponse(text, headers=PAGE_HEADERS)

    async def static(self, path: str, request: Request) -> Response:
        """Serve a file of the static folder, or 404; a browser asks again on every visit."""
        response = await self._static.get_response(path, request.scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def create(config: Config) -> Part:
    """Routes of the pages, and the one HTTP client they share."""
    # Only the person's own machine is asked, so a proxy from the environment must not step in.
    client = httpx.AsyncClient(timeout=TIMEOUT, trust_env=False)

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with client:
            yield

    feed = StoryFeed(client, config.story_url, config.story_token)
    return Part(_router(config, feed, client), lifespan, feed.stop)


def _router(config: Config, feed: StoryFeed, client: httpx.AsyncClient) -> APIRouter:
    pages = Pages(config)
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def demo() -> HTMLResponse:
        return pages.page("demo.html")

    @router.get("/phone")
    async def phone() -> HTMLResponse:
        return pages.page("phone.html")

    # Where the product is told to point its t.me links, a page inside the phone can come back.
    @router.get("/t/{link:path}")
    async def telegram_link(link: str) -> HTMLResponse:  # read by the page's script
        del link
        return pages.page("link.html")

    @router.get("/static/{path:path}")
    async def static(path: str, request: Request) -> Response:
        return await pages.static(path, request)

    @router.get("/phone/framing")
    async def framing(url: str) -> dict[str, bool]:
        return {"allowed": await may_be_framed(client, url, own_port=config.port)}

    @router.get("/story")
    async def story(request: Request, after: int = 0) -> StreamingResponse:
        last = request.headers.get("last-event-id", "")
        stream = feed.events(int(last) if last.isdecimal() else after)
        return StreamingResponse(stream, media_type="text/event-stream", headers=STREAM_HEADERS)

    return router
