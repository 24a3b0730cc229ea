"""Telegram's HTML into text and entities (core.telegram.org/bots/api#html-style).

Offsets and lengths are counted in UTF-16 code units, error positions in bytes of UTF-8.
"""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from zapisano.simulator.telegram.errors import ApiError, bad_request
from zapisano.simulator.telegram.model import Json

SIMPLE_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "code": "code",
    "pre": "pre",
    "tg-spoiler": "spoiler",
}
TAGS = {*SIMPLE_TAGS, "a", "span", "blockquote", "tg-time", "tg-emoji"}
OPENING = re.compile(r"<(?P<name>[^\s>]*)(?P<attributes>(?:[^>\"']|\"[^\"]*\"|'[^']*')*)>")
CLOSING = re.compile(r"</(?P<name>[^\s>]*)\s*>")
ATTRIBUTE = re.compile(
    r"(?P<name>[^\s=>/\"']+)(?:\s*=\s*(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>\S+)))?"
)
CHARACTER = re.compile(r"&(?:lt|gt|amp|quot|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
DETECTED = re.compile(
    r"(?P<url>https?://[^\s<>\"«»]*[^\s<>\"«».,:;!?)])"
    r"|(?<![\w/@])(?P<bot_command>/[a-zA-Z0-9_]{1,64}(?:@\w{3,32})?)(?![\w/])"
    r"|(?<![\w@])(?P<mention>@[a-zA-Z]\w{3,31})\b"
)
KNOWN_ENTITIES = {
    *SIMPLE_TAGS.values(),
    *("mention", "hashtag", "cashtag", "bot_command", "url", "email", "phone_number"),
    *("blockquote", "expandable_blockquote", "text_link", "text_mention"),
    *("custom_emoji", "date_time"),
}
LATEST_MOMENT = 2**35
LINK_SCHEMES = ("http://", "https://", "tg://", "mailto:", "tel:")


@dataclass(frozen=True)
class Formatted:
    """Plain text and what is special about parts of it."""

    text: str
    entities: tuple[Json, ...] = ()


@dataclass
class OpenTag:
    """A tag that waits for its end."""

    name: str
    attributes: dict[str, str]
    offset: int


@dataclass
class Reading:
    """The text read so far, and the tags open around the place of reading."""

    parts: list[str] = field(default_factory=list[str])
    length: int = 0
    open: list[OpenTag] = field(default_factory=list[OpenTag])
    entities: list[Json] = field(default_factory=list[Json])

    def add(self, text: str) -> None:
        """Take plain text over."""
        self.parts.append(text)
        self.length += units(text)


def units(text: str) -> int:
    """Count UTF-16 code units, the Bot API's measure of length."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cannot_parse(reason: str) -> ApiError:
    """Refuse a text whose formatting is wrong, in the real one's words."""
    return bad_request(f"can't parse entities: {reason}")


def parse_html(source: str) -> Formatted:
    """Read a text in Telegram's HTML.

    Raises:
        ApiError: a tag is unknown, unclosed or closed in the wrong order.
    """
    reading = Reading()
    position = 0
    while position < len(source):
        if source[position] == "<":
            position = read_tag(reading, source, position)
        elif match := CHARACTER.match(source, position):
            reading.add(html.unescape(match.group()))
            position = match.end()
        else:
            end = next_special(source, position + 1)
            reading.add(source[position:end])
            position = end
    if reading.open:
        name = reading.open[-1].name
        raise cannot_parse(f'Can\'t find end tag corresponding to start tag "{name}"')
    entities = tuple(join_code_blocks(reading.entities))
    return trim(Formatted("".join(reading.parts), entities))


def next_special(source: str, start: int) -> int:
    """Find where plain text ends."""
    match = re.compile("[<&]").search(source, start)
    return match.start() if match else len(source)


def read_tag(reading: Reading, source: str, position: int) -> int:
    """Read one tag and return the position after it."""
    at = f"at byte offset {len(source[:position].encode())}"
    if source.startswith("</", position):
        match = CLOSING.match(source, position)
        if match is None:
            raise cannot_parse(f"Unclosed end tag {at}")
        close_tag(reading, match["name"].lower(), at)
        return match.end()
    match = OPENING.match(source, position)
    if match is None:
        raise cannot_parse(f"Unclosed start tag {at}")
    name = match["name"].lower()
    attributes = {
        found["name"].lower(): html.unescape(
            found["double"] or found["single"] or found["bare"] or ""
        )
        for found in ATTRIBUTE.finditer(match["attributes"])
    }
    if name not in TAGS or (name == "span" and attributes.get("class") != "tg-spoiler"):
        raise cannot_parse(f'Unsupported start tag "{name}" {at}')
    reading.open.append(OpenTag(name, attributes, reading.length))
    return match.end()


def close_tag(reading: Reading, name: str, at: str) -> None:
    """End the innermost open tag and keep what it said."""
    if not reading.open:
        raise cannot_parse(f"Unexpected end tag {at}")
    tag = reading.open.pop()
    if name and name != tag.name:
        raise cannot_parse(f'Unmatched end tag {at}, expected "</{tag.name}>", found "</{name}>"')
    length = reading.length - tag.offset
    inner = "".join(reading.parts).encode("utf-16-le")[tag.offset * 2 :].decode("utf-16-le")
    meaning = entity_of(tag, inner)
    if length and meaning:
        reading.entities.append({**meaning, "offset": tag.offset, "length": length})


def entity_of(tag: OpenTag, inner: str) -> Json | None:
    """Say what a tag means; a link to nowhere or a time without a moment means nothing."""
    given = tag.attributes
    if tag.name == "a":
        url = given.get("href") or inner
        return {"type": "text_link", "url": url} if url.startswith(LINK_SCHEMES) else None
    if tag.name == "blockquote":
        return {"type": "expandable_blockquote" if "expandable" in given else "blockquote"}
    if tag.name == "tg-time":
        return time_entity(given)
    if tag.name == "tg-emoji":
        return {"type": "custom_emoji", "custom_emoji_id": given.get("emoji-id", "")}
    if tag.name == "code" and given.get("class", "").startswith("language-"):
        return {"type": "code", "language": given["class"].removeprefix("language-")}
    return {"type": SIMPLE_TAGS.get(tag.name, "spoiler")}


def time_entity(given: dict[str, str]) -> Json | None:
    """Read `<tg-time unix="…" format="…">`."""
    unix = given.get("unix", "")
    if not unix.isascii() or not unix.isdigit() or not is_moment(int(unix[:12])):
        return None
    meaning: Json = {"type": "date_time", "unix_time": int(unix)}
    return meaning | ({"date_time_format": given["format"]} if given.get("format") else {})


def is_moment(value: object) -> bool:
    """Tell whether this is a Unix time in seconds that a calendar can show."""
    return isinstance(value, int) and 0 <= value < LATEST_MOMENT


def join_code_blocks(entities: list[Json]) -> Iterable[Json]:
    """Make `<pre><code class="language-x">` one block with a language; outer before inner."""
    blocks = {(e["offset"], e["length"]): e for e in entities if e["type"] == "pre"}
    for entity in sorted(entities, key=place):
        language = entity.pop("language", None) if entity["type"] == "code" else None
        block = blocks.get((entity["offset"], entity["length"]))
        if entity["type"] == "code" and block is not None:
            if language:
                block["language"] = language
        else:
            yield entity


def place(entity: Json) -> tuple[int, int]:
    """Order entities from the left, the longer first."""
    return entity["offset"], -entity["length"]


def trim(formatted: Formatted) -> Formatted:
    """Cut white space around the text, as Telegram does, and move the entities with it."""
    text = formatted.text.strip()
    cut = units(formatted.text[: len(formatted.text) - len(formatted.text.lstrip())])
    size = units(text)
    entities: list[Json] = []
    for entity in formatted.entities:
        start = max(0, entity["offset"] - cut)
        end = min(size, entity["offset"] - cut + entity["length"])
        if end > start:
            entities.append({**entity, "offset": start, "length": end - start})
    return Formatted(text, tuple(entities))


def detect(formatted: Formatted) -> Formatted:
    """Find links, commands and mentions in the bare text, as every Telegram message has them."""
    taken = [
        (e["offset"], e["offset"] + e["length"])
        for e in formatted.entities
        if e["type"] in ("code", "pre", "text_link", "url", "bot_command", "mention")
    ]
    found = list(formatted.entities)
    for match in DETECTED.finditer(formatted.text):
        start = units(formatted.text[: match.start()])
        length = units(match.group())
        if match.lastgroup and all(start + length <= a or start >= b for a, b in taken):
            found.append({"type": match.lastgroup, "offset": start, "length": length})
    return Formatted(formatted.text, tuple(sorted(found, key=place)))


def given_entities(text: str, entities: list[Any]) -> Formatted:
    """Take the entities a bot spelled out itself.

    Raises:
        ApiError: one is of an unknown type or lies outside the text.
    """
    checked: list[Json] = []
    size = units(text)
    for item in entities:
        entity = cast("Json", item) if isinstance(item, dict) else {}
        offset, length = entity.get("offset"), entity.get("length")
        if entity.get("type") not in KNOWN_ENTITIES:
            raise cannot_parse("unsupported type of an entity")
        if not isinstance(offset, int) or not isinstance(length, int) or offset < 0 or length < 1:
            raise cannot_parse("an entity must have a non-negative offset and a positive length")
        if offset + length > size:
            raise cannot_parse(f"entity begins at {offset} and ends after the end of the text")
        if entity["type"] == "date_time" and not is_moment(entity.get("unix_time")):
            raise cannot_parse("an entity of type date_time must have a unix_time")
        checked.append(entity)
    return trim(Formatted(text, tuple(sorted(checked, key=place))))


def read_text(text: str, parse_mode: str, entities: list[Any] | None) -> Formatted:
    """Read a text as sendMessage gives it.

    Raises:
        ApiError: the formatting is wrong, or is one this simulator does not read.
    """
    mode = parse_mode.lower()
    if mode == "html":
        return detect(parse_html(text))
    if mode in ("markdown", "markdownv2"):
        raise bad_request(f"parse_mode {parse_mode} is not read by this simulator, use HTML")
    if mode:
        raise bad_request("unsupported parse_mode")
    return detect(given_entities(text, entities or []))
