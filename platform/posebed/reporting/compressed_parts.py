"""Parts of the page that few readers reach: packed small, for the page's script to unpack when one comes near."""

from __future__ import annotations

import base64
import gzip
import json


class Packed:
    def __init__(self) -> None:
        self._parts: list[str] = []

    def hold(self, part: str) -> int:
        """Put a part away and return its place."""
        self._parts.append(str(part))
        return len(self._parts) - 1

    def text(self) -> str:
        """All parts, a JSON list, as gzip in base64; nothing where there are none."""
        if not self._parts:
            return ""
        return base64.b64encode(gzip.compress(json.dumps(self._parts).encode(), mtime=0)).decode()
