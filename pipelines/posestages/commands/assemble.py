"""Put MP-100 together from the pictures of its 13 sources, which users download themselves."""

from __future__ import annotations

import csv
import errno
import io
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress

from posebed.annotations.checks import id_text
from posebed.annotations.coco_file import CocoFile, Sheet, read_sheet
from posebed.data.images import Images, OutsideRoot
from posebed.datasets.mp100 import HELD_OUT, annotation_name, annotations_in, pictures_in
from posebed.files import file_hash, write_text, writing
from posebed.listing import cell, shortened, shown
from posestages.commands.mp100_search import CARFUSION, Missing, Place, Points, Search, Wanted, Why, other_size
from posestages.commands.mp100_sources import BY_KEY, CITED, GUIDE, UNKNOWN, source_of

_LIST = "missing.csv"
_BATCH = 128
"""Pictures that are decoded before the first of them is linked."""
_PARTS = ("train", "val", "test")
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK}


@dataclass
class Assembled:
    """What is in the folder, and what is not."""

    wanted: Counter[str] = field(default_factory=Counter[str])
    """Number of pictures by the key of their source, in the order of the sources."""
    there: Counter[str] = field(default_factory=Counter[str])
    new: int = 0
    missing: list[tuple[Wanted, Missing]] = field(default_factory=list[tuple[Wanted, Missing]])
    files_missing: list[str] = field(default_factory=list[str])
    """Annotation files that were found nowhere."""

    @property
    def complete(self) -> bool:
        return not self.missing and not self.files_missing

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """Of each source its title, its key, and how many of its pictures are there."""
        for key, wanted in self.wanted.items():
            yield BY_KEY.get(key, UNKNOWN).title, key, f"{self.there[key]} of {wanted}"


def assemble(folders: Sequence[str], out: Path, copy: bool = False) -> Assembled:
    """Link every picture that MP-100's annotation files name, and those files, into the layout that ``source: mp100``
    reads. What is there stays; what is missing is listed in ``missing.csv``.

    Args:
        folders: to look in, each ``FOLDER`` or ``SOURCE=FOLDER``.
        copy: copy instead of making hard links.

    Raises:
        ValueError: a folder or annotation file that is none, nothing found at all, or no hard link can be made.
    """
    places = [_place(text) for text in folders]
    _bring_annotations(places, out, copy)
    files = sorted(annotations_in(out).glob("mp100_split[1-5]_*.json"))
    wanted = _wanted(files)
    done = Assembled(files_missing=[name for name in _all_files() if name not in {file.name for file in files}])
    done.wanted.update(dict.fromkeys(BY_KEY, 0))
    done.wanted.update(picture.source.key for picture in wanted)
    _fill(pictures_in(out), Search(places, wanted, out), wanted, copy, done)
    if not done.there.total() and all(missing.why is Why.ABSENT for _, missing in done.missing):
        raise ValueError(
            f"--from must name folders with pictures of MP-100, but none of its {len(wanted)} is below "
            f"{shortened(place.folder for place in places)}; {GUIDE} says where to get them"
        )
    _list_missing(done.missing, out / _LIST)
    return done


def describe(assembled: Assembled, out: Path) -> Iterator[str]:
    """What was done and what is missing, in sentences."""
    whole, there = assembled.wanted.total(), assembled.there.total()
    yield f"{there} of {whole} pictures are in {out}, {assembled.new} of them new."
    for why in Why:
        of = [(picture, text) for picture, (reason, text) in assembled.missing if reason is why]
        if of:
            examples = (f"{picture.name} ({text})" if text else picture.name for picture, text in of)
            yield f"{len(of)} {why}: {shortened(examples, 3)}"
    for key, wanted in assembled.wanted.items():
        source = BY_KEY.get(key, UNKNOWN)
        if lacking := wanted - assembled.there[key]:
            yield " ".join(filter(None, (f"{source.title}: {lacking} missing.", source.hint, source.page)))
    if assembled.missing:
        yield f"Every missing picture is listed in {out / _LIST}. The addresses are those of {CITED}."
    if assembled.files_missing:
        yield f"Annotation files that are missing, linked from {GUIDE}: {shortened(assembled.files_missing, 15)}"


def _place(text: str) -> Place:
    key, equals, folder = text.partition("=")
    named = bool(equals) and key in BY_KEY
    place = Place(Path(folder), key) if named else Place(Path(text), None)
    if not place.folder.is_dir():
        raise ValueError(
            f"--from must be a folder, or SOURCE=FOLDER with a source of {', '.join(BY_KEY)}, but is {shown(text)}"
        )
    return place


def _all_files() -> list[str]:
    return [annotation_name(split, part) for split in HELD_OUT for part in _PARTS]


def _bring_annotations(places: Sequence[Place], out: Path, copy: bool) -> None:
    """Link the annotation files that are in the folders and not in ``out``."""
    there = {file.name for file in annotations_in(out).glob("mp100_split*.json")}
    target = annotations_in(out) if there else out / "annotations"
    found = {file.resolve() for place in places for file in place.folder.rglob("mp100_split*.json") if file.is_file()}
    for name in (name for name in _all_files() if name not in there):
        same = sorted(file for file in found if file.name == name)
        if len({file_hash(file) for file in same}) > 1:
            raise ValueError(
                f"{name} must be one file, but {shortened(same, 3)} differ; put that of your choice into {target}"
            )
        if same:
            _put(same[0], target / name, copy)
    if not any(annotations_in(out).glob("mp100_split*.json")):
        raise ValueError(
            f"{out / 'annotations'} or a folder of --from must have an annotation file of MP-100, such as "
            f"{annotation_name(1, 'test')}, but none has; {GUIDE} links them"
        )


def _wanted(files: Sequence[Path]) -> list[Wanted]:
    """Every picture that the files name, each once."""
    pictures: dict[str, Wanted] = {}
    for file in files:
        sheet = read_sheet(file.parent, CocoFile(annotations=file.name))
        if not sheet.pictures:
            told = sheet.problems[0]
            raise ValueError(f"{file} must be a file of COCO keypoints that lists images, but: {told.reason}")
        labelled = _labelled(sheet)
        for identity, picture in sheet.pictures.items():
            name = picture.path
            if not name:
                raise ValueError(
                    f"{file} must state the file_name of every image, but image {shown(identity)} has none"
                )
            source = source_of(name.partition("/")[0])
            instances = labelled.get(identity, ()) if source.key == CARFUSION else ()
            pictures.setdefault(name, Wanted(name, source, picture.size, tuple(instances)))
    return list(pictures.values())


def _labelled(sheet: Sheet) -> dict[str, list[Points]]:
    """By image the labelled keypoints of each of its annotations."""
    labelled: dict[str, list[Points]] = {}
    for annotation in sheet.annotations:
        if isinstance(annotation, dict):
            points = frozenset(_points(annotation.get("keypoints")))
            labelled.setdefault(id_text(annotation.get("image_id")), []).append(points)
    return labelled


def _points(keypoints: Any) -> Iterator[tuple[int, int]]:
    if not isinstance(keypoints, list) or not all(isinstance(value, int | float) for value in keypoints):
        return
    for x, y, flag in zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=False):
        if flag > 0 and isfinite(x) and isfinite(y):
            yield int(x), int(y)


def _is_settled(picture: Wanted, images: Images, done: Assembled) -> bool:
    """Whether a picture is there, or its place cannot be filled; either is noted."""
    place = images.root / picture.name
    try:
        if not images.exists(picture.name):
            return False
        size = images.size(picture.name)
        if picture.size in (None, size, size[::-1]):
            done.there[picture.source.key] += 1
            return True
        missing = other_size(place, size, picture)
    except OutsideRoot as error:
        missing = Missing(Why.UNSAFE, str(error))
    except (ValueError, OSError):
        missing = Missing(Why.DAMAGED, str(place))
    done.missing.append((picture, missing))
    return True


def _fill(root: Path, search: Search, wanted: Sequence[Wanted], copy: bool, done: Assembled) -> None:
    """Link what is not there and is found, and note why others are not there."""
    images, bar = (
        Images(root),
        Progress(*Progress.get_default_columns(), MofNCompleteColumn(), console=Console(stderr=True)),
    )
    with bar as progress:
        task = progress.add_task("looking for pictures", total=len(wanted))
        for start in range(0, len(wanted), _BATCH):
            pictures = wanted[start : start + _BATCH]
            for picture, found in search.find([p for p in pictures if not _is_settled(p, images, done)]):
                if isinstance(found, Missing):
                    done.missing.append((picture, found))
                else:
                    _put(found, root / picture.name, copy)
                    done.there[picture.source.key] += 1
                    done.new += 1
            progress.advance(task, len(pictures))


def _put(file: Path, place: Path, copy: bool) -> None:
    """Make a link to the file, or a copy. Each takes its name when it is whole."""
    file = file.resolve()
    if copy:
        with writing(place) as unfinished:
            shutil.copyfile(file, unfinished)
        return
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        os.link(file, place)
    except OSError as error:
        if place.is_file():
            return  # another command was faster
        way_out = "; choose an --out on the same file system, or give --copy" if error.errno in _NO_LINKS else ""
        raise ValueError(
            f"{place} must become a hard link to {file}, but the system says: {error.strerror}{way_out}"
        ) from error


def _list_missing(missing: Sequence[tuple[Wanted, Missing]], file: Path) -> None:
    """Write what is missing as a table; without anything, no file stays."""
    if not missing:
        file.unlink(missing_ok=True)
        return
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file_name", "source", "why", "details"))
    rows = ((picture.name, picture.source.title, why, details) for picture, (why, details) in missing)
    table.writerows(map(cell, row) for row in rows)
    write_text(text.getvalue(), file)
