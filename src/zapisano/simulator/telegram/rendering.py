"""Text and entities into HTML that is safe to put on the phone's page."""

import html
from collections.abc import Sequence
from itertools import pairwise

from zapisano.simulator.telegram.formatting import LINK_SCHEMES, place, units
from zapisano.simulator.telegram.model import Json

ELEMENTS = {
    "bold": "b",
    "italic": "i",
    "underline": "u",
    "strikethrough": "s",
    "code": "code",
    "blockquote": "blockquote",
    "expandable_blockquote": "blockquote",
}
LOW_SURROGATES = frozenset(bytes([high]) for high in range(0xDC, 0xE0))
"""The upper byte of a code unit that is the second half of a character."""


def render(text: str, entities: Sequence[Json]) -> str:
    """Render a message's text; everything that came from outside is escaped.

    Entities may overlap: whatever ends inside another is closed and opened again around it.
    """
    data = text.encode("utf-16-le", "surrogatepass")
    ordered = sorted(entities, key=place)
    edges = {0, units(text)}
    for entity in ordered:
        edges |= {entity["offset"], entity["offset"] + entity["length"]}
    points = sorted(edge for edge in edges if edge <= units(text) and not splits(data, edge))
    out: list[str] = []
    around: list[Json] = []
    for start, end in pairwise(points):
        now = [e for e in ordered if e["offset"] <= start < e["offset"] + e["length"]]
        piece = data[start * 2 : end * 2].decode("utf-16-le", "replace")
        change(out, around, now, data)
        out.append(escape(piece, keep_lines=any(e["type"] == "pre" for e in now)))
        around = now
    change(out, around, [], data)
    return "".join(out)


def splits(data: bytes, edge: int) -> bool:
    """Tell whether a place lies inside a character of two code units."""
    return data[edge * 2 : edge * 2 + 2][1:] in LOW_SURROGATES


def change(out: list[str], before: list[Json], after: list[Json], data: bytes) -> None:
    """Close what ended and open what begins, keeping the common outside untouched."""
    same = 0
    while same < min(len(before), len(after)) and before[same] is after[same]:
        same += 1
    out.extend(tags(entity, data)[1] for entity in reversed(before[same:]))
    out.extend(tags(entity, data)[0] for entity in after[same:])


def escape(text: str, *, keep_lines: bool) -> str:
    """Escape text; a new line is a `<br>` unless the block keeps its lines by itself."""
    escaped = html.escape(text)
    return escaped if keep_lines else escaped.replace("\n", "<br>")


def tags(entity: Json, data: bytes) -> tuple[str, str]:
    """Give the opening and the closing tag of an entity; unknown kinds show as plain text."""
    kind = str(entity["type"])
    start, end = entity["offset"], entity["offset"] + entity["length"]
    inner = data[start * 2 : end * 2].decode("utf-16-le", "replace")
    if kind in ELEMENTS:
        return f"<{ELEMENTS[kind]}>", f"</{ELEMENTS[kind]}>"
    if kind in ("text_link", "url", "mention"):
        return link(target(kind, entity, inner))
    if kind == "date_time":
        style = html.escape(str(entity.get("date_time_format", "")))
        return f'<tg-time unix="{entity["unix_time"]}" format="{style}">', "</tg-time>"
    rest = {
        "pre": ("<pre><code>", "</code></pre>"),
        "spoiler": ("<tg-spoiler>", "</tg-spoiler>"),
    }
    return rest.get(kind, ("", ""))


def target(kind: str, entity: Json, inner: str) -> str:
    """Say where a link leads."""
    if kind == "mention":
        return f"https://t.me/{inner.removeprefix('@')}"
    return str(entity.get("url", "")) if kind == "text_link" else inner


def link(url: str) -> tuple[str, str]:
    """Make a link; an address of another kind (javascript: and friends) is no link at all."""
    if not url.lower().startswith(LINK_SCHEMES):
        return "", ""
    return f'<a href="{html.escape(url)}" rel="noopener noreferrer">', "</a>"
