"""MP-100, the dataset of category-agnostic pose: one of its five divisions of a hundred categories.

Records keep the order that the loaders of POMNet and CapeFormer have them in, as their test episodes depend on it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from posebed.annotations.checks import Fault, id_text, is_id
from posebed.annotations.coco import read_sheets
from posebed.annotations.coco_file import CocoFile, Sheet, read_sheet
from posebed.annotations.jsonfile import read_json
from posebed.annotations.skeleton import Json
from posebed.annotations.spanning_tree import with_links
from posebed.config import PictureOptions
from posebed.contracts import DatasetSpec
from posebed.listing import shortened, shown
from posebed.records import Dataset, Reason

HELD_OUT: dict[int, dict[str, tuple[int, ...]]] = {
    1: {
        "val": (6, 12, 22, 35, 48, 66, 91, 92, 95, 96),
        "test": (2, 3, 10, 14, 24, 29, 30, 33, 39, 42, 47, 53, 60, 68, 70, 73, 77, 78, 81, 84),
    },
    2: {
        "val": (1, 11, 27, 36, 50, 53, 57, 78, 93, 95),
        "test": (8, 17, 25, 28, 37, 43, 45, 48, 62, 67, 71, 76, 79, 82, 86, 89, 91, 97, 98, 99),
    },
    3: {
        "val": (19, 21, 26, 30, 33, 39, 70, 82, 84, 91),
        "test": (9, 11, 12, 16, 22, 31, 34, 44, 49, 52, 54, 63, 66, 69, 72, 85, 87, 90, 96, 100),
    },
    4: {
        "val": (1, 6, 12, 18, 25, 26, 51, 56, 73, 100),
        "test": (4, 7, 13, 15, 20, 23, 27, 35, 38, 40, 41, 50, 55, 65, 80, 83, 88, 92, 94, 95),
    },
    5: {
        "val": (2, 9, 14, 17, 31, 41, 50, 52, 53, 77),
        "test": (1, 5, 6, 18, 19, 21, 26, 32, 36, 46, 51, 56, 57, 58, 59, 61, 64, 74, 75, 93),
    },
}
"""The official category ids of every split; the others of 1 to 100 train."""

KEYPOINTS = (8, 68)
"""Of its smallest categories, skirt and table, and of its largest, the human face."""

_FAMILIES: dict[str, tuple[int, ...]] = {
    "human body": (72,),
    "human face": (18, 40),
    "human hand": (80,),
    "clothes": (1, 8, 11, 17, 25, 60, 62, 64, 67, 75, 78, 83, 97),
    "furniture": (39, 45, 49, 84, 98),
    "vehicle": (32, 38, 51),
    "animal face": (
        *(4, 7, 10, 12, 13, 19, 22, 23, 24, 34, 36, 37, 47, 48, 56),
        *(57, 61, 63, 65, 69, 74, 77, 79, 81, 82, 89, 93, 94, 96, 99),
    ),
}
"""Super-categories of the paper by category id; the others are animal bodies. The files' own are finer."""

_FAMILY = {str(identity): family for family, of in _FAMILIES.items() for identity in of}


class Options(PictureOptions):
    split: Literal[1, 2, 3, 4, 5] = 1
    """Which division into training, validation and test categories."""
    skeletons: str | None = None
    """A re-annotated file below the path, whose categories' links replace those of the annotation files."""


def read(options: Options, path: Path) -> Dataset:
    """Read the three files of a split, below ``path`` or its folder ``annotations``, and the pictures in folders by
    category, below ``path`` or its folder ``images``. Pictures behind symbolic links that
    leave ``path`` are refused, but for folders that ``linked`` names.

    Raises:
        LookupError: there is no file of that name for the skeletons.
        ValueError: that file is none of COCO keypoints.
    """
    links = _links(path / options.skeletons) if options.skeletons else {}
    sheets = [read_sheet(path, _file(options, part, path, links)) for part in ("train", "val", "test")]
    for sheet in sheets:
        _must_be_the_categories_of(sheet, options.split)
    dataset = with_links(read_sheets(path, sheets, options))
    return replace(dataset, notes=(*dataset.notes, *_notes(dataset)))


def annotation_name(split: int, part: str) -> str:
    """The name of an annotation file."""
    return f"mp100_split{split}_{part}.json"


def annotations_in(path: Path) -> Path:
    """The folder of the annotation files."""
    return path / "annotations" if (path / "annotations").is_dir() else path


def pictures_in(path: Path) -> Path:
    """The folder that every ``file_name`` starts from."""
    return path / "images" if (path / "images").is_dir() else path


def _file(options: Options, part: str, path: Path, links: Json) -> CocoFile:
    return CocoFile(
        annotations=(annotations_in(path) / annotation_name(options.split, part)).relative_to(path).as_posix(),
        images=pictures_in(path).relative_to(path).as_posix(),
        part=part,
        content=_in_order_of_images,
        category=partial(_category, links),
        skeleton_base=0,
    )


def _in_order_of_images(content: Any) -> Any:
    """The annotations sorted as their images are listed, the order in which the official loaders go through them."""
    images, annotations = (
        content.get(name) if isinstance(content, dict) else None for name in ("images", "annotations")
    )
    if not isinstance(images, list) or not isinstance(annotations, list):
        return content
    place = {id_text(image.get("id")): number for number, image in enumerate(images) if isinstance(image, dict)}

    def listed(annotation: Any) -> int:
        return (
            place.get(id_text(annotation.get("image_id")), len(place)) if isinstance(annotation, dict) else len(place)
        )

    return {**content, "annotations": sorted(annotations, key=listed)}


def _category(links: Json, entry: Json) -> Json:
    identity = id_text(entry["id"])
    own = {"skeleton": links[identity]} if identity in links else {}
    return {**entry, "supercategory": _FAMILY.get(identity, "animal body"), **own}


def _links(file: Path) -> dict[str, Any]:
    """By category id the links that a file states."""
    if not file.is_file():
        raise LookupError(f"options.skeletons must name a file of the dataset, but there is no {file}")
    content = read_json(file)
    categories = content.get("categories") if isinstance(content, dict) else None
    entries: list[Any] = categories if isinstance(categories, list) else [None]
    if wrong := [entry for entry in entries if not isinstance(entry, dict) or not is_id(entry.get("id"))]:
        found = f"has {shown(wrong[0])} among them" if isinstance(categories, list) else f"holds {shown(content)}"
        raise ValueError(
            f"{file} must be a JSON object with a list `categories` of objects, each with an id and, where its links "
            f"are to be replaced, a skeleton, but {found}"
        )
    return {id_text(entry["id"]): entry["skeleton"] for entry in entries if entry.get("skeleton")}


def _must_be_the_categories_of(sheet: Sheet, split: int) -> None:
    """Tell where a file holds other categories than those of its part."""
    held = HELD_OUT[split]
    train = set(range(1, 101)) - {*held["val"], *held["test"]}
    wanted = {str(identity) for identity in held.get(sheet.file.part, train)}
    if sheet.categories and set(sheet.categories) != wanted:
        differences = {"lacks": wanted - set(sheet.categories), "has besides": set(sheet.categories) - wanted}
        text = ", ".join(
            f"{what} {shortened(sorted(ids, key=_numerically))}" for what, ids in differences.items() if ids
        )
        must = f"those that the {sheet.file.part} part of split {split} officially has"
        sheet.tell("", "", Fault("categories", Reason.OTHER_CATEGORIES, text, must))


def _numerically(identity: str) -> tuple[int, str]:
    return len(identity), identity


def _notes(dataset: Dataset) -> Iterator[str]:
    yield f"Licence: {SPEC.licence}."
    yield f"Source: {SPEC.source}."
    reasons = {
        Reason.BOX_EXTENT: "Boxes without extent, which the reference loaders drop as well",
        Reason.MISSING_IMAGE: "Records whose picture is missing",
    }
    for reason, title in reasons.items():
        of = Counter(p.category for p in dataset.problems if p.reason == reason and p.record and p.category)
        if of:
            yield f"{title}: {', '.join(f'{category} {number}' for category, number in of.most_common())}."


SPEC = DatasetSpec(
    title="MP-100",
    options=Options,
    read=read,
    licence="annotations for non-commercial research; pictures under the terms of their sources",
    source="github.com/luminxu/Pose-for-Everything, mp100/README.md; with links from github.com/orhir/PoseAnything",
)
