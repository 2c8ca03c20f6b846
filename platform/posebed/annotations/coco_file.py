"""What stands in one COCO-keypoints annotation file: its pictures and categories by id, its annotations unread.

``coco`` makes records of the annotations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from posebed.annotations.checks import (
    Fault,
    FieldRule,
    Size,
    field_faults,
    id_text,
    is_id,
    is_name,
    is_names,
    is_path,
    is_side,
    is_text,
    must_be_few,
    shown,
    wrong_type,
)
from posebed.annotations.jsonfile import read_json
from posebed.annotations.skeleton import Json, index_base, read_category, usual_base
from posebed.foreign_files import is_regular, what_is_there
from posebed.limits import LONGEST_NAME, LONGEST_PATH, MOST_CATEGORIES, MOST_ENTRIES, MOST_KEYPOINTS
from posebed.listing import clipped
from posebed.records import Category, Problem, Reason

ID_RULE = f"a whole number or a text of at most {LONGEST_PATH} characters"
_FILE_NAME: FieldRule = ("file_name", is_path, f"the path of a picture, of at most {LONGEST_PATH} characters")
_SIDES: tuple[FieldRule, ...] = (
    ("width", is_side, "a whole number above 0"),
    ("height", is_side, "a whole number above 0"),
)
_NAMES = f"a list of at most {MOST_KEYPOINTS} names that differ, each of at most {LONGEST_NAME} characters"
_CATEGORY: tuple[FieldRule, ...] = (
    ("name", is_name, f"a text of at most {LONGEST_NAME} characters"),
    ("keypoints", is_names, _NAMES),
)


def _unchanged(given: Any) -> Any:
    return given


@dataclass(frozen=True)
class CocoFile:
    """One annotation file and what it does not say itself."""

    annotations: str
    """Its path below the dataset's root."""
    images: str = ""
    """Folder or zip file below the root that its ``file_name`` start from."""
    label: str = ""
    """Goes in front of the identities of its records and groups, so that several files do not collide."""
    part: str = ""
    """train, val or test, where the file is a part of an official split."""
    group: Callable[[Json, Json], str] | None = None
    """From annotation and image entry the group; an empty answer is a problem."""
    content: Callable[[Any], Any] = _unchanged
    """Turns what the file holds into COCO's form before it is read; what it does not know it leaves as it is."""
    category: Callable[[Json], Json] = _unchanged
    """Completes or corrects a category entry before it is read."""
    sized: bool = True
    """Image entries must state width and height; where they need not, the pictures do."""
    skeleton_base: Literal[0, 1] | None = None
    """What links count from; by default what they themselves prove."""
    unlabelled: Literal["problem", "skip", "keep"] = "problem"
    """What an annotation is whose ``num_keypoints`` is 0. COCO means a person of whom only the box is known, and keeps
    it, as crowd regions, so that poses found there count neither as right nor as wrong."""

    def labelled(self, text: object) -> str:
        return f"{self.label}/{text}" if self.label else str(text)


@dataclass
class Picture:
    """An image entry. Its faults are reported for every annotation that lies on it, so that those can be counted."""

    entry: Json
    path: str
    """Below the dataset's root; empty where the entry names none."""
    size: Size | None
    """Width and height as stated, where they are."""
    faults: list[Fault]


class FaultyCategory(NamedTuple):
    """A category entry that cannot be used."""

    title: str
    """What its problems are counted under."""
    fault: str
    """Its first fault, as words that follow "whose"."""


@dataclass
class Sheet:
    """The content of one annotation file, and its problems. Ids are keys as texts."""

    file: CocoFile
    annotations: list[Any] = field(default_factory=list)
    pictures: dict[str, Picture] = field(default_factory=dict)
    categories: dict[str, Category] = field(default_factory=dict)
    faulty_categories: dict[str, FaultyCategory] = field(default_factory=dict)
    unusable: dict[str, int] = field(default_factory=dict)
    """For ``images`` and ``categories``, how many entries have no usable id; without a key where there is no list."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    skipped: int = 0

    def tell(self, record: str, category: str, *faults: Fault) -> None:
        """Note faults; ValueError where they are more than can be kept."""
        self.problems.extend(Problem(self.file.annotations, record, category, *fault) for fault in faults)
        must_be_few(self.problems)

    def identity(self, position: int) -> str:
        raw = self.annotations[position]
        known = isinstance(raw, dict) and is_id(raw.get("id"))
        return self.file.labelled(id_text(raw["id"]) if known else f"annotations[{position}]")

    def titled(self, note: str) -> str:
        title = self.file.label or self.file.part
        return f"{title}: {note}" if title else note


def read_sheet(root: Path, file: CocoFile) -> Sheet:
    sheet = Sheet(file)
    _fill(sheet, _content(root, sheet))
    return sheet


def sheet_of(file: CocoFile, content: Json) -> Sheet:
    """As ``read_sheet``, of content in COCO's form that was read before."""
    sheet = Sheet(file)
    _fill(sheet, content)
    return sheet


def _fill(sheet: Sheet, content: Json | None) -> None:
    if content is not None:
        sheet.annotations = _entries(sheet, content, "annotations", Reason.NO_ANNOTATIONS)
        if images := _entries(sheet, content, "images", Reason.NO_IMAGES):
            _read_pictures(sheet, images)
        if categories := _entries(sheet, content, "categories", Reason.NO_CATEGORIES):
            _read_categories(sheet, categories)
        sheet.notes.extend(_origin(content.get("info")))


def _content(root: Path, sheet: Sheet) -> Json | None:
    """The JSON object of the file, None where there is none. Problems of a whole file name no record."""
    path = root / sheet.file.annotations
    if not is_regular(path):
        sheet.tell("", "", Fault("", Reason.NO_FILE, f"{what_is_there(path)} there", "a file of COCO keypoints"))
        return None
    try:
        content = read_json(path)
    except ValueError as error:
        sheet.tell("", "", Fault("", Reason.NOT_JSON, shown(str(error.__cause__ or error)), "JSON"))
        return None
    content = sheet.file.content(content)
    if isinstance(content, dict):
        return content
    sheet.tell("", "", wrong_type("", content, "an object with images, annotations and categories"))
    return None


def _entries(sheet: Sheet, content: Json, name: str, none: Reason) -> list[Any]:
    value = content.get(name)
    if value is None or value == []:
        sheet.tell("", "", Fault(name, none, shown(value), "a list with one entry or more"))
    elif not isinstance(value, list):
        sheet.tell("", "", wrong_type(name, value, "a list"))
    elif len(value) > (most := MOST_CATEGORIES if name == "categories" else MOST_ENTRIES):
        many = Reason.MANY_CATEGORIES if name == "categories" else Reason.MANY_ENTRIES
        sheet.tell("", "", Fault(name, many, f"{len(value)} {name}", f"{most} at most"))
        return []
    return value if isinstance(value, list) else []


def _origin(info: object) -> Iterator[str]:
    for title, key in (("Source", "source"), ("Source", "url"), ("Licence", "license")):
        if isinstance(info, dict) and is_text(info.get(key)):
            yield f"{title}: {clipped(info[key], LONGEST_NAME)}"


def _with_ids(sheet: Sheet, entries: Sequence[Any], name: str) -> list[tuple[str, Json, int]]:
    """Id, entry, and how many entries have that id. Entries without a usable id are reported and left out."""
    usable: list[tuple[str, Json]] = []
    for position, entry in enumerate(entries):
        if not isinstance(entry, dict):
            sheet.tell(f"{name}[{position}]", "", wrong_type(name, entry, "an object"))
        elif not is_id(entry.get("id")):
            sheet.tell(f"{name}[{position}]", "", wrong_type("id", entry.get("id"), ID_RULE))
        else:
            usable.append((id_text(entry["id"]), entry))
    sheet.unusable[name] = len(entries) - len(usable)
    times = Counter(identity for identity, _ in usable)
    return [(identity, entry, times[identity]) for identity, entry in usable]


def _read_pictures(sheet: Sheet, entries: Sequence[Any]) -> None:
    rules = (_FILE_NAME, *_SIDES) if sheet.file.sized else (_FILE_NAME,)
    for identity, entry, times in _with_ids(sheet, entries, "images"):
        faults = field_faults(entry, rules)
        if times > 1:
            faults.append(Fault("image_id", Reason.DUPLICATE_IMAGE, f"{times} images {identity}", "one image of an id"))
        name = entry.get("file_name")
        path = (PurePosixPath(sheet.file.images) / name).as_posix() if is_path(name) else ""
        sheet.pictures[identity] = Picture(entry, path, _size(entry), faults)


def _size(entry: Json) -> Size | None:
    width, height = entry.get("width"), entry.get("height")
    return (int(width), int(height)) if is_side(width) and is_side(height) else None


def _read_categories(sheet: Sheet, entries: Sequence[Any]) -> None:
    usable: dict[str, tuple[Json, tuple[str, ...]]] = {}
    for identity, entry, times in _with_ids(sheet, entries, "categories"):
        raw = sheet.file.category(entry)
        faults = field_faults(raw, _CATEGORY)
        if times > 1:
            actual = f"{times} categories {identity}"
            faults.append(Fault("id", Reason.DUPLICATE_CATEGORY, actual, "one category of an id"))
        title = clipped(raw["name"].strip()) if is_text(raw.get("name")) else f"category {identity}"
        sheet.tell("", title, *faults)
        if faults:
            sheet.faulty_categories[identity] = FaultyCategory(title, f"{faults[0].field} must be {faults[0].must}")
        else:
            names = tuple(name.strip() for name in raw.get("keypoints") or ())
            usable[identity] = raw, names or _numbered(sheet, identity)
    proofs = {identity: index_base(raw, len(names)) for identity, (raw, names) in usable.items()}
    usual = usual_base(list(proofs.values()))
    for identity, (raw, names) in usable.items():
        base = next(b for b in (sheet.file.skeleton_base, proofs[identity], usual) if b is not None)
        category, faults = read_category(raw, names, base)
        sheet.tell("", category.name, *faults)
        if names:
            sheet.categories[identity] = category
        else:
            sheet.faulty_categories[identity] = FaultyCategory(category.name, "keypoints are none")


def _numbered(sheet: Sheet, category: str) -> tuple[str, ...]:
    """Names for keypoints that have none, as many as most annotations of the category have."""
    own = (raw for raw in sheet.annotations if isinstance(raw, dict) and id_text(raw.get("category_id")) == category)
    lengths = Counter(len(raw["keypoints"]) // 3 for raw in own if isinstance(raw.get("keypoints"), list))
    return tuple(map(str, range(max(lengths, key=lengths.__getitem__, default=0))))
