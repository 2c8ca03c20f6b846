"""Names and values in messages, bounded: data of any size gives a message that can be read."""

from __future__ import annotations

from collections.abc import Iterable


def shown(value: object) -> str:
    """Any value as a short text that can be written to any file."""
    return clipped(ascii(value))


def clipped(text: str, most: int = 100) -> str:
    """The text, cut to ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def amount(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def shortened(names: Iterable[object], most: int = 10, none: str = "none") -> str:
    """The first ``most`` names, each cut to 100 characters, and the number of further ones."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(clipped(name) for name in listed[:most]) or none) + more


def counted(number: int, noun: str) -> str:
    """``1 frame``, ``3 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
