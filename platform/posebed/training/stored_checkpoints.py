"""Checkpoints of a training in the storage, so that it goes on on another machine."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from posebed.contents import inside
from posebed.storage import Storage
from posebed.training.checkpoint_integrity import damage, is_seal

KEPT = 2
"""The newest, and one more for when that is damaged."""


class StoredCheckpoints:
    """Args:
    name: of the training's folder in the storage.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self._storage, self._name = storage, name

    def put(self, checkpoint: Path) -> None:
        """Copy a sealed checkpoint there as the newest one. Without its seal, which goes last, it counts as damaged.

        Raises:
            StorageError: the storage does not take it.
        """
        there = self._storage.names(self._name)
        # Two machines that both take the training for theirs, as after a cut link, never write into one folder.
        newest = f"{self._name}/{_number(there[-1]) + 1 if there else 0:06}-{secrets.token_hex(4)}"
        files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
        for path in sorted(files, key=is_seal):
            self._storage.put(path, f"{newest}/{path.relative_to(checkpoint).as_posix()}")
        for former in there[: 1 - KEPT]:
            self._storage.remove(f"{self._name}/{former}")

    def fetch(self, folder: Path, warn: Callable[[str], None]) -> bool:
        """Copy the newest undamaged checkpoint to a folder, which it replaces; whether there is one."""
        for name in reversed(self._storage.names(self._name)):
            if not (files := self._storage.files(f"{self._name}/{name}")):
                continue  # some servers keep the folder of files that were removed
            shutil.rmtree(folder, ignore_errors=True)
            for file in files:
                place = folder / inside(file.name.removeprefix(f"{self._name}/{name}/"))
                place.parent.mkdir(parents=True, exist_ok=True)
                self._storage.get(file.name, place)
            if not (broken := damage(folder)):
                return True
            warn(f"the checkpoint {name} of {self._name} is damaged in {broken} and is passed over")
        return False


def _number(name: str) -> int:
    return int(name.partition("-")[0])
