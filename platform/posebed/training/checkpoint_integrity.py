"""Tells a whole checkpoint from a damaged one, by the hashes of its files."""

from __future__ import annotations

import json
from pathlib import Path

from posebed.files import file_hash, write_text
from posebed.forms import checked
from posebed.own_json import Kind, read_json

SEAL, _KIND = "seal-{rank}.json", Kind("the seal of a checkpoint")


def seal(folder: Path, rank: int) -> None:
    """Write down the hash of every file of the folder; of a folder that workers share, once by each."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {path.relative_to(folder).as_posix(): file_hash(path) for path in files if not is_seal(path)}
    write_text(json.dumps(hashes, indent=1), folder / SEAL.format(rank=rank))


def damage(folder: Path) -> str:
    """The first file that is not what it was when it was sealed; empty where all are."""
    seals = sorted(folder.glob(SEAL.format(rank="*")))
    if not seals:
        return SEAL.format(rank=0)
    for path in seals:
        try:
            hashes = checked(read_json(path, _KIND), dict[str, str], path, _KIND.name, _KIND.again)
        except ValueError:
            return path.name
        for name, known in hashes.items():
            if not (folder / name).is_file() or file_hash(folder / name) != known:
                return name
    return ""


def is_seal(path: Path) -> bool:
    return path.match(SEAL.format(rank="*"))
