"""What decides a run's numbers, in named parts and as one hash.

Runs with equal identities give equal numbers. Jobs, studies and tracked runs are named by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from posebed.files import file_hash

Hashes = Mapping[str, str]


@dataclass(frozen=True)
class Identity:
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Dotted names to plain values."""
    data: Hashes = field(default_factory=dict[str, str])
    """``split KEY`` and the like to a hash of the content."""
    start: Hashes = field(default_factory=dict[str, str])
    """``weights of RUN`` to a hash of those that it starts from."""
    code: Hashes = field(default_factory=dict[str, str])
    """Modules that it can reach to the hash of their statements."""

    @cached_property
    def hash(self) -> str:
        """64 hexadecimal digits; the order of names does not count."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


def flattened(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names, as JSON keeps them: tuples are lists, and an empty mapping is a value."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{name}.")  # pyright: ignore[reportUnknownArgumentType]
        else:
            flat[f"{prefix}{name}"] = json.loads(json.dumps(value))
    return flat


def content_hash(folder: Path, names: tuple[str, ...]) -> str:
    """sha256 over the named files of a folder; one that is not there counts as such."""
    there = {name: file_hash(folder / name) for name in names if (folder / name).is_file()}
    return hashlib.sha256(json.dumps(there, sort_keys=True).encode()).hexdigest()
