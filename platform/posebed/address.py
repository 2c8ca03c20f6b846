"""Addresses of trackers, databases and storages in words: without the user name and the password that they may hold."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

_SECRET = re.compile(r"user|pass|pwd|secret|token|key", re.IGNORECASE)
_LONGEST = 600
"""Characters of a message; servers answer with whole pages."""


def shown_address(address: str) -> str:
    """The address without user name, password and query."""
    # Databases allow passwords with any of / : @ ?, so that everything up to the last @ goes.
    return re.sub(r"(?<=://).*@", "", address).partition("?")[0]


def without_secrets(message: object, address: str) -> str:
    """A message about an address in one line, without the user name and password of this or another address."""
    text = str(message).replace(address, shown_address(address)) if address else str(message)
    text = " ".join(text.split())
    for word in sorted(_secrets(address), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "***", text)
    text = re.sub(r"(?<=://)[^\s/]*@", "", text)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _secrets(address: str) -> set[str]:
    """User name and password, as they are written in the address and as they are meant."""
    match = re.search(r"://(.*)@", address)
    written = set(match[1].partition(":")[::2]) if match else set[str]()
    written |= {value for name, value in parse_qsl(address.partition("?")[2]) if _SECRET.search(name)}
    return {word for text in written for word in (text, unquote(text)) if word}
