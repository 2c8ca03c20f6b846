"""The one reader of JSON that users bring: annotations, detections, boxes, skeletons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The content of a JSON file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: there is no such file, or it does not parse; the message names it.
    """
    if not path.is_file():
        raise ValueError(f"{path} must be a JSON file, but there is none")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} must be a JSON file that can be read, but: {error.strerror}") from error
    return parse_json(data, str(path))


def parse_json(data: bytes, name: str) -> Any:
    """As ``read_json``, of bytes that were read before from the file of that name."""
    try:
        return json.loads(data)  # takes bytes with a byte order mark, but no text with one
    except RecursionError as error:
        raise ValueError(f"{name} must be JSON, but is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"{name} must be JSON, but does not parse: {error}") from error
