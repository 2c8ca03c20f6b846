"""Reads JSON files that people and other programs wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> Any:
    """The parsed content of a file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: there is no such file, or it holds no JSON; names the file.
    """
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise ValueError(f"{path} must be a file that can be read, but: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must be JSON in UTF-8, but does not parse: {error}") from error
