"""A user's own division into train, val and test, as names of folders and files or as lists of pictures."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Literal

from posebed.data.links import Links
from posebed.listing import shortened, shown
from posebed.records import Dataset

_PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
PartName = Literal["train", "val", "valid", "validation", "test"]
"""What a part may be called: val also valid and validation."""
PART_NAMES = tuple(_PARTS)

Listed = Mapping[str, Sequence[str]]
"""Part to the pictures that its list names, as they stand there."""


def part_named(name: str) -> str:
    """The part of that name, in any case; an empty text where the name is none of a part."""
    return _PARTS.get(name.lower(), "")


def read_lists(parts: Mapping[PartName, str] | str, root: Path, linked: Iterable[str] = ()) -> Listed:
    """The lists of ``options.parts``: by part a text file with one picture a line, or one CSV file with the columns
    ``picture`` and ``part``. Files lie below ``root``, or where links may lead.

    Raises:
        ValueError: a file is not there, is no text, or names a part that there is none of; a part has two lists.
    """
    links = Links(root, linked)
    if isinstance(parts, str):
        return _csv_lists(_text(root, parts, links), root / parts)
    if len({part_named(name) for name in parts}) < len(parts):
        raise ValueError(f"options.parts must have one list of each part, but has {shortened(parts)}")
    return {
        part_named(name): [line.strip() for line in _text(root, file, links).splitlines() if line.strip()]
        for name, file in parts.items()
    }


def _text(root: Path, name: str, links: Links) -> str:
    path = root / name
    if not path.is_file() or not links.allow(path.resolve()):
        raise ValueError(f"options.parts must name files below {root}, but there is no {name}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text in UTF-8, but is not: {error}") from error


def _csv_lists(text: str, path: Path) -> Listed:
    rows = csv.DictReader(text.splitlines())
    if not {"picture", "part"} <= {*(rows.fieldnames or ())}:
        actual = shortened(rows.fieldnames or (), none="nothing")
        raise ValueError(f"{path} must have the columns picture and part in its first line, but that has {actual}")
    listed: dict[str, list[str]] = defaultdict(list)
    for number, row in enumerate(rows, 2):
        part = part_named((row["part"] or "").strip())
        if not part:
            raise ValueError(f"{path} must have train, val or test as part, but row {number} has {shown(row['part'])}")
        listed[part].append((row["picture"] or "").strip())
    return listed


def with_parts(dataset: Dataset, listed: Listed) -> Dataset:
    """The dataset, each record in the part whose list names its picture; what the lists leave open stands in notes.

    A line names a picture by its path below the dataset's folder or by the last components of that path, as far as
    they are unambiguous.

    Raises:
        ValueError: a picture stands in several parts, a line could mean several pictures, or no line of a part names a
            picture that has annotations.
    """
    pictures = dict.fromkeys(record.image for record in dataset.records)
    places = _by_last_components(pictures)
    part_of: dict[str, str] = {}
    twice: list[str] = []
    unknown: list[str] = []
    for part, lines in listed.items():
        named = {line: places.get(_below(line, dataset.root), []) for line in lines}
        _must_name_pictures(part, named, pictures)
        unknown += [line for line, of in named.items() if not of]
        for (picture,) in filter(None, named.values()):
            twice += [picture] if part_of.setdefault(picture, part) != part else []
    if twice:
        raise ValueError(f"a picture must stand in one part, but in several stand {shortened(twice, 5)}")
    return replace(
        dataset,
        records=tuple(replace(record, part=part_of.get(record.image, "")) for record in dataset.records),
        notes=(
            *dataset.notes,
            *_note("Annotated pictures in no list of a part", [p for p in pictures if p not in part_of]),
            *_note("Listed in a part, but without sound annotation", unknown),
        ),
    )


def _must_name_pictures(part: str, named: Mapping[str, Sequence[str]], pictures: Mapping[str, object]) -> None:
    if several := [line for line, of in named.items() if len(of) > 1]:
        raise ValueError(
            f"the list of {part} must name every picture by a path that no other has, but several pictures are called "
            f"{shortened(several, 5)}"
        )
    if pictures and not any(named.values()):
        raise ValueError(
            f"the list of {part} must name pictures with annotations, such as {next(iter(pictures))}, but names "
            f"{shortened(named, 5, 'nothing')}"
        )


def _note(title: str, pictures: Sequence[str]) -> list[str]:
    return [f"{title}: {len(pictures)}, the first is {shown(pictures[0])}."] if pictures else []


def _by_last_components(pictures: Mapping[str, object]) -> dict[str, list[str]]:
    """By every end of a path, in whole components, the pictures that have it; the whole path means that one alone."""
    places: dict[str, list[str]] = defaultdict(list)
    for picture in pictures:
        for end in _ends(picture):
            places[end].append(picture)
    return places | {picture: [picture] for picture in pictures}


def _ends(path: str) -> Iterator[str]:
    components = PurePosixPath(path).parts
    return ("/".join(components[start:]) for start in range(len(components)))


def _below(line: str, root: Path) -> str:
    """The line as a path below the dataset's folder."""
    path = PurePosixPath(line.replace("\\", "/"))
    for folder in (root, root.absolute()):
        if path.is_relative_to(folder.as_posix()) and folder.as_posix() != ".":
            return path.relative_to(folder.as_posix()).as_posix()
    return path.as_posix()
