"""What a picture file states beside its pixels: the orientation that a camera noted, TIFF tags and PNG chunks.

Orientations are those of EXIF and TIFF: 1 as stored, 2 to 4 mirrored or upside down, 5 to 8 with width and height
exchanged. JPEG, PNG and WebP hold a block of EXIF, which has the form of a TIFF file.

Pillow reads TIFF tags and the segments of JPEG. The chunks of PNG and WebP are walked here: Pillow drops sBIT, decodes
a PNG to reach the chunks behind its pixels, and allocates all pixels of a WebP to open it.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

WIDTH = 0x0100
HEIGHT = 0x0101
ORIENTATION = 0x0112
BITS_PER_SAMPLE = 0x0102
PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
TIFF = (b"II", b"MM")
_EXIF = b"Exif\0\0"

# A damaged tag is as good as none, and nothing to warn of.
warnings.filterwarnings("ignore", module=r"PIL\.TiffImagePlugin")


def tiff_tag(data: bytes, tag: int) -> int | None:
    """The first value of a tag in the first directory of a TIFF or BigTIFF file; None where the data has no such whole
    number or is no TIFF."""
    # Pillow recognises BigTIFF in little-endian order alone.
    head = b"II+\0" + data[4:16] if data[:4] in (b"II+\0", b"MM\0+") else data[:8]
    try:
        directory = ImageFileDirectory_v2(head, prefix=data[:2])
        file = BytesIO(data)
        file.seek(directory.next)
        directory.load(file)
    except (SyntaxError, struct.error, OverflowError):
        return None
    value: Any = directory.get(tag)  # a number, bytes, text or a tuple of them, as the file has it
    numbers: list[Any] = [*value] if isinstance(value, tuple | bytes) else [value]
    return numbers[0] if numbers and isinstance(numbers[0], int) else None


def orientation_of(data: bytes) -> int:
    """The orientation that a JPEG, PNG, WebP or TIFF file notes, 1 to 8; 1 where it notes none."""
    noted = (tiff_tag(block, ORIENTATION) for block in _tiff_blocks(data))
    first = next((tag for tag in noted if tag is not None), 1)
    return first if 1 <= first <= 8 else 1


def _tiff_blocks(data: bytes) -> Iterator[bytes]:
    if data.startswith(JPEG):
        yield _jpeg_exif(data)
    elif data.startswith(PNG):
        yield from png_chunks(data, b"eXIf")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        yield from (block.removeprefix(_EXIF) for block in _riff_chunks(data, b"EXIF"))
    else:
        yield data


def _jpeg_exif(data: bytes) -> bytes:
    """The block in front of the first scan; nothing where there is none or the file ends before."""
    try:
        # ``Image.open`` refuses large pictures, and ``getexif`` takes an orientation from XMP where EXIF has none.
        return JpegImageFile(BytesIO(data)).info.get("exif", b"").removeprefix(_EXIF)
    except (SyntaxError, OSError):
        return b""


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
