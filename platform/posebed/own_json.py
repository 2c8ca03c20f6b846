"""JSON files of our own: each states the version of its kind, and files of former versions can still be read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posebed.files import Content, must_be_file, write_text
from posebed.forms import checked
from posebed.json_bounds import levels, memory_of, most_json_bytes, most_json_memory, once_each, too_much_memory
from posebed.limits import MOST_LEVELS
from posebed.listing import amount, shown

SCHEMA = "schema"
"""The key of a JSON file's version, which is its first."""
_MOST_JSON = 2**26
"""Bytes of a JSON file of ours; results of a thousand categories have a tenth of it."""


def _unchanged(content: Content) -> Content:
    return content


@dataclass(frozen=True)
class Kind:
    """A kind of JSON file, whose files of former versions can still be read."""

    name: str
    """In messages, such as ``a result``."""
    upgrades: tuple[Callable[[Content], Content], ...] = (_unchanged,)
    """What makes version n + 1 of version n, from 0 on: files of that version state none."""
    form: type[Any] | None = None
    """What the content must be, once upgraded, as ``forms.checked`` takes it."""
    again: str = "write it again"
    """How to get such a file back."""

    @property
    def schema(self) -> int:
        """The version that is written."""
        return len(self.upgrades)


def write_json(content: Mapping[str, Any], path: Path, kind: Kind) -> None:
    """Write an object with the version of its kind, which is no part of the content."""
    write_text(json_text(content, kind), path)


def json_text(content: Mapping[str, Any], kind: Kind) -> str:
    """The text that ``write_json`` writes."""
    if SCHEMA in content:
        raise ValueError(f"{kind.name} must have no {SCHEMA!r} of its own, but has {shown(content[SCHEMA])}")
    text = json.dumps({SCHEMA: kind.schema, **content}, indent=1)
    if r"\ud" in text:  # the code of half a letter, which stands for a byte that is no UTF-8
        _must_be_utf8(content, kind)
    return text


def _must_be_utf8(content: Mapping[str, Any], kind: Kind) -> None:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError(f"{kind.name} must be in UTF-8, but holds bytes that are not") from None


def read_json(path: Path, kind: Kind) -> Content:
    """The content of a file of this or a former version, without the version.

    Raises:
        ValueError: there is no such file, it holds no JSON object, it is of a newer version, or its content has another
            form than its kind.
    """
    content = _parsed(path, kind.name, dict, kind.again, _MOST_JSON)
    version = content.pop(SCHEMA, 0)
    if type(version) is not int or version < 0:
        raise ValueError(f"{path} must state its {SCHEMA} as a whole number, but has {shown(version)}; {kind.again}")
    if version > kind.schema:
        raise ValueError(
            f"{path} must be {kind.name} of schema {kind.schema} or older, but is of schema {shown(version)}; upgrade "
            "posebed"
        )
    for upgrade in kind.upgrades[version:]:
        content = upgrade(content)
    if kind.form is not None:
        checked(content, kind.form, path, kind.name, kind.again)
    return content


def read_json_list(path: Path, name: str, again: str = "write it again", most: int | None = None) -> list[Any]:
    """The content of a JSON file that holds a list.

    Args:
        name: in messages, what it is.
        again: in messages, how to get such a file back.
        most: bytes that it may have, by default ``most_json_bytes``.

    Raises:
        ValueError: there is no such file, or it holds no JSON list.
    """
    return _parsed(path, name, list, again, most or most_json_bytes())


def _parsed(path: Path, name: str, kind: type[Any], again: str, most: int) -> Any:  # as json types it
    form = {dict: "object", list: "list"}[kind]
    must_be_file(path, name, again)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1) if os.fstat(file.fileno()).st_size <= most else None
    except OSError as error:
        raise ValueError(f"{path} must be {name}, but cannot be read: {error.strerror}") from error
    if data is None or len(data) > most:
        raise ValueError(f"{path} must be {name} of at most {amount(most)}, but has more; {again}")
    if (memory := memory_of(data)) > most_json_memory():
        raise ValueError(f"{path} must be {name} that takes {too_much_memory(memory)}; {again}")
    if levels(data) > MOST_LEVELS:
        raise ValueError(f"{path} must be {name}, but is nested too deeply; {again}")
    try:
        content = json.loads(data.decode("utf-8-sig"), object_pairs_hook=once_each)
    except ValueError as error:
        raise ValueError(f"{path} must be {name} as a JSON {form}, but is no JSON: {error}; {again}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} must be {name} as a JSON {form}, but holds another value; {again}")
    return content
