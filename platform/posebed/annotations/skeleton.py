"""Categories as COCO files state them: links that count from 0 or from 1, left and right, sigmas, unique keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from posebed.annotations.checks import Fault, as_floats, is_number, is_text, is_whole, shown
from posebed.limits import LARGEST_SIGMA, LONGEST_NAME
from posebed.listing import clipped
from posebed.records import Category, Reason

Json = Mapping[str, Any]
Pairs = tuple[tuple[int, int], ...]

_SIDE = re.compile(r"left|right|Left|Right|LEFT|RIGHT|(?<![A-Z])[LR](?![A-Za-z])|(?<![A-Za-z0-9])[lr](?![A-Za-z0-9])")
_OTHER_SIDE = {"left": "right", "Left": "Right", "LEFT": "RIGHT", "L": "R", "l": "r"}
_OTHER_SIDE |= {right: left for left, right in _OTHER_SIDE.items()}


def mirrored_pairs(names: Sequence[str]) -> Pairs:
    """Keypoints whose names differ in their side alone: left_eye, Eye_Left, L_Eye, eyeL, l eye."""
    index = {name: i for i, name in enumerate(names)}
    partners = ((i, index.get(_SIDE.sub(lambda side: _OTHER_SIDE[side[0]], name))) for name, i in index.items())
    return tuple((i, partner) for i, partner in partners if partner is not None and i < partner)


def index_base(raw: Json, keypoints: int) -> int | None:
    """What a category counts its keypoints from: an index 0 proves the one, an index K the other."""
    indices = {*_integers(raw.get("skeleton")), *_integers(raw.get("flip_pairs"))}
    return 0 if 0 in indices else 1 if keypoints in indices else None


def _integers(value: object) -> Iterator[int]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _integers(item)
    elif is_whole(value):
        yield int(value)


def usual_base(proofs: Sequence[int | None]) -> int:
    """What categories without proof count from: as the others of their file do, and else from 1 as COCO does."""
    proven = {proof for proof in proofs if proof is not None}
    return proven.pop() if len(proven) == 1 else 1


def read_category(raw: Json, names: tuple[str, ...], base: int) -> tuple[Category, list[Fault]]:
    """The category, its key still empty, and what is wrong with it; faulty parts are left out.

    ``skeleton`` and ``flip_pairs`` hold pairs of names or of indices from ``base``. Without usable ``flip_pairs`` the
    names give them.
    """
    faults: list[Fault] = []
    family = raw.get("supercategory")
    category = Category(
        key="",
        name=raw["name"].strip(),
        family=clipped(family.strip(), LONGEST_NAME) if is_text(family) else "",
        keypoints=names,
        limbs=_pairs("skeleton", raw.get("skeleton"), names, base, faults),
        flip_pairs=_flip_pairs(raw.get("flip_pairs"), names, base, faults),
        sigmas=_sigmas(raw.get("sigmas"), len(names), faults),
        upper_body=_upper_body(raw.get("upper_body"), names, base, faults),
    )
    return category, faults


def _pairs(field: str, value: object, names: Sequence[str], base: int, faults: list[Fault]) -> Pairs:
    pairs: list[tuple[int, int]] = []
    wrong: list[object] = []
    for item in _items(value):
        ends = [_index(end, names, base) for end in item] if isinstance(item, list | tuple) else []
        if len(ends) == 2 and ends[0] is not None and ends[1] is not None and ends[0] != ends[1]:
            pairs.append((ends[0], ends[1]))
        else:
            wrong.append(item)
    if wrong:
        must = f"pairs of two keypoints, by name or counted from {base} to {len(names) - 1 + base}"
        faults.append(Fault(field, Reason.BAD_SKELETON, shown(wrong), must))
    return tuple(pairs)


def _flip_pairs(value: object, names: Sequence[str], base: int, faults: list[Fault]) -> Pairs:
    if value is None:
        return mirrored_pairs(names)
    pairs = _pairs("flip_pairs", value, names, base, faults)
    ends = Counter(end for pair in pairs for end in pair)
    if several := [names[end] for end, count in ends.items() if count > 1]:
        faults.append(Fault("flip_pairs", Reason.BAD_SKELETON, shown(several), "every keypoint in one pair at most"))
        return mirrored_pairs(names)
    return pairs


def _upper_body(value: object, names: Sequence[str], base: int, faults: list[Fault]) -> tuple[int, ...]:
    indices = [_index(item, names, base) for item in _items(value)]
    if None in indices:
        must = f"keypoints, by name or counted from {base} to {len(names) - 1 + base}"
        faults.append(Fault("upper_body", Reason.BAD_SKELETON, shown(value), must))
    return tuple(i for i in indices if i is not None)


def _items(value: object) -> Sequence[object]:
    """The items of a list, none of an absent one, and of anything else one that is faulty."""
    return value if isinstance(value, list | tuple) else () if value is None else ([value],)


def _index(end: object, names: Sequence[str], base: int) -> int | None:
    if isinstance(end, str):
        return names.index(end.strip()) if end.strip() in names else None
    if is_whole(end) and 0 <= end - base < len(names):
        return int(end) - base
    return None


def _sigmas(value: object, keypoints: int, faults: list[Fault]) -> tuple[float, ...]:
    items = _items(value)
    sigmas = as_floats(items)
    if value is None or (len(items) == keypoints and ((sigmas > 0) & (sigmas <= LARGEST_SIGMA)).all()):
        return tuple(float(v) for v in items if is_number(v))
    faults.append(
        Fault("sigmas", Reason.BAD_SIGMAS, shown(value), f"{keypoints} numbers above 0, at most {LARGEST_SIGMA:g}")
    )
    return ()


def with_keys(files: Sequence[tuple[str, Mapping[str, Category]]]) -> list[dict[str, Category]]:
    """Gives the categories of labelled files, each by id, their keys.

    Categories that agree in everything are one over all files; where one file has several of them they stay apart.
    The key is the name; where several categories share it, the name and the id; and else those and the label.
    """
    first: dict[tuple[Category, int], tuple[str, str]] = {}
    for label, categories in files:
        for identity, definition in _definitions(categories).items():
            first.setdefault(definition, (f"{definition[0].name}-{identity}", label))
    names = Counter(category.name for category, _ in first)
    with_ids = Counter(with_id for with_id, _ in first.values())

    def key(definition: tuple[Category, int]) -> str:
        name = definition[0].name
        with_id, label = first[definition]
        return name if names[name] == 1 else with_id if with_ids[with_id] == 1 else f"{with_id}-{label}"

    keyed = {definition: replace(definition[0], key=key(definition)) for definition in first}
    return [{i: keyed[d] for i, d in _definitions(categories).items()} for _, categories in files]


def _definitions(categories: Mapping[str, Category]) -> dict[str, tuple[Category, int]]:
    """By id the category and how many equal ones stand before it in the same file."""
    before: Counter[Category] = Counter()
    definitions: dict[str, tuple[Category, int]] = {}
    for identity, category in categories.items():
        definitions[identity] = category, before[category]
        before[category] += 1
    return definitions
