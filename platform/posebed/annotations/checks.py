"""What must hold of annotated pictures, whatever file they come from: one Fault for every broken rule.

Readers of annotation files call these rules and say where each fault was found (``posebed.records.Problem``).
Nothing here raises for content.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeGuard

import numpy as np

from posebed.config import Orientation
from posebed.data.containers import NoSuchFrame, TooLarge, TooManyScans
from posebed.data.images import ForbiddenLink, Images, OutsideRoot, PictureFacts, TruncatedImage
from posebed.data.stderr import caught_stderr
from posebed.limits import (
    LONGEST_NAME,
    LONGEST_PATH,
    MOST_KEYPOINTS,
    MOST_PIXELS,
    MOST_PROBLEMS,
    MOST_SCANS,
    ROUNDED_AREA,
    SIDES_BEYOND,
)
from posebed.listing import clipped, shown, visible
from posebed.records import Problem, Reason

Size = tuple[int, int]
"""Width and height in pixels."""


class Fault(NamedTuple):
    """A broken rule; with file, record and category in front it is a ``Problem``."""

    field: str
    reason: Reason
    found: str
    must: str


def is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_coordinate(value: object) -> TypeGuard[int | float]:
    """Whether the value is a number that can be calculated with: neither NaN nor beyond the range of float32."""
    return is_number(value) and bool(np.isfinite(as_floats([value])[0]))


def is_text(value: object) -> TypeGuard[str]:
    """Whether the value is a text that says something and can be written to a file."""
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= c <= "\udfff" for c in value)


def is_whole(value: object) -> TypeGuard[int | float]:
    """Whether the value is a whole number, be it written as 1 or as 1.0, as tables with gaps write it."""
    return is_number(value) and (isinstance(value, int) or (value.is_integer() and abs(value) < 2**53))


def is_id(value: object) -> TypeGuard[int | float | str]:
    return is_whole(value) or (is_text(value) and len(value) <= LONGEST_PATH)


def is_name(value: object) -> TypeGuard[str]:
    """Whether the value is a text that can be the name of a category or keypoint."""
    return is_text(value) and len(value) <= LONGEST_NAME


def is_path(value: object) -> TypeGuard[str]:
    """Whether the value is a text that can be the path of a picture."""
    return is_text(value) and len(value) <= LONGEST_PATH


def id_text(value: object) -> str:
    """An id as a key: 1, 1.0 and the text 1 are the same one. Of any other value a text that no id can be."""
    return str(int(value)) if is_whole(value) else value if is_text(value) else f"\ud800{shown(value)}"


def is_side(value: object) -> TypeGuard[int | float]:
    """Whether the value can be a picture's width or height."""
    return is_number(value) and 0 < value < 2**31 and value == int(value)


def is_names(value: object) -> bool:
    """Whether the value is a list of names that differ, no more than a category can have; it may be absent."""
    names = [] if value is None else value
    if not isinstance(names, list | tuple) or len(names) > MOST_KEYPOINTS or not all(is_name(name) for name in names):
        return False
    return len({name.strip() for name in names}) == len(names)


def wrong_type(field: str, value: object, must: str) -> Fault:
    """The fault of a field that is absent or holds something of another type."""
    if value is None:
        return Fault(field, Reason.MISSING_FIELD, "nothing", must)
    return Fault(field, Reason.WRONG_TYPE, shown(value), must)


FieldRule = tuple[str, Callable[[object], bool], str]
"""A field, what must hold of it, and the same in words."""


def field_faults(entry: Mapping[str, object], rules: Iterable[FieldRule]) -> list[Fault]:
    return [wrong_type(field, entry.get(field), must) for field, holds, must in rules if not holds(entry.get(field))]


def keypoint_faults(
    value: object, names: Sequence[str] | None, labelled: bool = True, size: Size | None = None
) -> list[Fault]:
    """Faults of a flat list x, y, v, x, y, v, ...; without names its length is not judged.

    Args:
        labelled: some keypoint must be.
        size: of the picture, if known. Keypoints may lie beyond its border, but not far.
    """
    if not isinstance(value, list):
        return [wrong_type("keypoints", value, "a list of numbers")]
    faults: list[Fault] = []
    if names is not None and len(value) != 3 * len(names):
        must = f"{3 * len(names)} values: x, y, v of {len(names)} keypoints"
        faults.append(Fault("keypoints", Reason.KEYPOINT_COUNT, f"{len(value)} values", must))
    numeric = np.ones(len(value), bool) if _are_numbers(value) else np.array([is_number(v) for v in value], bool)
    numbers = as_floats(value)
    is_flag = np.arange(len(value)) % 3 == 2
    for reason, wrong, must in (
        (Reason.NOT_A_NUMBER, ~numeric, "a number"),
        (Reason.NOT_FINITE, ~is_flag & ~np.isfinite(numbers), "a finite number"),
        (Reason.VISIBILITY, is_flag & numeric & (numbers != 0) & (numbers != 1) & (numbers != 2), "0, 1 or 2"),
    ):
        if wrong.any():
            faults.append(Fault("keypoints", reason, _places(np.flatnonzero(wrong), value, names), must))
    if size and not faults and (far := _far_keypoints(numbers, size)).any():
        must = f"within {SIDES_BEYOND} sides of the image of {size[0]} x {size[1]} pixels"
        faults.append(Fault("keypoints", Reason.KEYPOINT_FAR, _places(np.flatnonzero(far), value, names), must))
    if labelled and numeric.all() and len(value) >= 3 and not (numbers[2::3] > 0).any():
        faults.append(Fault("keypoints", Reason.NO_KEYPOINT, "v > 0 nowhere", "v > 0 at one keypoint or more"))
    return faults


def _far_keypoints(numbers: np.ndarray, size: Size) -> np.ndarray:
    """Of a flat list x, y, v, ... the coordinates of labelled keypoints that no camera could have seen."""
    xyv = numbers.reshape(-1, 3)
    low, high = reach(size)
    far = np.zeros(xyv.shape, bool)
    far[:, :2] = ((xyv[:, :2] < low) | (xyv[:, :2] > high)) & (xyv[:, 2:] > 0)
    return far.ravel()


def reach(size: Size) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest x and y that an annotation may have on a picture of that size."""
    sides = np.array(size, np.float64)
    return -SIDES_BEYOND * sides, (1 + SIDES_BEYOND) * sides


def without_hidden_values(keypoints: object) -> object:
    """A flat list x, y, v, ... in which x and y of unlabelled keypoints (v = 0) are 0 where they are null or no finite
    number; anything else as it is."""
    if not isinstance(keypoints, list):
        return keypoints
    cleaned = list(keypoints)
    for i in range(0, len(cleaned) - 2, 3):
        if is_number(cleaned[i + 2]) and cleaned[i + 2] == 0:
            cleaned[i : i + 2] = [0 if v is None or _is_infinite(v) else v for v in cleaned[i : i + 2]]
    return cleaned


def _is_infinite(value: object) -> bool:
    """Whether the value is NaN or beyond the range of float32, in which coordinates are kept."""
    return is_number(value) and not is_coordinate(value)


def box_faults(value: object, size: Size | None) -> list[Fault]:
    """Faults of a box x, y, width, height on a picture of that size, if known. It may leave the picture in part."""
    if not isinstance(value, list) or len(value) != 4:
        return [wrong_type("bbox", value, "a list of four numbers: x, y, width, height")]
    if not all(is_number(v) for v in value):
        return [Fault("bbox", Reason.NOT_A_NUMBER, shown(value), "four numbers")]
    x, y, w, h = (float(v) for v in as_floats(value))
    if not np.isfinite([x, y, w, h]).all():
        return [Fault("bbox", Reason.NOT_FINITE, shown(value), "four finite numbers")]
    if w <= 0 or h <= 0:
        return [Fault("bbox", Reason.BOX_EXTENT, shown(value), "width > 0 and height > 0")]
    if size and (x >= size[0] or y >= size[1] or x + w <= 0 or y + h <= 0):
        must = f"an overlap with the image of {size[0]} x {size[1]} pixels"
        return [Fault("bbox", Reason.BOX_OUTSIDE, shown(value), must)]
    if size and any(
        start < -SIDES_BEYOND * side or start + extent > (1 + SIDES_BEYOND) * side
        for start, extent, side in ((x, w, size[0]), (y, h, size[1]))
    ):
        must = f"within {SIDES_BEYOND} sides of the image of {size[0]} x {size[1]} pixels"
        return [Fault("bbox", Reason.BOX_FAR, shown(value), must)]
    return []


def area_faults(value: object, size: Size | None = None, box: object = None) -> list[Fault]:
    """Faults of an area; it may be absent.

    Args:
        size: of the picture, if known, which the area must fit into.
        box: x, y, width, height, whose own area it may be even if the box leaves the picture.
    """
    if value is None:
        return []
    if not is_number(value):
        return [Fault("area", Reason.NOT_A_NUMBER, shown(value), "a number")]
    area = float(as_floats([value])[0])
    if not np.isfinite(area):
        return [Fault("area", Reason.NOT_FINITE, shown(value), "a finite number")]
    if area <= 0:
        return [Fault("area", Reason.AREA, shown(value), "above 0")]
    if size and area > size[0] * size[1] * ROUNDED_AREA and area > _extent(box) * ROUNDED_AREA:
        must = f"at most the {size[0] * size[1]} of the image of {size[0]} x {size[1]} pixels"
        return [Fault("area", Reason.AREA_TOO_LARGE, shown(value), must)]
    return []


def _extent(box: object) -> float:
    """The area of a sound box; 0 of anything else."""
    return float(box[2] * box[3]) if isinstance(box, list) and not box_faults(box, None) else 0.0


def as_floats(values: Sequence[object]) -> np.ndarray:
    """The values in the precision in which they are kept, float32; 0 where one is no number, inf beyond the range."""
    with np.errstate(over="ignore"):
        if _are_numbers(values):
            with suppress(OverflowError):  # a whole number beyond the range of float64
                return np.array(values, np.float64).astype(np.float32)
        return np.array([_as_float(v) for v in values], np.float64).astype(np.float32)


def _are_numbers(values: Sequence[object]) -> bool:
    """Whether all values are of the types that JSON has for numbers: ``is_number`` of many, in a tenth of the time."""
    return {*map(type, values)} <= _NUMBERS


_NUMBERS = {int, float}


def _as_float(value: object) -> float:
    if not is_number(value):
        return 0.0
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def _places(indices: np.ndarray, values: Sequence[object], names: Sequence[str] | None) -> str:
    point, axis = divmod(int(indices[0]), 3)
    name = names[point] if names is not None and point < len(names) else f"keypoint {point + 1}"
    more = f", and {len(indices) - 1} more" if len(indices) > 1 else ""
    return f"{'xyv'[axis]} of {name} is {shown(values[indices[0]])}{more}"


def size_faults(stated: Size | None, facts: PictureFacts, orientation: Orientation) -> list[Fault]:
    """Faults of the size that an annotation file states, if it states one, of a picture that is read in that way."""
    size = facts.size
    if stated is None or stated == size:
        return []
    sides = [side for side, a, b in zip(("width", "height"), stated, size, strict=True) if a != b]
    must = f"{size[0]} x {size[1]}, as the picture is"
    if facts.orientation >= 5 and stated == size[::-1]:
        other = "displayed" if orientation == "stored" else "stored"
        must += f" {orientation}; by its orientation tag {facts.orientation} it fits the option 'orientation: {other}'"
    return [Fault(", ".join(sides), Reason.IMAGE_SIZE, f"{stated[0]} x {stated[1]}", must)]


_BATCH = 16
"""Pictures per thread between two looks at what the decoders printed."""

_DAMAGE = re.compile(r"Corrupt JPEG data(?!: bad ICC)|Premature end of JPEG|Inconsistent progression")


def inspect_pictures(images: Images, paths: Iterable[str]) -> dict[str, PictureFacts | Fault]:
    """Decode every picture once, in threads: what it is, or what is wrong with it.

    Decoders print their warnings without a name to standard error, which all threads share. They are caught, and
    where a batch has some, its pictures are decoded once more, one by one.
    """
    wanted, workers = list(dict.fromkeys(paths)), os.cpu_count() or 1
    inspected: dict[str, PictureFacts | Fault] = {}
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(wanted), _BATCH * workers):
            batch = wanted[start : start + _BATCH * workers]
            with caught_stderr() as printed:
                inspected.update(zip(batch, pool.map(partial(_inspect, images), batch), strict=True))
            if printed:
                inspected.update(_with_warnings(images, batch, inspected, printed))
    return inspected


def _inspect(images: Images, path: str) -> PictureFacts | Fault:
    root = images.root.name or "the working folder"
    try:
        return images.facts(path)
    except FileNotFoundError:
        return Fault("file_name", Reason.MISSING_IMAGE, shown(path), f"a file below {root}")
    except ForbiddenLink as error:
        actual = f"{shown(path)}, a link to {shown(error.target)}"
        must = f"a file below {root} or below a folder that the option linked names"
        return Fault("file_name", Reason.LINK_LEAVES_FOLDER, actual, must)
    except OutsideRoot:
        return Fault("file_name", Reason.PATH_LEAVES_FOLDER, shown(path), f"a path below {root}")
    except NoSuchFrame as error:
        return Fault("file_name", Reason.MISSING_IMAGE, f"{shown(path)}, but {error.holds}", "a frame that is there")
    except TooManyScans:
        return Fault("file_name", Reason.MANY_SCANS, shown(path), f"a picture of at most {MOST_SCANS} scans")
    except TooLarge:
        must = f"a picture of at most {MOST_PIXELS / 1e6:.0f} million pixels"
        return Fault("file_name", Reason.IMAGE_TOO_LARGE, shown(path), must)
    except TruncatedImage:
        return Fault("file_name", Reason.TRUNCATED_IMAGE, shown(path), "a complete picture")
    except (ValueError, OSError):
        return Fault("file_name", Reason.UNREADABLE_IMAGE, shown(path), "a picture that can be decoded")


def _with_warnings(
    images: Images, batch: Sequence[str], inspected: Mapping[str, PictureFacts | Fault], printed: Sequence[str]
) -> dict[str, PictureFacts | Fault]:
    """The pictures of the batch that a decoder warns of: damaged ones as faults, others with its words."""
    changed: dict[str, PictureFacts | Fault] = {}
    for path in batch:
        facts = inspected[path]
        if isinstance(facts, Fault):
            continue
        with caught_stderr() as lines:
            _inspect(images, path)
        if any(map(_DAMAGE.search, lines)):
            must = "a picture that is decoded without a warning"
            changed[path] = Fault("file_name", Reason.DAMAGED_IMAGE, f"{shown(path)}: {lines[0]}", must)
        elif lines:
            changed[path] = replace(facts, remark=lines[0])
    if not changed and not any(isinstance(inspected[path], Fault) for path in batch):
        print(*printed, sep="\n", file=sys.stderr)  # It was somebody else's.
    return changed


def must_be_few(problems: Sequence[Problem]) -> None:
    """Raise ValueError where a file has more problems than are kept."""
    if len(problems) > MOST_PROBLEMS:
        first = next((problem for problem in problems if problem.record), problems[0])
        raise ValueError(
            f"{first.file} must have at most {MOST_PROBLEMS} faults, but has more; correct it, beginning with "
            f"{_line(first)}"
        )


def _line(problem: Problem) -> str:
    parts = (problem.file, problem.record and f"record {clipped(problem.record)}", clipped(problem.category))
    place = ", ".join(filter(None, parts))
    return visible(f"{place}: {problem.field}: {problem.reason}: found {problem.found}; must be {problem.must}", "")


def summary(problems: Sequence[Problem], most: int = 20) -> str:
    """Problems for a person to read: how many for each reason and category, then the first ones in full."""
    of_reason = {reason: Counter[str]() for reason, _ in Counter(str(p.reason) for p in problems).most_common()}
    for p in problems:
        of_reason[str(p.reason)][clipped(visible(p.category, "")) or "the file"] += 1
    lines = [f"{of.total():7} {reason}: {_most(of)}" for reason, of in of_reason.items()]
    lines += map(_line, problems[:most])
    if len(problems) > most:
        lines.append(f"... and {len(problems) - most} more")
    return "\n".join(lines)


def _most(counts: Counter[str], shown: int = 8) -> str:
    listed = ", ".join(f"{name} {count}" for name, count in counts.most_common(shown))
    return f"{listed} and {len(counts) - shown} more" if len(counts) > shown else listed
