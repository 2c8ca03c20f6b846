"""The one table that every dataset becomes, and the problems that were found on the way.

A record is one annotated instance. Nothing here imports torch; the table is read and written with pyarrow.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posebed.config import Orientation
from posebed.files import Kind, read_json_list, write_text, writing
from posebed.listing import clipped

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
    IMAGE_SIZE = "image size differs"
    KEYPOINT_COUNT = "wrong number of keypoint values"
    NOT_A_NUMBER = "not a number"
    NOT_FINITE = "not finite"
    VISIBILITY = "visibility not 0, 1 or 2"
    NO_KEYPOINT = "no labelled keypoint"
    BOX_EXTENT = "box without extent"
    BOX_OUTSIDE = "box outside the image"
    AREA = "area not positive"


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


PREPARED = Kind("the description of prepared data")
"""``about.json`` beside the records of a dataset."""

_SCHEMA = pa.schema(
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


def write_table(table: pa.Table, path: Path) -> None:
    """Write Parquet, whole or not at all."""
    with writing(path) as unfinished:
        pq.write_table(table, unfinished)


_HASHES = pa.schema([("image", pa.string()), ("sha256", pa.string())])


def write_hashes(hashes: Mapping[str, str], path: Path) -> None:
    """Write the SHA-256 of every picture's file as Parquet."""
    columns = {"image": list(hashes), "sha256": list(hashes.values())}
    write_table(pa.table(columns, schema=_HASHES), path)


def read_hashes(path: Path) -> dict[str, str]:
    """Read what ``write_hashes`` wrote."""
    table = pq.read_table(path, schema=_HASHES)
    return dict(zip(table["image"].to_pylist(), table["sha256"].to_pylist(), strict=True))


def write_records(records: Sequence[Record], path: Path) -> None:
    columns = {f.name: [getattr(r, f.name) for r in records] for f in fields(Record) if f.name != "keypoints"}
    columns["keypoints"] = [np.asarray(r.keypoints, np.float32).ravel() for r in records]
    write_table(pa.table(columns, schema=_SCHEMA), path)


def read_records(path: Path) -> list[Record]:
    rows = pq.read_table(path, schema=_SCHEMA).to_pylist()
    for row in rows:
        row["box"] = tuple(row["box"])
        row["keypoints"] = np.asarray(row["keypoints"], np.float32).reshape(-1, 3)
    return [Record(**row) for row in rows]


def categories_to_json(categories: Iterable[Category]) -> str:
    return json.dumps([asdict(c) for c in categories], indent=1)


def write_categories(categories: Iterable[Category], path: Path) -> None:
    write_text(categories_to_json(categories), path)


def read_categories(path: Path) -> tuple[Category, ...]:
    """Read what ``write_categories`` wrote.

    Raises:
        ValueError: there is no such file, or it holds no list.
    """
    return categories_from(read_json_list(path, "a list of categories"))


def categories_from_json(text: str) -> tuple[Category, ...]:
    return categories_from(json.loads(text))


def categories_from(values: Iterable[Mapping[str, Any]]) -> tuple[Category, ...]:
    """Categories from plain values."""

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
    writer.writerows(asdict(p) for p in problems)
    write_text(text.getvalue(), path)


def read_problems(path: Path) -> list[Problem]:
    with path.open(newline="", encoding="utf-8") as file:
        return [Problem(**row) for row in csv.DictReader(file)]
