"""The one reader of JSON that users bring: annotations, detections, boxes, skeletons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from posebed.foreign_files import must_be_regular, read_foreign
from posebed.json_bounds import (
    RepeatedKey,
    levels,
    memory_of,
    most_json_bytes,
    most_json_memory,
    once_each,
    too_much_memory,
)
from posebed.limits import MOST_LEVELS


def read_json(path: Path) -> Any:
    """The content of a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: there is no such file, it does not parse, an object has a key twice, lists and objects are nested
            too deeply, or its content would take too much memory; the message names it.
    """
    must_be_regular(path, "a JSON file")
    if (size := path.stat().st_size) > most_json_bytes():
        raise ValueError(f"{path} must be JSON that takes {too_much_memory(4 * size)}")
    return parse_json(read_foreign(path, "a JSON file", most_json_bytes()), str(path))


def parse_json(data: bytes, name: str) -> Any:
    """As ``read_json``, of bytes that were read before from the file of that name."""
    if (memory := memory_of(data)) > most_json_memory():
        raise ValueError(f"{name} must be JSON that takes {too_much_memory(memory)}")
    if levels(data) > MOST_LEVELS:
        raise ValueError(f"{name} must be JSON, but is nested too deeply: more than {MOST_LEVELS} levels")
    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=once_each)
    except RepeatedKey as error:
        raise ValueError(f"{name} must be JSON whose objects have every key once, but {error}") from error
    except ValueError as error:
        raise ValueError(f"{name} must be JSON, but does not parse: {error}") from error
