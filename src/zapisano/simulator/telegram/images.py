"""How large a picture is, read from its first bytes."""

import struct

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"
JPEG_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers that begin with the size (ITU-T T.81, table B.1)."""


def find_size(content: bytes) -> tuple[int, int] | None:
    """Read width and height in pixels of a PNG or a JPEG; nothing for anything else."""
    if content.startswith(PNG) and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return int(width), int(height)
    if content.startswith(JPEG):
        return jpeg_size(content)
    return None


def jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Walk over a JPEG's segments to the frame that states its size."""
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker, length = struct.unpack(">xBH", content[position : position + 4])
        if marker in JPEG_FRAMES:
            height, width = struct.unpack(">HH", content[position + 5 : position + 9])
            return int(width), int(height)
        position += 2 + length
    return None
