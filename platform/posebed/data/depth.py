"""Pictures with more than 8 bits per channel: how many bits their values need, and their reduction to 8.

Cameras of 10, 12 or 14 bits write their values unchanged into files of 16, whose upper byte is then nearly 0. The rule:
a picture needs the fewest of 8, 10, 12, 14 and 16 bits that hold its largest value, and at least the number that a PNG
declares (sBIT). A dataset takes the most that any of its pictures needs, and all of them are shifted alike, so that
their relative brightness stays. A file of 16 bits says nothing by being one.
"""

from __future__ import annotations

import numpy as np

from posebed.data.headers import BITS_PER_SAMPLE, PNG, png_chunks, tiff_tag

FULL = 16
_STEPS = (8, 10, 12, 14, FULL)
_UNSTATED = (b"P2", b"P3", b"P5", b"P6", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
"""First bytes of PNM and JPEG 2000 files, whose depth only decoding shows. AVIF is missing: its decoder scales by the
declared bits itself."""


def may_be_deep(data: bytes) -> bool:
    """Whether the file may hold more than 8 bits per channel."""
    if data.startswith(PNG):
        return data[24:25] == b"\x10"
    bits = tiff_tag(data, BITS_PER_SAMPLE)
    return data.startswith(_UNSTATED) if bits is None else bits > 8


def needed_bits(picture: np.ndarray, data: bytes) -> int:
    """8, 10, 12, 14 or 16: what the values of a uint16 picture need, by the rule above.

    Args:
        data: the file that the picture was decoded from.
    """
    packed = tiff_tag(data, BITS_PER_SAMPLE)
    if packed is not None and packed < FULL:
        return FULL  # The decoder fills the upper bits of packed samples.
    declared = max((max(chunk) for chunk in png_chunks(data, b"sBIT") if chunk), default=0)
    largest = max(int(picture.max()).bit_length(), declared)
    return next((bits for bits in _STEPS if largest <= bits), FULL)


def to_8_bits(picture: np.ndarray, bits: int) -> np.ndarray:
    """The upper 8 of so many bits of a uint16 picture, as uint8."""
    upper = picture >> (bits - 8)
    return np.minimum(upper, 255, out=upper).astype(np.uint8)
