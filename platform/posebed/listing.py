"""Names and values in messages, bounded: data of any size gives a message that can be read."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable
from typing import Literal

_UNPRINTED = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\ufffe\uffff\U000e0001-\U000e007f"
)
"""Characters that a terminal obeys, that change the order of the others or are nothing to see, and those that XML or
UTF-8 cannot hold. Joiners belong to scripts and pictographs, and stay."""
_ORDERS = {
    keep: re.compile(f"(?![{re.escape(keep)}])[{_UNPRINTED}]" if keep else f"[{_UNPRINTED}]")
    for keep in ("", "\n", "\n\t")
}


def visible(text: str, keep: Literal["", "\n", "\n\t"] = "\n") -> str:
    """The text with a visible sign in place of every character that is an order to a terminal or a reader of XML.

    Args:
        keep: characters that are left, such as ends of lines where text has several.
    """
    return _ORDERS[keep].sub(_sign, text)


def _sign(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(0x2400 + code) if code < 0x20 else "\u2421" if code == 0x7F else "\ufffd"


def cell(value: object) -> object:
    """A value as a cell of CSV: one line, and no text that a spreadsheet would take for a formula."""
    if not isinstance(value, str):
        return value
    text = visible(value, keep="")
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) and not _NUMBER.fullmatch(text) else text


_NUMBER = re.compile(r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?")


class _Short(reprlib.Repr):
    """Writes the start of a value, however large it is, without writing the rest first."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 4, 100, 100
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 10

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < _MOST_BITS else f"a number of {x.bit_length()} bits"


_MOST_BITS = 400
"""Of a whole number that is written out; Python refuses to write numbers of several thousand digits."""
_SHORT = _Short()


def shown(value: object) -> str:
    """Any value as a short text in ASCII, which can be written to any file."""
    return clipped(_SHORT.repr(value).encode("ascii", "backslashreplace").decode())


def clipped(text: str, most: int = 100) -> str:
    """The text, cut to ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def reason(error: Exception) -> str:
    """What a library says of a file, in a short line without what a terminal obeys."""
    line = " ".join(str(error).partition("\n")[0].split())
    return clipped(visible(line) or type(error).__name__, 200)


def amount(size: int) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def shortened(names: Iterable[object], most: int = 10, none: str = "none") -> str:
    """The first ``most`` names, each visible and cut to 100 characters, and the number of further ones."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(clipped(visible(name, keep="")) for name in listed[:most]) or none) + more


def counted(number: int, noun: str) -> str:
    """``1 frame``, ``3 frames``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
