"""Numbers and settings as people read them, on the page and in the terminal."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

import numpy as np


def number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def mean(value: float, spread: float | None, digits: int = 3) -> str:
    """With the standard deviation over members, where there are several: 0.412 ± 0.008."""
    return number(value, digits) if spread is None else f"{number(value, digits)} ± {number(spread, digits)}"


def signed(value: float | None) -> str:
    """With a plus or a true minus sign."""
    return "–" if value is None else f"{value:+.3f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """Two digits that count, written out."""
    return "–" if p is None else np.format_float_positional(p, precision=2, fractional=False, trim="-")


def amount(value: float | None) -> str:
    """Three digits and a unit: 28.5 M."""
    if value is None:
        return "–"
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """The two largest units: 2 h 5 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.3g} s"


def flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Nested settings as dotted names and their values in words."""
    rows: list[tuple[str, str]] = []
    for name, value in settings.items():
        rows += flat(value, f"{above}{name}.") if isinstance(value, Mapping) else [(above + name, str(value))]
    return rows


def slug(name: str) -> str:
    """A name in letters that an address and a file name take: ``PCK@0.2`` becomes ``PCK_0.2``."""
    return re.sub(r"[^\w.-]", "_", name)


def data_uri(image: bytes) -> str:
    """The picture as an address that needs no file.

    Raises:
        ValueError: the bytes are no JPEG, PNG or WebP.
    """
    for start, kind in ((b"\xff\xd8", "jpeg"), (b"\x89PNG", "png"), (b"RIFF", "webp")):
        if image.startswith(start):
            return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    raise ValueError(f"a picture must be a JPEG, PNG or WebP, but starts with {image[:4]!r}")
