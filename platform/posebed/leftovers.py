"""What nobody needs any more: found, named with its size, and removed.

Removing may be interrupted at any moment and repeated by several processes at once.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from posebed.contents import COMPILED, FOLDER, Cache, in_use, remove_unused
from posebed.files import abandoned, remove, remove_abandoned, size_of
from posebed.listing import amount

DAY = 24 * 3600.0


@dataclass(frozen=True)
class Leftover:
    """Something that may be removed."""

    kind: str
    """In the plural, such as ``jobs``."""
    name: str
    size: int | None
    """In bytes; None where that is not known."""
    remove: Callable[[], object]


@dataclass(frozen=True)
class Cleared:
    """What became of a leftover."""

    kind: str
    name: str
    """Empty where something else failed than its removal."""
    size: int | None
    failed: str = ""
    """Why it could not be removed."""


def clear(leftovers: Iterable[Leftover], dry_run: bool) -> Iterator[Cleared]:
    """Remove them, or only name them; what cannot be removed or looked for is told."""
    try:
        for leftover in leftovers:
            yield _cleared(leftover, dry_run)
    except (OSError, ValueError) as error:
        yield Cleared("", "", None, str(error))


def _cleared(leftover: Leftover, dry_run: bool) -> Cleared:
    failed = ""
    try:
        if not dry_run:
            leftover.remove()
    except (OSError, ValueError) as error:
        failed = str(error)
    return Cleared(leftover.kind, leftover.name, leftover.size, failed)


def lines(cleared: Iterable[Cleared], dry_run: bool) -> Iterator[str]:
    """A line per kind, sorted, with number and size; before it one for each that could not be removed, or, where none
    was to be, for each."""
    kinds: defaultdict[str, list[Cleared]] = defaultdict(list)
    for one in cleared:
        if one.failed:
            yield f"{one.name} must be removed, but that fails with: {one.failed}" if one.name else one.failed
        else:
            if dry_run:
                yield f"  {one.name}{_size(one.size)}"
            kinds[one.kind].append(one)
    for kind, those in sorted(kinds.items()):  # machines that share a folder clear it in any order
        sizes = [one.size for one in those if one.size is not None]
        yield f"{kind}: {len(those)}{_size(sum(sizes) if sizes else None)}"


def _size(size: int | None) -> str:
    return "" if size is None else f", {amount(size)}"


def at(kind: str, path: Path) -> Leftover:
    """A file or folder of this machine."""
    return Leftover(kind, str(path), size_of(path), lambda: _must_be_gone(remove(path)))


def unfinished(folder: Path) -> Iterator[Leftover]:
    """What killed writers left in a folder."""
    for path in abandoned(folder):
        yield Leftover(
            "unfinished files", str(path), size_of(path), lambda path=path: _must_be_gone(remove_abandoned(path))
        )


def cache_leftovers(cache: Cache, days: float) -> Iterator[Leftover]:
    """Contents and compiled code on this machine that nobody uses, nor has for so many days, and what killed workers
    left."""
    places = (cache.folder, *sorted((cache.folder / FOLDER).glob("??")))
    for folder in places:
        yield from unfinished(folder)
    for path in sorted(cache.contents()):
        if _age(path) > days * DAY and not in_use(path):
            yield Leftover("cached contents", str(path), size_of(path), lambda path=path: remove_unused(path))
    for path in sorted((cache.folder / COMPILED).glob("*")):
        if _age(path) > days * DAY:
            yield at("compiled code", path)


def _age(path: Path) -> float:
    """Seconds since its last use; 0 where it is gone by now."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _must_be_gone(gone: bool) -> None:
    if not gone:
        raise OSError("a part of it cannot be removed")
