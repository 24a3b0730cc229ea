"""The pages over HTTP: what is served, what may be framed, and the story across restarts."""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from pages_fixtures import TOKEN, Product, running_simulator, sale

DEADLINE_SECONDS = 15.0
Told = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator without a product."""
    with running_simulator(tmp_path_factory.mktemp("simulator")) as url:
        yield url


@pytest.fixture
async def web(address: str) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/phone"])
async def test_a_page_brings_everything_from_its_own_address(
    web: httpx.AsyncClient, path: str
) -> None:
    answer = await web.get(path)
    assert answer.status_code == 200
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    files = re.findall(r'(?:href|src)="(/static/[^"#]+)', answer.text)
    assert {Path(name).suffix for name in files} == {".css", ".js", ".svg"}
    for name in files:
        assert (await web.get(name)).status_code == 200, name
    assert "http://" not in answer.text
    assert "https://" not in answer.text


async def test_every_module_that_a_module_imports_is_there(web: httpx.AsyncClient) -> None:
    waiting, seen = {"demo.js", "phone_page.js", "link.js", "streams_worker.js"}, set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        answer = await web.get(f"/static/{name}")
        assert answer.status_code == 200, name
        assert "javascript" in answer.headers["content-type"]
        waiting |= set(re.findall(r'from "\./([\w.]+)"', answer.text)) - seen
    assert "story.js" in seen


@pytest.mark.parametrize("path", ["nothing.js", "..%2f__init__.py", "%2e%2e/__init__.py"])
async def test_only_static_files_are_static(web: httpx.AsyncClient, path: str) -> None:
    assert (await web.get(f"/static/{path}")).status_code == 404


async def test_a_page_that_forbids_frames_opens_outside(web: httpx.AsyncClient) -> None:
    async def allowed(url: str) -> bool:
        answer = await web.get("/phone/framing", params={"url": url})
        return bool(answer.json()["allowed"])

    assert await allowed(f"{web.base_url}/static/logo.svg")
    assert await allowed(f"{web.base_url}/phone")  # its policy allows itself
    assert not await allowed("https://example.com/")
    assert not await allowed("http://[broken")


def up(product: Product) -> Told:
    return ("link", {"up": True, "reason": "", "journal": product.journal})


def down(reason: str) -> Told:
    return ("link", {"up": False, "reason": reason, "journal": ""})


async def follow(
    client: httpx.AsyncClient, after: int | None = None, path: str = "/story"
) -> AsyncIterator[Told]:
    """Yield (event name, data) of the story stream."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with client.stream("GET", path, headers=headers, timeout=DEADLINE_SECONDS) as answer:
        name = "message"
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))
                name = "message"


async def test_without_a_product_the_story_says_so_and_ends(web: httpx.AsyncClient) -> None:
    told = [one async for one in follow(web)]
    assert told == [down("not_configured")]


@contextlib.asynccontextmanager
async def beside(
    product: Product, folder: Path, token: str = TOKEN
) -> AsyncGenerator[httpx.AsyncClient]:
    """A simulator that tells this product's story."""
    with running_simulator(folder, STORY_URL=product.url, STORY_TOKEN=token) as url:
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            yield client


async def test_the_story_goes_on_after_the_product_was_away(tmp_path: Path) -> None:
    product = Product()
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        beside(product, tmp_path) as client,
    ):
        story = follow(client)
        assert await anext(story) == down("unreachable")
        events = sale()
        await product.tell(*events[:3])
        async with product.running():
            await until(story, up(product))
            assert [await anext(story) for _ in range(3)] == [
                ("message", one) for one in events[:3]
            ]
            await product.tell(events[3])
            assert await anext(story) == ("message", events[3])
        await until(story, down("unreachable"))
        await product.tell(events[4])
        async with product.running():
            await until(story, up(product))
            assert await anext(story) == ("message", events[4])  # nothing twice, nothing left out
    assert product.asked[0] == ("0", None)
    assert product.asked[-1] == ("4", "4")


async def test_a_browser_that_comes_back_is_told_only_what_it_missed(tmp_path: Path) -> None:
    product = Product(events=list(sale()))
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        product.running(),
        beside(product, tmp_path) as client,
    ):
        story = follow(client, after=7)
        await until(story, ("message", product.events[-1]))
    assert product.asked == [("7", "7")]


async def test_a_page_begins_after_what_it_knows_and_goes_on_from_there(tmp_path: Path) -> None:
    """The address stays what it was when the browser connects once more: its header is newer."""
    product = Product(events=list(sale()))
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        product.running(),
        beside(product, tmp_path) as client,
    ):
        await until(follow(client, path="/story?after=7"), ("message", product.events[-1]))
        await product.tell({**product.events[-1], "id": 9})
        await until(follow(client, 8, "/story?after=7"), ("message", product.events[-1]))
    assert product.asked == [("7", "7"), ("8", "8")]


async def test_a_refused_token_is_told_with_its_status(tmp_path: Path) -> None:
    product = Product()
    async with (
        asyncio.timeout(DEADLINE_SECONDS),
        product.running(),
        beside(product, tmp_path, token="another") as client,
    ):
        assert await anext(follow(client)) == down("status_401")


async def test_a_stream_ends_when_its_reader_has_left(tmp_path: Path) -> None:
    """A page that closes leaves nothing open here: neither its own connection nor the product's."""
    product = Product()
    async with asyncio.timeout(DEADLINE_SECONDS), product.running():
        with running_simulator(tmp_path, STORY_URL=product.url, STORY_TOKEN=TOKEN) as url:
            ports = (httpx.URL(url).port, product.port)
            for path in ("/story", "/telegram/events") * 3:
                async with (
                    httpx.AsyncClient(base_url=url, trust_env=False) as client,
                    client.stream("GET", path) as answer,
                ):
                    await anext(answer.aiter_lines())
                    assert open_connections(ports)
            while open_connections(ports):  # noqa: ASYNC110 - nothing else tells of sockets
                await asyncio.sleep(0.05)


def open_connections(ports: tuple[int | None, ...]) -> set[str]:
    """States of the connections that our simulators hold at these ports."""
    return {
        connection.status
        for process in psutil.Process().children()
        for connection in process.net_connections("tcp")
        if connection.status != psutil.CONN_LISTEN
        and ({connection.laddr.port, connection.raddr and connection.raddr.port} & {*ports})
    }


async def until(story: AsyncIterator[Told], wanted: Told) -> None:
    """Read on until `wanted`; only news of the connection may come before it."""
    async for told in story:
        if told == wanted:
            return
        assert told[0] == "link", told
    raise AssertionError("the story ended")
