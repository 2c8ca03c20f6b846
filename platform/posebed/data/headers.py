"""What a picture file states beside its pixels: the orientation that a camera noted, TIFF tags and PNG chunks.

Orientations are those of EXIF and TIFF: 1 as stored, 2 to 4 mirrored or upside down, 5 to 8 with width and height
exchanged. JPEG, PNG and WebP hold a block of EXIF, which has the form of a TIFF file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

ORIENTATION = 0x0112
BITS_PER_SAMPLE = 0x0102
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"
_BYTES = {1: 1, 3: 2, 4: 4}
"""Size of TIFF's whole-number types: BYTE, SHORT, LONG."""


class Entry(NamedTuple):
    """The first value of a TIFF tag, and where it stands in the file."""

    value: int
    start: int
    end: int
    order: Literal["little", "big"]


def tiff_entry(data: bytes, tag: int) -> Entry | None:
    """The tag in the first directory of a TIFF or BigTIFF file; None where the data has none or is no TIFF."""
    orders: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
    order = orders.get(data[:2])
    version = int.from_bytes(data[2:4], order or "big")
    if order is None or version not in (42, 43):
        return None
    # BigTIFF, version 43, has counts and offsets of 8 bytes.
    offset, at, head, size = (8, 8, 8, 20) if version == 43 else (4, 4, 2, 12)

    def number(start: int, length: int) -> int:
        return int.from_bytes(data[start : start + length], order)

    directory = number(at, offset)
    first = directory + head
    for entry in range(first, first + min(number(directory, head) * size, len(data) - first), size):
        width = _BYTES.get(number(entry + 2, 2))
        if number(entry, 2) == tag and width:
            start = entry + 4 + offset
            if number(entry + 4, offset) * width > offset:
                start = number(start, offset)
            return Entry(number(start, width), start, start + width, order)
    return None


def orientation_of(data: bytes) -> int:
    """The orientation that a JPEG, PNG, WebP or TIFF file notes, 1 to 8; 1 where it notes none."""
    for block in _tiff_blocks(data):
        entry = tiff_entry(block, ORIENTATION)
        if entry:
            return entry.value if 1 <= entry.value <= 8 else 1
    return 1


def _tiff_blocks(data: bytes) -> Iterator[bytes]:
    if data.startswith(JPEG):
        yield from (block[6:] for block in _jpeg_segments(data) if block.startswith(_EXIF))
    elif data.startswith(PNG):
        yield from png_chunks(data, b"eXIf")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        yield from (block.removeprefix(_EXIF) for block in _riff_chunks(data, b"EXIF"))
    else:
        yield data


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """The contents of the segments APP1, in front of the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        if data[at + 1] == 0xFF:  # padding
            at += 1
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        if data[at + 1] == 0xE1:
            yield data[at + 4 : at + 2 + length]
        at += 2 + length


def png_chunks(data: bytes, kind: bytes) -> Iterator[bytes]:
    """The contents of a PNG's chunks of one kind; nothing of other data."""
    at = len(PNG) if data.startswith(PNG) else len(data)
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == kind:
            yield data[at + 8 : at + 8 + length]
        at += 12 + length


def _riff_chunks(data: bytes, kind: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == kind:
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def without_orientation(data: bytes) -> bytes:
    """A TIFF file with orientation 1, because its decoder turns pictures whatever it is asked; other data as it is."""
    entry = tiff_entry(data, ORIENTATION)
    if entry is None or entry.value == 1 or entry.end > len(data):
        return data
    return data[: entry.start] + (1).to_bytes(entry.end - entry.start, entry.order) + data[entry.end :]
