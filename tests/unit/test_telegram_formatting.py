"""Telegram's HTML: read as Telegram reads it, shown without harm."""

import html
from html.parser import HTMLParser
from typing import Any

import pytest
from aiogram.types import MessageEntity
from aiogram.utils.text_decorations import html_decoration
from hypothesis import given
from hypothesis import strategies as st

from zapisano.simulator.telegram.errors import ApiError
from zapisano.simulator.telegram.formatting import (
    Formatted,
    detect,
    given_entities,
    parse_html,
    read_text,
)
from zapisano.simulator.telegram.rendering import render

HARMLESS = {
    *("b", "i", "u", "s", "code", "pre", "a", "br"),
    *("blockquote", "tg-spoiler", "tg-time"),
}
PLAIN = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
KINDS = ("bold", "italic", "underline", "strikethrough", "spoiler", "code", "blockquote")


def entity(kind: str, offset: int, length: int, **more: Any) -> dict[str, Any]:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("<b>а</b>б", "аб", [entity("bold", 0, 1)]),
        ("<b>а<i>б</i></b>", "аб", [entity("bold", 0, 2), entity("italic", 1, 1)]),
        ("💈<strong>x</strong>", "💈x", [entity("bold", 2, 1)]),
        ("&lt;b&gt; &amp; &quot;&#33;&nbsp;", '<b> & "!&nbsp;', []),
        (
            '<a href="https://x.ru/?a=1&amp;b=2">сайт</a>',
            "сайт",
            [entity("text_link", 0, 4, url="https://x.ru/?a=1&b=2")],
        ),
        ('<a href="javascript:x">сайт</a>', "сайт", []),
        ('<span class="tg-spoiler">т</span>', "т", [entity("spoiler", 0, 1)]),
        ("<tg-spoiler>т</tg-spoiler>", "т", [entity("spoiler", 0, 1)]),
        (
            "<blockquote expandable>ц</blockquote>",
            "ц",
            [entity("expandable_blockquote", 0, 1)],
        ),
        (
            '<pre><code class="language-sql">q</code></pre>',
            "q",
            [entity("pre", 0, 1, language="sql")],
        ),
        (
            '<tg-time unix="1771070400" format="wDT">14:00</tg-time>',
            "14:00",
            [entity("date_time", 0, 5, unix_time=1771070400, date_time_format="wDT")],
        ),
        (" \n<b> а </b>\n", "а", [entity("bold", 0, 1)]),
        ("<b></b>а", "а", []),
    ],
)
def test_html_is_read(source: str, text: str, entities: list[dict[str, Any]]) -> None:
    assert parse_html(source) == Formatted(text, tuple(entities))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>ю</i>", 'Unmatched end tag at byte offset 5, expected "</b>", found "</i>"'),
        ("ю<div>", 'Unsupported start tag "div" at byte offset 2'),
        ("1 < 2", "Unclosed start tag at byte offset 2"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Unsupported start tag "span" at byte offset 0'),
    ],
)
def test_wrong_html_is_refused_in_telegrams_words(source: str, reason: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse_html(source)
    assert refused.value.description == f"Bad Request: can't parse entities: {reason}"


@given(PLAIN)
def test_escaped_text_comes_back(text: str) -> None:
    assert parse_html(html.escape(text)) == Formatted(text.strip())


@given(
    PLAIN.filter(lambda text: text == text.strip() and len(text) > 2),
    st.lists(st.sampled_from(KINDS), unique=True, max_size=4),
)
def test_what_aiogram_writes_is_read_back(text: str, kinds: list[str]) -> None:
    size = len(text.encode("utf-16-le")) // 2
    whole = [MessageEntity(type=kind, offset=0, length=size) for kind in kinds]
    read = parse_html(html_decoration.unparse(text, whole))
    assert read.text == text
    assert {e["type"] for e in read.entities} == set(kinds)
    assert {(e["offset"], e["length"]) for e in read.entities} <= {(0, size)}


def test_links_commands_and_mentions_are_found_in_bare_text_only() -> None:
    text = "см. https://x.ru/a?b=1, /book и @salon_bot. a/b <code>/не</code>"
    found = read_text(text, "HTML", None)
    parts = {e["type"]: found.text[e["offset"] : e["offset"] + e["length"]] for e in found.entities}
    assert parts == {
        "url": "https://x.ru/a?b=1",
        "bot_command": "/book",
        "mention": "@salon_bot",
        "code": "/не",
    }
    assert detect(found) == found


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "blink", "offset": 0, "length": 1},
        {"type": "bold", "offset": 0, "length": 9},
        {"type": "bold", "offset": -1, "length": 1},
        {"type": "date_time", "offset": 0, "length": 1},
        "bold",
    ],
)
def test_wrong_entities_are_refused(wrong: object) -> None:
    with pytest.raises(ApiError, match="can't parse entities"):
        given_entities("текст", [wrong])


class Tags(HTMLParser):
    """Collects the tags and the addresses of a page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name == "href"]
        if tag == "br":
            self.text += "\n"
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


ENTITIES = st.builds(
    entity,
    st.sampled_from([*KINDS, "pre", "url", "mention", "text_link", "custom_emoji"]),
    st.integers(0, 12),
    st.integers(1, 12),
    url=st.sampled_from(["https://x.ru/?a=<&b", "javascript:alert(1)", 'http://x"onclick="y']),
)


@given(st.text(st.sampled_from("<>&\"'аb/\n@💈"), min_size=24, max_size=30), st.lists(ENTITIES))
def test_nothing_harmful_is_ever_rendered(text: str, entities: list[dict[str, Any]]) -> None:
    page = Tags(render(text, entities))
    assert page.open == []
    assert page.seen <= HARMLESS
    assert page.text == text
    assert all(url.startswith(("https://", "http://")) for url in page.addresses)


def test_blocks_stay_whole_around_what_they_hold() -> None:
    read = parse_html("<blockquote>а <b>б</b>\nв</blockquote>")
    assert render(read.text, read.entities) == "<blockquote>а <b>б</b><br>в</blockquote>"
