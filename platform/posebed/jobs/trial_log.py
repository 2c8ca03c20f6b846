"""Where a trial that trains in a warm actor keeps its checkpoints: seldom, since most trials are short."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from posebed.training.log import FolderLog
from posebed.training.stored_checkpoints import StoredCheckpoints


class TrialLog(FolderLog):
    def __init__(self, folder: Path, title: str, seconds: float, stored: StoredCheckpoints | None = None) -> None:
        super().__init__(folder, title, stored)
        self.notes: list[str] = []
        """What went wrong and did not stop the training."""
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True

    def warn(self, line: str) -> None:
        self.notes.append(line)
        print(line, file=sys.stderr)
