"""Addresses of trackers, databases, storages and clusters in words: without the user name and the password that they
may hold. Whatever is printed, logged or kept passes ``hidden``, the one place that knows what a secret is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

ADDRESSES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "MLFLOW_S3_ENDPOINT_URL",
    "AWS_ENDPOINT_URL",
    "POSEBED_STUDIES",
    "POSEBED_STORAGE",
    "RAY_ADDRESS",
    "RAY_REDIS_ADDRESS",
    *(name for proxy in ("http_proxy", "https_proxy", "all_proxy") for name in (proxy, proxy.upper())),
)
"""Variables with an address, which may hold a password."""
SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "RAY_AUTH_TOKEN",
    "RAY_REDIS_PASSWORD",
)
"""Variables whose value is a secret."""
STARS = "***"

_SECRET = re.compile(r"user|pass|pwd|secret|token|key|sig", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?i)(\b[\w.-]*(?:password|passwd|pwd|secret|token|access_?key)[\w.-]*=)[^\s&;,'\")]+")
"""A secret as a connection string or a query gives it."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BARE = re.compile(r"([^/.~][^/]*:.*)@", re.DOTALL)
"""User and password of an address without a scheme."""
_SHORTEST = 3
"""Characters of a part of a password that says nothing by itself."""
_LONGEST = 600
"""Characters of a message; servers answer with whole pages."""


def shown_address(address: str) -> str:
    """The address without user name, password, query and fragment; of one that can be read in two ways the scheme
    alone."""
    scheme, separator, rest = address.partition("://")
    if not _SCHEME.fullmatch(scheme) or not separator:
        # An ``@`` may belong to the path of a folder.
        return address.rpartition("@")[2] if _BARE.match(address) else address
    before, at, host = rest.rpartition("@")
    # Databases allow passwords with any of / : @ ?, so that everything up to the last @ goes. Where that one may
    # belong to a query, what follows it may be part of a password.
    if at and re.search(r"\?.*=", before, re.DOTALL):
        return f"{scheme}{separator}{STARS}"
    return scheme + separator + re.split(r"[?#]", host)[0]


def hidden(text: object, *addresses: str) -> str:
    """A text without user names and passwords: of these addresses, of those in the environment, and of any other
    address in it."""
    told = str(text)
    known = [*addresses, *(os.environ[name] for name in ADDRESSES if name in os.environ)]
    for address in sorted({a for a in known if a}, key=len, reverse=True):
        shown = shown_address(address)
        if shown != address:
            told = told.replace(address, shown)
    words = {word for address in known for word in _secrets(address)}
    words |= {word for name in SECRETS for word in _forms(os.environ.get(name, ""))}
    for word in sorted(words, key=len, reverse=True):
        told = re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", STARS, told)
    told = re.sub(r"(?<=://)[^\s'\"<>]*@(?=[\w.\[*-])", "", told)
    return _ASSIGNED.sub(rf"\1{STARS}", told)


def without_secrets(message: object, *addresses: str) -> str:
    """A message in one line of bounded length, ``hidden``."""
    text = " ".join(hidden(message, *addresses).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _secrets(address: str) -> Iterator[str]:
    """User name and password in every form in which a library may repeat them."""
    match = re.search(r"://(.*)@", address, re.DOTALL) or _BARE.match(address)
    written = [*match[1].partition(":")[::2], match[1]] if match else []
    written += [value for name, value in parse_qsl(address.partition("?")[2]) if _SECRET.search(name)]
    # Another reader may end a password with signs in it elsewhere, and take a part of it for the host.
    parts = [part for text in written for part in re.split(r"[/:@?#&=\s]", text) if len(part) > _SHORTEST]
    for text in (*written, *parts):
        yield from _forms(text)


def _forms(text: str) -> Iterable[str]:
    meant = {text, unquote(text), unquote_plus(text)}
    forms = meant | {quote(word, "") for word in meant} | {quote_plus(word) for word in meant}
    forms |= {ascii(word)[1:-1] for word in forms}
    return [form for form in forms if form]
