"""The one table that every dataset becomes, and the problems that were found on the way.

A record is one annotated instance. Nothing here imports torch; the table is read and written with pyarrow.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from posebed.config import Orientation
from posebed.files import Content, must_be_as_written, with_files, write_text
from posebed.forms import Form, checked
from posebed.listing import cell, clipped, counted
from posebed.own_json import Kind, read_json, read_json_list
from posebed.parquet import read_table, write_table

DEFAULT_SIGMA = 0.05
"""OKS sigma of a keypoint whose dataset states none; the report says so where it is used."""


@dataclass(frozen=True)
class Category:
    """A kind of animal or thing and its skeleton. Indices into ``keypoints`` count from 0."""

    key: str
    """Unique in its dataset; two categories may share a ``name`` but never a key."""
    name: str
    keypoints: tuple[str, ...]
    family: str = ""
    """The group above: family, super-category; empty where the dataset has none."""
    limbs: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()
    """Mirror partners; a keypoint stands in one pair at most."""
    sigmas: tuple[float, ...] = ()
    """OKS sigma per keypoint; empty where the dataset states none."""
    upper_body: tuple[int, ...] = ()
    """Keypoints of the upper body, for half-body augmentation; empty where the notion has no meaning."""

    def __post_init__(self) -> None:
        ends = [end for pair in self.flip_pairs for end in pair]
        if len({*ends}) < len(ends) or not all(0 <= end < len(self.keypoints) for end in ends):
            raise ValueError(
                f"flip_pairs of {self.key or self.name!r} must be symmetric, each of its {len(self.keypoints)} "
                f"keypoints in one pair at most, but are {clipped(str([list(pair) for pair in self.flip_pairs]))}"
            )

    def flip_index(self) -> tuple[int, ...]:
        """For every keypoint the one that takes its place in the mirrored picture."""
        index = list(range(len(self.keypoints)))
        for left, right in self.flip_pairs:
            index[left], index[right] = right, left
        return tuple(index)

    def oks_sigmas(self) -> tuple[float, ...]:
        return self.sigmas or (DEFAULT_SIGMA,) * len(self.keypoints)


@dataclass(frozen=True)
class Record:
    """One annotated instance. Coordinates are pixels of the whole image; integers are pixel centres."""

    record: str
    """Identity, unique in its dataset."""
    image: str
    """Path of the picture below the dataset's image root."""
    width: int
    height: int
    category: str
    """Key of its category."""
    box: tuple[float, float, float, float]
    """x, y, width, height."""
    area: float
    """Square pixels, the scale of OKS: the segment's area where there is one, else the box's."""
    keypoints: np.ndarray
    """(K, 3): x, y, and visibility 0 unlabelled, 1 labelled but hidden, 2 visible."""
    group: str = ""
    """Clip or individual: records of one group never part in a split. Empty: the image is the group."""
    part: str = ""
    """train, val or test in the dataset's own division, where it has one."""
    detection: float | None = None
    """Confidence of the detector that drew the box, of which the keypoints are unknown (all 0); None where it is
    annotated."""


class Reason(StrEnum):
    """Every reason for which a record is refused; problems are counted by it."""

    NO_FILE = "missing annotation file"
    NOT_JSON = "not JSON"
    WRONG_TYPE = "wrong type"
    MISSING_FIELD = "missing field"
    NO_IMAGES = "no images"
    NO_CATEGORIES = "no categories"
    NO_ANNOTATIONS = "no annotations"
    DUPLICATE_IMAGE = "duplicate image id"
    DUPLICATE_ANNOTATION = "duplicate annotation id"
    DUPLICATE_CATEGORY = "duplicate category id"
    MANY_CATEGORIES = "too many categories"
    MANY_ENTRIES = "too many entries"
    OTHER_CATEGORIES = "categories of another file"
    UNKNOWN_IMAGE = "unknown image"
    UNKNOWN_CATEGORY = "unknown category"
    FAULTY_CATEGORY = "faulty category"
    BAD_SKELETON = "bad skeleton"
    BAD_SIGMAS = "bad sigmas"
    NO_GROUP = "no group"
    PATH_LEAVES_FOLDER = "image path leaves its folder"
    LINK_LEAVES_FOLDER = "link leaves the folder"
    MISSING_IMAGE = "missing image"
    UNREADABLE_IMAGE = "unreadable image"
    DAMAGED_IMAGE = "damaged picture"
    TRUNCATED_IMAGE = "truncated image"
    IMAGE_TOO_LARGE = "image too large"
    MANY_SCANS = "too many scans"
    IMAGE_SIZE = "image size differs"
    CROWDED_IMAGE = "too many annotations on one image"
    KEYPOINT_COUNT = "wrong number of keypoint values"
    NOT_A_NUMBER = "not a number"
    NOT_FINITE = "not finite"
    VISIBILITY = "visibility not 0, 1 or 2"
    NO_KEYPOINT = "no labelled keypoint"
    KEYPOINT_FAR = "keypoint far outside the image"
    BOX_EXTENT = "box without extent"
    BOX_OUTSIDE = "box outside the image"
    BOX_FAR = "box far outside the image"
    AREA = "area not positive"
    AREA_TOO_LARGE = "area larger than the image"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the data: where it is, what was found and what must hold."""

    file: str
    record: str
    """Identity of the annotation or image, empty where the whole file is meant."""
    category: str
    field: str
    reason: str
    """A short fixed phrase by which problems are counted."""
    found: str
    must: str


@dataclass(frozen=True)
class Reading:
    """How the pictures of a dataset are found and decoded."""

    orientation: Orientation = "stored"
    bits: int | None = None
    """Bits per channel that the values of its pictures with more than 8 need; None where it has no such picture."""
    linked: tuple[str, ...] = ()
    """Folders outside the root that symbolic links below it may lead to."""


AS_STORED = Reading()


@dataclass(frozen=True)
class Dataset:
    """What a dataset module reads: every category, every sound record, and every problem."""

    root: Path
    """Folder or uncompressed zip file that image paths start from."""
    categories: tuple[Category, ...]
    records: tuple[Record, ...]
    problems: tuple[Problem, ...] = ()
    checked: int = 0
    """Annotations looked at, sound or not."""
    notes: tuple[str, ...] = field(default=())
    """One sentence each: source, licence, known defects, shown in the report."""
    reading: Reading = AS_STORED
    hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    """Path of a picture to the SHA-256 of its file, in hexadecimal digits."""


class PlainCategory(Form):
    """A category as JSON has it."""

    key: str
    name: str
    family: str
    keypoints: list[str]
    limbs: list[tuple[int, int]]
    flip_pairs: list[tuple[int, int]]
    sigmas: list[Annotated[float, Field(gt=0)]]
    upper_body: list[int]


class _PlainReading(Form):
    orientation: Orientation
    bits: Annotated[int, Field(ge=1, le=16)] | None
    linked: list[str]


class _Prepared(Form):
    root: Annotated[str, Field(min_length=1)]
    reading: _PlainReading = _PlainReading(orientation="stored", bits=None, linked=[])
    notes: list[str]
    checked: int
    kept: int
    dropped: dict[str, dict[str, int]]
    default_sigmas: list[str]
    files: dict[str, str] = {}


PREPARE_AGAIN = "`dvc repro prepare` makes it again"
PREPARED = Kind(
    "the description of prepared data", (lambda content: content, with_files), form=_Prepared, again=PREPARE_AGAIN
)
"""``about.json`` beside the records of a dataset."""
PREPARED_FILES = ("records.parquet", "pictures.parquet", "categories.json", "problems.csv")
"""Beside which it lies."""

RECORDS = pa.schema(
    [
        ("record", pa.string()),
        ("image", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("category", pa.string()),
        ("box", pa.list_(pa.float64(), 4)),
        ("area", pa.float64()),
        ("keypoints", pa.list_(pa.float32())),
        ("group", pa.string()),
        ("part", pa.string()),
        ("detection", pa.float64()),
    ]
)


_HASHES = pa.schema([("image", pa.string()), ("sha256", pa.string())])


def write_hashes(hashes: Mapping[str, str], path: Path) -> None:
    """Write the SHA-256 of every picture's file as Parquet."""
    columns = {"image": list(hashes), "sha256": list(hashes.values())}
    write_table(pa.table(columns, schema=_HASHES), path)


def read_hashes(path: Path) -> dict[str, str]:
    """Read what ``write_hashes`` wrote."""
    table = read_table(path, "the hashes of pictures", _HASHES, PREPARE_AGAIN)
    return dict(zip(table["image"].to_pylist(), table["sha256"].to_pylist(), strict=True))


def write_records(records: Sequence[Record], path: Path) -> None:
    write_table(table_of(records), path)


def table_of(records: Sequence[Record]) -> pa.Table:
    """As ``records_of`` reads it."""
    columns = {f.name: [getattr(r, f.name) for r in records] for f in fields(Record) if f.name != "keypoints"}
    columns["keypoints"] = [np.asarray(r.keypoints, np.float32).ravel() for r in records]
    return pa.table(columns, schema=RECORDS)


def read_records(path: Path) -> list[Record]:
    """Read what ``write_records`` wrote.

    Raises:
        ValueError: there is no such file, or it is no table of records.
    """
    return records_of(read_table(path, "a table of records", RECORDS, PREPARE_AGAIN, nullable=("detection",)), path)


def records_of(table: pa.Table, path: Path) -> list[Record]:
    """The records in a table that was read from a file.

    Raises:
        ValueError: one is there twice, or its keypoints are no three numbers each.
    """
    names = [field.name for field in fields(Record)]
    rows = table.select(names).to_pylist()
    if len({row["record"] for row in rows}) < len(rows):
        raise ValueError(f"{path} must hold every record once, but holds one twice; {PREPARE_AGAIN}")
    for row in rows:
        row["box"] = tuple(row["box"])
        if len(row["keypoints"]) % 3:
            raise ValueError(
                f"{path} must hold x, y and visibility of every keypoint, but has {len(row['keypoints'])} numbers for "
                f"{clipped(repr(row['record']))}; {PREPARE_AGAIN}"
            )
        row["keypoints"] = np.asarray(row["keypoints"], np.float32).reshape(-1, 3)
    return [Record(**row) for row in rows]


def must_fit(records: Iterable[Record], categories: Iterable[Category], path: Path, again: str) -> None:
    """
    Args:
        path: of the records.
        again: in messages, how to get it back.

    Raises:
        ValueError: a record has no category, or other keypoints than its category, or a number that is not finite.
    """
    known = {category.key: len(category.keypoints) for category in categories}
    for record in records:
        count, name = known.get(record.category), record.record
        if count != len(record.keypoints):
            of = "of a category that is not there" if count is None else f"with {len(record.keypoints)} keypoints"
            raise ValueError(f"{path} must hold records of its categories, but {clipped(repr(name))} is {of}; {again}")
        if not math.isfinite(sum(record.box) + record.area) or not np.isfinite(record.keypoints).all():
            raise ValueError(f"{path} must hold finite numbers, but {clipped(repr(name))} has others; {again}")


def read_prepared(folder: Path) -> Content:
    """The description of prepared data; the files beside it are what it says.

    Raises:
        ValueError: it is no such description, or one of them is another one.
    """
    about = _described(folder)
    for name in PREPARED_FILES:
        if (folder / name).is_file():
            must_be_as_written(folder / name, about, PREPARE_AGAIN)
    return about


def _described(folder: Path) -> Content:
    """Nothing where the tables lie alone."""
    about = folder / "about.json"
    return read_json(about, PREPARED) if os.path.lexists(about) else {}


def prepared_records(folder: Path) -> list[Record]:
    """All records of prepared data.

    Raises:
        ValueError: they are not as many as its description says, or do not fit its categories; or as ``read_records``.
    """
    path = folder / "records.parquet"
    records = read_records(path)
    kept = _described(folder).get("kept", len(records))
    if len(records) != kept:
        raise ValueError(f"{path} must hold {counted(kept, 'record')}, but holds {len(records)}; {PREPARE_AGAIN}")
    must_fit(records, read_categories(folder / "categories.json"), path, PREPARE_AGAIN)
    read_prepared(folder)
    return records


def categories_to_json(categories: Iterable[Category]) -> str:
    return json.dumps([asdict(c) for c in categories], indent=1)


def write_categories(categories: Iterable[Category], path: Path) -> None:
    write_text(categories_to_json(categories), path)


def read_categories(path: Path) -> tuple[Category, ...]:
    """Read what ``write_categories`` wrote.

    Raises:
        ValueError: there is no such file, or it holds no list of categories.
    """
    name, again = "a list of categories", f"{PREPARE_AGAIN}, and `dvc repro pack` a pack"
    return categories_in(read_json_list(path, name, again), path, name, again)


def categories_in(values: object, path: Path, name: str, again: str) -> tuple[Category, ...]:
    """Categories from what a file holds.

    Args:
        name, again: as in ``forms.checked``.

    Raises:
        ValueError: they are none, two have one key, or a number in one names no keypoint.
    """
    checked(values, list[PlainCategory], path, name, again)
    try:
        found = categories_from(values)  # pyright: ignore[reportArgumentType]: checked
    except ValueError as error:
        raise ValueError(f"{path} must be {name}, but {error}; {again}") from None
    keys = Counter(category.key for category in found)
    for category in found:
        if fault := "is there twice" if keys[category.key] > 1 else _fault(category):
            raise ValueError(f"{path} must be {name}, but {clipped(repr(category.key))} {fault}; {again}")
    return found


def _fault(category: Category) -> str:
    count = len(category.keypoints)
    if not all(0 <= end < count for end in (*category.upper_body, *(end for limb in category.limbs for end in limb))):
        return f"names a keypoint beyond its {count}"
    return "" if len(category.sigmas) in (0, count) else f"has {len(category.sigmas)} sigmas for {count} keypoints"


def categories_from(values: Iterable[Mapping[str, Any]]) -> tuple[Category, ...]:
    """Categories from plain values that were checked."""

    def pairs(value: list[list[int]]) -> tuple[tuple[int, int], ...]:
        return tuple((a, b) for a, b in value)

    return tuple(
        Category(
            key=c["key"],
            name=c["name"],
            family=c["family"],
            keypoints=tuple(c["keypoints"]),
            limbs=pairs(c["limbs"]),
            flip_pairs=pairs(c["flip_pairs"]),
            sigmas=tuple(c["sigmas"]),
            upper_body=tuple(c["upper_body"]),
        )
        for c in values
    )


def write_problems(problems: Sequence[Problem], path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [f.name for f in fields(Problem)])
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in asdict(p).items()} for p in problems)
    write_text(text.getvalue(), path)


def read_problems(path: Path) -> list[Problem]:
    with path.open(newline="", encoding="utf-8") as file:
        return [Problem(**row) for row in csv.DictReader(file)]
