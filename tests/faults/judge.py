"""Holds the answer to every malformed input against the promise: a sentence and exit code 2, or the code that its door
names, and never a traceback, a hang, much memory, a file, foreign code or a secret.

``python tests/faults/judge.py`` tries all inputs and prints the table of ``docs/security.md``.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from faults import doors_artefacts, doors_data, doors_outside
from faults.artefact_project import build
from faults.door import RUN, Door
from faults.forked import Ended, Forks

MOST_GIGABYTES = 2.2
"""Half of them are there from the start."""
EVIL = "executed"
_EVIL = f"open({EVIL!r}, 'w').close()\n"
"""A module of the working folder that must never be imported."""
_WORKING = (".posebed", "__pycache__")
"""Where locks and caches may come to lie."""


def all_doors() -> list[Door]:
    return [*doors_data.doors(), *doors_artefacts.doors(), *doors_outside.doors()]


def drawn(doors: Sequence[Door], count: int, seed: int) -> list[Door]:
    """So many of them, drawn by turns from the table's rows, so that short ones are there too."""
    rng = np.random.default_rng(seed)
    rows: dict[tuple[str, str], list[Door]] = {}
    for place in rng.permutation(len(doors)):
        rows.setdefault(_row(doors[place]), []).append(doors[place])
    turns = [
        door for turn in range(max(map(len, rows.values()))) for of in rows.values() for door in of[turn : turn + 1]
    ]
    return turns[:count]


def judged(doors: Iterable[Door], project: Path, folder: Path) -> Iterator[tuple[Door, str]]:
    """Each door with what was wrong with the answer, or nothing.

    Args:
        project: as ``artefact_project`` makes it.
        folder: to make copies in.
    """
    with Forks() as forks:
        for door in doors:
            place = folder / "tried"
            _prepare(place, project if door.in_project else None)
            with door.opened(place) as variables:
                before = _tree(place)
                command = [str(project / "runs/floor") if word == RUN else word for word in door.command]
                ended = forks.run(command, place, door.seconds, variables=variables)
                after = _tree(place)
            yield door, _fault(door, ended, before, after) or ("it ran foreign code" if (place / EVIL).exists() else "")
            shutil.rmtree(place, ignore_errors=True)


def _prepare(place: Path, project: Path | None) -> None:
    shutil.rmtree(place, ignore_errors=True)
    if project:
        shutil.copytree(project, place)
    else:
        place.mkdir()
    (place / "evil.py").write_text(_EVIL)


def _fault(door: Door, ended: Ended, before: Mapping[str, object], after: Mapping[str, object]) -> str:
    output, errors = (text.decode(errors="replace") for text in (ended.output, ended.errors))
    if ended.code is None:
        return f"it took more than {door.seconds:.0f} s"
    if ended.code not in door.codes or "Traceback (most" in errors + output:
        return f"it ended with {ended.code} instead of {door.codes}: {errors[-600:] or output[-300:]}"
    if ended.code == 2 and errors.strip().count("\n"):
        return f"it said more than a sentence: {errors[:600]}"
    if door.says and door.says not in errors + output:
        return f"it did not say {door.says!r}: {errors[:600] or output[:300]}"
    if any(sign in output + errors for sign in "\x1b\x07\x00") or doors_outside.SECRET in output + errors:
        return f"it showed what it must not: {(errors or output)[:300]!r}"
    if ended.gigabytes > MOST_GIGABYTES:
        return f"it took {ended.gigabytes:.1f} GB"
    written = sorted({path for path, _ in before.items() ^ after.items()}) if ended.code == 2 else []
    return f"it wrote {written[:5]}" if written else ""


def _tree(folder: Path) -> dict[str, object]:
    """What every file holds, of a large one its size, where one could be left."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        if not set(path.parts) & set(_WORKING) and not name.endswith((".lock", "-shm", "-wal")):
            size = path.lstat().st_size
            found[name] = path.read_bytes() if path.is_file() and size < 2**18 else size * path.is_file()
    return found


def table(answers: Sequence[tuple[Door, str]]) -> str:
    """By area and kind, how many were tried and how many were answered as promised."""
    tried = Counter(_row(door) for door, _ in answers)
    kept = Counter(_row(door) for door, fault in answers if not fault)
    rows = [f"| {area} | {kind} | {count} | {kept[area, kind]} |" for (area, kind), count in sorted(tried.items())]
    total = f"| all | | {sum(tried.values())} | {sum(kept.values())} |"
    return "\n".join(
        ["| through | input | tried | answered as promised |", "| --- | --- | ---: | ---: |", *rows, total]
    )


def _row(door: Door) -> tuple[str, str]:
    """Of the table: the area, and the kind without the file that it is of."""
    return door.area, re.split(r"[:,(]", door.kind)[0].strip()


def main() -> None:
    from rich.progress import track

    doors, answers = all_doors(), list[tuple[Door, str]]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "project").mkdir()
        build(folder / "project")
        for door, fault in track(judged(doors, folder / "project", folder), total=len(doors)):
            answers.append((door, fault))
            if fault:
                print(f"{door.kind}: {door.name}: {' '.join(door.command)[:200]}: {fault}", flush=True)
    print(table(answers))


if __name__ == "__main__":
    main()
