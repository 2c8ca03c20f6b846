"""Descriptions of folders whose files a test has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from posebed.files import file_hash


def redescribe(folder: Path, file: str = "about.json", **changes: Any) -> None:
    """Let a description say what the files beside it are by now.

    Args:
        changes: other values of the description.
    """
    about = json.loads((folder / file).read_text())
    for key in ("files", "crops"):
        about |= {key: {name: file_hash(folder / name) for name in about[key]}} if key in about else {}
    (folder / file).write_text(json.dumps(about | changes))
