"""Where the code lies that torch compiles: on each machine in a folder that its user alone may read; in the storage,
where others take it from, only if the user asks for that.

torch itself looks code up by the step it was made of, by its own version and by the device.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from posebed.contents import CACHE, COMPILED, Cache
from posebed.files import write_bytes
from posebed.private import private_folder
from posebed.storage import Storage, StorageError
from posebed.training.process_group import device_name

SHARED = "POSEBED_SHARE_COMPILED"
"""Set to 1 in their environment, beside the storage's own variable, workers take compiled code from the storage and put
theirs there. It is unpickled and run: whoever may write there can run code on every worker."""


def keep_on_this_machine() -> Path:
    """Let torch keep what it compiles in the machine's cache; returns the folder.

    Raises:
        ValueError: the folder is another user's, or cannot be made.
    """
    folder = Cache().folder / COMPILED / f"torch-{torch.__version__}"
    for place in (folder.parent, folder):
        private_folder(place, "compiled code, which is run", CACHE)
    os.utime(folder)  # by which `posebed gc` knows whether it is used
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
    return folder


def take_shared(job: str, device: torch.device, warn: Callable[[str], None]) -> None:
    """Take what another machine compiled for a job, where that is asked for. Raises StorageError as a storage does."""
    storage = _asked_for()
    if storage is None or storage.size(stored_name(job, device)) is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "code"
        storage.get(stored_name(job, device), file)
        if torch.compiler.load_cache_artifacts(file.read_bytes()) is None:
            warn(f"{storage} must hold compiled code of {job}, but holds something else; it is compiled again")


def put_shared(job: str, device: torch.device) -> None:
    """Put what this process compiled for a job into the storage, where that is asked for."""
    storage = _asked_for()
    saved = torch.compiler.save_cache_artifacts() if storage else None
    if storage is None or saved is None:
        return
    with tempfile.TemporaryDirectory() as folder, suppress(StorageError):
        file = Path(folder) / "code"
        write_bytes(saved[0], file)
        storage.put(file, stored_name(job, device))


def _asked_for() -> Storage | None:
    return Storage.of_environment() if os.environ.get(SHARED) == "1" else None


def stored_name(job: str, device: torch.device) -> str:
    kind = device_name(device).replace(" ", "-").replace("/", "-")
    return f"{COMPILED}/torch-{torch.__version__}/{kind}/{job}"
