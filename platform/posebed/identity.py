"""What decides a task's numbers, in named parts and as one hash.

Two tasks with equal identities give equal numbers, so whoever asks "is this still true?" compares identities: what must
be trained, predicted or scored again, names of jobs and studies, DVC.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from posebed.files import file_hash

Hashes = Mapping[str, str]


@dataclass(frozen=True)
class Identity:
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted names to plain values."""
    data: Hashes = field(default_factory=dict[str, str])
    """``split KEY`` and the like to a hash of the content."""
    after: Hashes = field(default_factory=dict[str, str])
    """Tasks whose outcome it uses (``train baseline seed 0``) to the hash of their identity."""
    code: Hashes = field(default_factory=dict[str, str])
    """Modules that it can reach to the hash of their statements."""

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits; the order of names does not count."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def changes_since(self, former: Identity) -> list[str]:
        """What is another than it was, a phrase each: ``train.lr 0.001 -> 0.002``, ``code of posezoo.blocks.kit``,
        ``split species``, ``train baseline``. Empty for equal identities."""
        return [
            *(_setting(name, *values) for name, values in _differing(former.settings, self.settings)),
            *(name for name, _ in _differing(former.data, self.data)),
            *(name for name, _ in _differing(former.after, self.after)),
            *(f"code of {name}" for name, _ in _differing(former.code, self.code)),
        ]

    def as_json(self) -> dict[str, Any]:
        # Not dataclasses.asdict, which copies every value: a graph of thousands of tasks would take seconds more.
        return {part.name: getattr(self, part.name) for part in fields(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Identity:
        return cls(**{name: content[name] for name in ("settings", "data", "after", "code")})


_ABSENT = "absent"


def _differing(former: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name in sorted({*former, *now}):
        pair = former.get(name, _ABSENT), now.get(name, _ABSENT)
        if pair[0] != pair[1] or type(pair[0]) is not type(pair[1]):
            yield name, pair


def _setting(name: str, former: Any, now: Any) -> str:
    return f"{name} {_shown(former)} -> {_shown(now)}"


def _shown(value: Any) -> str:
    return value if value is _ABSENT else json.dumps(value)


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, as JSON keeps them: tuples are lists, and an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(cast(Mapping[str, Any], value), f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = json.loads(json.dumps(value))
    return flat


def content_hash(folder: Path, names: tuple[str, ...]) -> str:
    """sha256 over the named files of a folder; one that is not there counts as such.

    Raises:
        ValueError: the folder has none of them.
    """
    there = {name: file_hash(folder / name) for name in names if (folder / name).is_file()}
    if not there:
        raise ValueError(f"{folder} must hold {' and '.join(names)}, but holds neither; `dvc repro` makes them")
    return hashlib.sha256(json.dumps(there, sort_keys=True).encode()).hexdigest()
