"""COCO-keypoints annotation files as one dataset: categories, sound records and every problem, in one pass.

``sheet`` reads a file, ``checks`` says what must hold; a dataset module says which files there are.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from posebed.annotations.checks import (
    Fault,
    area_faults,
    as_floats,
    box_faults,
    id_text,
    inspect_pictures,
    is_id,
    keypoint_faults,
    shown,
    size_faults,
    without_hidden_values,
    wrong_type,
)
from posebed.annotations.coco_file import ID_RULE, CocoFile, Picture, Sheet, read_sheet
from posebed.annotations.plausible import bits_of, implausible, picture_notes
from posebed.annotations.skeleton import Json, with_keys
from posebed.config import PictureOptions
from posebed.data.images import ForbiddenLink, Images, PictureFacts
from posebed.limits import MOST_ON_PICTURE
from posebed.listing import clipped, visible
from posebed.records import AS_STORED, Dataset, Reading, Reason, Record


def read_coco(root: Path, files: Sequence[CocoFile], options: PictureOptions | None = None) -> Dataset:
    """Read annotation files as one dataset. Categories that agree in everything are one over all files."""
    return read_sheets(root, [read_sheet(root, file) for file in files], options)


def read_sheets(root: Path, sheets: Sequence[Sheet], options: PictureOptions | None = None) -> Dataset:
    """As ``read_coco``, of files that were opened before."""
    keyed = with_keys([(sheet.file.label, sheet.categories) for sheet in sheets])
    for sheet, categories in zip(sheets, keyed, strict=True):
        sheet.categories = categories
    reading = Reading(options.orientation, linked=options.linked) if options else AS_STORED
    pictures = _inspect_pictures(Images(root, reading), sheets)
    times = Counter(
        sheet.identity(position)
        for sheet in sheets
        for position, raw in enumerate(sheet.annotations)
        if isinstance(raw, dict) and "id" in raw
    )
    records = [record for sheet in sheets for record in _sound_records(sheet, times)]
    return Dataset(
        root=root,
        categories=tuple(dict.fromkeys(c for categories in keyed for c in categories.values())),
        records=tuple(records),
        problems=tuple(problem for sheet in sheets for problem in sheet.problems),
        checked=sum(len(sheet.annotations) - sheet.skipped for sheet in sheets),
        notes=tuple(
            visible(note, "")
            for note in (
                *dict.fromkeys(sheet.titled(note) for sheet in sheets for note in sheet.notes),
                *picture_notes(pictures, reading.orientation),
            )
        ),
        reading=replace(reading, bits=bits_of(pictures.values())),
        hashes={path: facts.sha256 for path, facts in pictures.items()},
    )


def find_pictures(file: Path, form: CocoFile | None = None, usual: str = "images") -> tuple[Path, str]:
    """The root and the folder or zip file below it that hold the first picture of an annotation file.

    They lie beside the file or beside its folder ``annotations``. Where they are nowhere: its folder and ``usual``.
    """
    sheet = read_sheet(file.parent, replace(form or CocoFile(""), annotations=file.name, images=""))
    name = next((picture.path for picture in sheet.pictures.values() if picture.path), "")
    roots = [file.parent, file.parent.parent] if file.parent.name == "annotations" else [file.parent]
    for root in roots:
        children = sorted(c.name for c in root.iterdir() if c.is_dir() or c.suffix == ".zip")
        for folder in (usual, f"{usual}.zip", ".", *children):
            if _holds(Images(root), f"{folder}/{name}"):
                return root, folder
    return file.parent, usual


def _holds(images: Images, path: str) -> bool:
    try:
        return images.exists(path)
    except ForbiddenLink:
        return True  # inspecting the pictures tells where it leads
    except ValueError:
        return False


def _inspect_pictures(images: Images, sheets: Sequence[Sheet]) -> dict[str, PictureFacts]:
    """Decode the pictures that annotations lie on, and add what is wrong to the faults of their entries. Returns what
    is known of those that can be decoded, by path."""
    used: list[Picture] = []
    for sheet in sheets:
        named = (raw["image_id"] for raw in sheet.annotations if isinstance(raw, dict) and "image_id" in raw)
        wanted = Counter(map(id_text, named))
        unused = {identity: picture for identity, picture in sheet.pictures.items() if identity not in wanted}
        used += [picture for identity, picture in sheet.pictures.items() if identity in wanted]
        for identity, picture in unused.items():
            sheet.tell(f"image {identity}", "", *picture.faults)
        for identity, count in wanted.items():
            if count > MOST_ON_PICTURE and identity in sheet.pictures:
                actual, must = f"{count} annotations", f"{MOST_ON_PICTURE} at most"
                sheet.pictures[identity].faults.append(Fault("image_id", Reason.CROWDED_IMAGE, actual, must))
        if unused:
            sheet.notes.append(f"Images without annotation: {len(unused)}.")
    inspected = inspect_pictures(images, [picture.path for picture in used if picture.path])
    for picture in used:
        if picture.path:
            facts = inspected[picture.path]
            if isinstance(facts, Fault):
                picture.faults.append(facts)
            else:
                picture.faults.extend(size_faults(picture.size, facts, images.reading.orientation))
                picture.size = picture.size or facts.size
    return {path: facts for path, facts in inspected.items() if not isinstance(facts, Fault)}


def _sound_records(sheet: Sheet, times: Counter[str]) -> list[Record]:
    records: list[Record] = []
    unlabelled: Counter[str] = Counter()
    keep = sheet.file.unlabelled == "keep"
    for position, raw in enumerate(sheet.annotations):
        identity = sheet.identity(position)
        if not isinstance(raw, dict):
            sheet.tell(identity, "unknown", wrong_type("annotations", raw, "an object"))
            continue
        without = _without_keypoints(sheet.file, raw)
        unlabelled.update([without] if without else [])
        if (keep or not without) and (record := _read_record(sheet, raw, identity, times[identity], not without)):
            records.append(record)
    sheet.skipped = 0 if keep else unlabelled.total()
    note = "Kept {}, which scoring ignores: {}." if keep else "Skipped {}: {}."
    sheet.notes.extend(note.format(what, count) for what, count in unlabelled.items())
    if outside := sum(_outside(record) for record in records):
        sheet.notes.append(f"Labelled keypoints outside their image: {outside}.")
    if beyond := [record.record for record in records if _leaves(record)]:
        sheet.notes.append(f"Boxes that reach beyond their image: {len(beyond)}, the first is {clipped(beyond[0])}.")
    if twice := _almost_twice(records):
        first = clipped(twice[0])
        sheet.notes.append(f"Boxes almost equal to another of their image: {len(twice)}, the first is {first}.")
    sheet.notes.extend(implausible(records))
    return records


def _without_keypoints(file: CocoFile, raw: Json) -> str:
    """What an annotation is that states to have none, where that is no problem; else an empty text."""
    if raw.get("iscrowd") == 1:
        return "crowd regions"
    return "annotations with num_keypoints 0" if file.unlabelled != "problem" and raw.get("num_keypoints") == 0 else ""


def _read_record(sheet: Sheet, raw: Json, identity: str, times: int, labelled: bool) -> Record | None:
    """The record of one annotation; None, and its problems noted, where a rule is broken."""
    file = sheet.file
    picture = sheet.pictures.get(id_text(raw.get("image_id")))
    category = sheet.categories.get(id_text(raw.get("category_id")))
    size = picture.size if picture else None
    keypoints = without_hidden_values(raw.get("keypoints"))
    group = file.group(raw, picture.entry) if file.group and picture else ""
    faults = [
        *_id_faults(raw, times),
        *(picture.faults if picture else _unknown(sheet, raw, "image_id", Reason.UNKNOWN_IMAGE)),
        *(() if category else _without_category(sheet, raw)),
        *keypoint_faults(keypoints, category.keypoints if category else None, labelled, size),
        *box_faults(raw.get("bbox"), size),
        *area_faults(raw.get("area"), size, raw.get("bbox")),
    ]
    if file.group and picture and not group:
        faults.append(Fault("group", Reason.NO_GROUP, shown(picture.path), "a group, as the options say"))
    if faults or picture is None or picture.size is None or category is None:
        sheet.tell(identity, category.key if category else _category_title(sheet, raw), *faults)
        return None
    x, y, width, height = (float(v) for v in raw["bbox"])
    points = as_floats(keypoints if isinstance(keypoints, list) else []).reshape(-1, 3)
    points[points[:, 2] == 0] = 0
    return Record(
        record=identity,
        image=picture.path,
        width=picture.size[0],
        height=picture.size[1],
        category=category.key,
        box=(x, y, width, height),
        area=min(float(raw.get("area") or width * height), float(picture.size[0] * picture.size[1])),
        keypoints=points,
        group=file.labelled(group) if group else "",
        part=file.part,
    )


def _id_faults(raw: Json, times: int) -> list[Fault]:
    if not is_id(raw.get("id")):
        return [wrong_type("id", raw.get("id"), ID_RULE)]
    if times > 1:
        actual = f"{times} annotations {shown(raw['id'])}"
        return [Fault("id", Reason.DUPLICATE_ANNOTATION, actual, "one annotation of an id")]
    return []


def _unknown(sheet: Sheet, raw: Json, name: str, reason: Reason) -> list[Fault]:
    """The fault of an id that the file does not list; none where it has no such list, a problem of the file."""
    value = raw.get(name)
    if not is_id(value):
        return [wrong_type(name, value, ID_RULE)]
    entries = "images" if name == "image_id" else "categories"
    if entries not in sheet.unusable:
        return []
    unusable = sheet.unusable[entries]
    rest = f"; {unusable} of its {entries} have no usable id" if unusable else ""
    return [Fault(name, reason, shown(value), f"an id that the file lists{rest}")]


def _without_category(sheet: Sheet, raw: Json) -> list[Fault]:
    faulty = sheet.faulty_categories.get(id_text(raw.get("category_id")))
    if faulty is None:
        return _unknown(sheet, raw, "category_id", Reason.UNKNOWN_CATEGORY)
    actual = f"{shown(raw['category_id'])}, whose {faulty.fault}"
    return [Fault("category_id", Reason.FAULTY_CATEGORY, actual, "a category without a fault of its own")]


def _category_title(sheet: Sheet, raw: Json) -> str:
    """What problems are counted under where there is no sound category."""
    value = raw.get("category_id")
    faulty = sheet.faulty_categories.get(id_text(value))
    return faulty.title if faulty else shown(value) if is_id(value) else "unknown"


def _outside(record: Record) -> int:
    x, y, flag = record.keypoints.T
    return int(((flag > 0) & ((x < 0) | (y < 0) | (x > record.width) | (y > record.height))).sum())


def _leaves(record: Record) -> bool:
    """Whether the box leaves the image by more than a pixel, which rounding may cost."""
    x, y, width, height = record.box
    return x < -1 or y < -1 or x + width > record.width + 1 or y + height > record.height + 1


def _almost_twice(records: Sequence[Record]) -> list[str]:
    """The records whose box an earlier one on the same image has as well, to an overlap (IoU) above 0.9."""
    on_image: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        on_image[record.image].append(record)
    repeated: list[str] = []
    for group in on_image.values():
        box = np.array([record.box for record in group])
        end = box[:, :2] + box[:, 2:]
        shared = (np.minimum(end[:, None], end) - np.maximum(box[:, None, :2], box[:, :2])).clip(0).prod(-1)
        area = box[:, 2:].prod(-1)
        equal = shared > 0.9 * (area[:, None] + area - shared)
        repeated += [record.record for record, before in zip(group, np.tril(equal, -1), strict=True) if before.any()]
    return repeated
