"""What JSON of any origin must keep to: its size in memory, its depth, and keys that stand once."""

from __future__ import annotations

import os
import re
from itertools import accumulate
from typing import Any

from posebed.limits import MOST_JSON_MEMORY
from posebed.listing import amount, shown

JSON_GB = "POSEBED_JSON_GB"
"""The variable that allows larger files of JSON."""
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_NO_BRACKETS = bytes(sorted({*range(256)} - {*b"[]{}"}))
_BYTES_IN_MEMORY = {b",": 32, b"[": 88, b"{": 200, b'"': 16}
"""That a value takes in memory, by the sign of JSON that it comes with."""


def levels(data: bytes) -> int:
    """How deep objects and lists of a JSON text lie within one another, without parsing it."""
    brackets = _TEXTS.sub(b"", data).translate(None, _NO_BRACKETS)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)


def most_json_memory() -> int:
    """Bytes that the content of a JSON file may take in memory.

    Raises:
        ValueError: the variable states no size.
    """
    given = os.environ.get(JSON_GB)
    if given is None:
        return MOST_JSON_MEMORY
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", given):
        raise ValueError(f"{JSON_GB} must be a number of gigabytes below 10000, such as 8, but is {shown(given)}")
    return int(float(given) * 1e9)


def most_json_bytes() -> int:
    """Of a JSON file's text."""
    return most_json_memory() // 4


def too_much_memory(memory: int) -> str:
    """What must hold and what was found, as the end of a sentence."""
    most = amount(most_json_memory())
    return f"at most {most} of memory, but takes about {amount(memory)}; {JSON_GB}={memory // 10**9 + 1} allows it"


def memory_of(data: bytes) -> int:
    """About how many bytes the content of a JSON text takes in memory, without parsing it."""
    return sum(size * data.count(sign) for sign, size in _BYTES_IN_MEMORY.items())


class RepeatedKey(ValueError):
    """An object of JSON has a key twice: one of the two values would be lost in silence."""


def once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON from its keys and values.

    Raises:
        RepeatedKey: it has a key twice.
    """
    content = dict(pairs)
    if len(content) < len(pairs):
        seen = set[str]()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise RepeatedKey(f"the key {shown(twice)} stands there twice")
    return content
