"""COCO-keypoints annotation files as one dataset: categories, sound records and every problem, in one pass.

``sheet`` reads a file, ``checks`` says what must hold; a dataset module says which files there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from posebed.data.checks import (
    Fault,
    Reason,
    area_faults,
    as_floats,
    box_faults,
    inspect_pictures,
    is_id,
    keypoint_faults,
    shown,
    size_faults,
    wrong_type,
)
from posebed.data.images import Images
from posebed.data.sheet import ID_RULE, CocoFile, Picture, Sheet, read_sheet
from posebed.data.skeleton import Json, with_keys
from posebed.records import Dataset, Record


def read_coco(root: Path, files: Sequence[CocoFile]) -> Dataset:
    """Read annotation files as one dataset. Categories that agree in everything are one over all files."""
    sheets = [read_sheet(root, file) for file in files]
    keyed = with_keys([(sheet.file.label, sheet.categories) for sheet in sheets])
    for sheet, categories in zip(sheets, keyed, strict=True):
        sheet.categories = categories
    _inspect_pictures(Images(root), sheets)
    times = Counter(sheet.identity(position) for sheet in sheets for position in range(len(sheet.annotations)))
    records = [record for sheet in sheets for record in _sound_records(sheet, times)]
    return Dataset(
        root=root,
        categories=tuple(dict.fromkeys(c for categories in keyed for c in categories.values())),
        records=tuple(records),
        problems=tuple(problem for sheet in sheets for problem in sheet.problems),
        checked=sum(len(sheet.annotations) - sheet.skipped for sheet in sheets),
        notes=tuple(dict.fromkeys(sheet.titled(note) for sheet in sheets for note in sheet.notes)),
    )


def _inspect_pictures(images: Images, sheets: Sequence[Sheet]) -> None:
    """Decodes the pictures that annotations lie on, and adds what is wrong to the faults of their entries."""
    used: list[Picture] = []
    for sheet in sheets:
        wanted = {str(raw.get("image_id")) for raw in sheet.annotations if isinstance(raw, dict)}
        unused = {identity: picture for identity, picture in sheet.pictures.items() if identity not in wanted}
        used += [picture for identity, picture in sheet.pictures.items() if identity in wanted]
        for identity, picture in unused.items():
            sheet.tell(f"image {identity}", "", *picture.faults)
        if unused:
            sheet.notes.append(f"Images without annotation: {len(unused)}.")
    found = inspect_pictures(images, [picture.path for picture in used if picture.path])
    for picture in used:
        if picture.path:
            size = found[picture.path]
            picture.faults.extend([size] if isinstance(size, Fault) else size_faults(picture.size, size))


def _sound_records(sheet: Sheet, times: Counter[str]) -> Iterator[Record]:
    skipped: Counter[str] = Counter()
    outside = 0
    for position, raw in enumerate(sheet.annotations):
        identity = sheet.identity(position)
        if not isinstance(raw, dict):
            sheet.tell(identity, "unknown", wrong_type("annotations", raw, "an object"))
        elif raw.get("iscrowd") == 1:
            skipped["crowd regions"] += 1
        elif sheet.file.unlabelled == "skip" and raw.get("num_keypoints") == 0:
            skipped["annotations with num_keypoints 0"] += 1
        elif record := _read_record(sheet, raw, identity, times[identity]):
            outside += _outside(record)
            yield record
    sheet.skipped = skipped.total()
    sheet.notes.extend(f"Skipped {what}: {count}." for what, count in skipped.items())
    if outside:
        sheet.notes.append(f"Labelled keypoints outside their image: {outside}.")


def _read_record(sheet: Sheet, raw: Json, identity: str, times: int) -> Record | None:
    """The record of one annotation; None, and its problems told, where a rule is broken."""
    file = sheet.file
    picture = sheet.pictures.get(str(raw.get("image_id")))
    category = sheet.categories.get(str(raw.get("category_id")))
    group = file.group(raw, picture.entry) if file.group and picture else ""
    faults = [
        *_id_faults(raw, times),
        *(picture.faults if picture else _unknown(raw, "image_id", Reason.UNKNOWN_IMAGE)),
        *(() if category else _unknown(raw, "category_id", Reason.UNKNOWN_CATEGORY)),
        *keypoint_faults(raw.get("keypoints"), category.keypoints if category else None),
        *box_faults(raw.get("bbox"), picture.size if picture else None),
        *area_faults(raw.get("area")),
    ]
    if file.group and picture and not group:
        faults.append(Fault("group", Reason.NO_GROUP, shown(picture.path), "a group, as the options say"))
    if faults or picture is None or picture.size is None or category is None:
        named = shown(raw["category_id"]) if is_id(raw.get("category_id")) else "unknown"
        sheet.tell(identity, category.key if category else named, *faults)
        return None
    x, y, width, height = (float(v) for v in raw["bbox"])
    points = as_floats(raw["keypoints"]).reshape(-1, 3)
    points[points[:, 2] == 0] = 0
    return Record(
        record=identity,
        image=picture.path,
        width=picture.size[0],
        height=picture.size[1],
        category=category.key,
        box=(x, y, width, height),
        area=float(raw.get("area") or width * height),
        keypoints=points,
        group=file.labelled(group) if group else "",
        part=file.part,
    )


def _id_faults(raw: Json, times: int) -> list[Fault]:
    if not is_id(raw.get("id")):
        return [wrong_type("id", raw.get("id"), ID_RULE)]
    if times > 1:
        found = f"{times} annotations {shown(raw['id'])}"
        return [Fault("id", Reason.DUPLICATE_ANNOTATION, found, "one annotation of an id")]
    return []


def _unknown(raw: Json, name: str, reason: Reason) -> list[Fault]:
    value = raw.get(name)
    if not is_id(value):
        return [wrong_type(name, value, ID_RULE)]
    return [Fault(name, reason, shown(value), "an id that the file lists")]


def _outside(record: Record) -> int:
    x, y, flag = record.keypoints.T
    return int(((flag > 0) & ((x < 0) | (y < 0) | (x > record.width) | (y > record.height))).sum())
