"""Which record belongs to which part. What keeps together never parts: a picture's records, and a group's.

``divide`` decides, ``write_split`` and ``read_split`` keep it; ``plan`` draws the episodes that go with it.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from posebed.config import Key, SplitConfig
from posebed.data.test_episodes import Episode, generator, read_episodes, write_episodes
from posebed.files import file_hashes, must_be_as_written, with_files
from posebed.forms import Form
from posebed.listing import shortened
from posebed.own_json import Kind, read_json, write_json
from posebed.parquet import read_table, write_table
from posebed.records import Category, Record

SPLIT_AGAIN = "`dvc repro split` makes it again"


class _Described(Form):
    data: Key
    records: dict[Literal["train", "val", "test", "unused"], dict[str, int]] = {}
    """Part to category to records; nothing in splits that did not say so."""
    episodes: dict[str, int] = {}
    equal_pictures_in_several_parts: int = 0
    draw: str = ""
    files: dict[str, str] = {}


SPLIT = Kind("the description of a split", (lambda content: content, with_files), form=_Described, again=SPLIT_AGAIN)
"""``about.json`` beside its table."""
PARTS = ("train", "val", "test")
UNUSED = "unused"
"""Records that belong to no part: those beyond few shots, and those whose picture or group also shows a category
that a later part holds out."""

_SCHEMA = pa.schema([("record", pa.string()), ("part", pa.string())])


NO_HASHES: Mapping[str, str] = {}


def divide(
    records: Sequence[Record],
    categories: Sequence[Category],
    config: SplitConfig,
    hashes: Mapping[str, str] = NO_HASHES,
) -> dict[str, str]:
    """The part of every record, whatever the order of the records.

    Annotated records decide. A detector's box goes where its picture went: in an official split that may be one
    without annotated records, in any other such boxes are left out.

    Args:
        hashes: path of a picture to the SHA-256 of its file; used where equal pictures keep together.

    Raises:
        ValueError: a part would be empty, or the configuration does not fit the data.
        LookupError: the configuration holds out what the data does not have.
    """
    if config.equal_pictures == "keep_together":
        records = _one_of_equal(records, hashes)
    ordered = sorted((r for r in records if r.detection is None), key=lambda r: r.record)
    if config.by == "image":
        parts = _by_image(ordered, config, ("train", "val", "test"))
    elif config.by == "official":
        parts = _official(ordered, config)
    else:
        parts = _held_out(ordered, categories, config)
    if empty := [part for part in PARTS if part not in parts.values()]:
        raise ValueError(
            f"every part of a split must have records, but there are none in {', '.join(empty)} by {config.by} with "
            f"val {config.val} and test {config.test} of {len(_together(ordered))} groups of pictures"
        )
    if config.few_shot:
        parts |= _beyond_few_shots(ordered, parts, config.few_shot, config.seed)
    of_picture = {r.image: parts[r.record] for r in ordered if parts[r.record] != UNUSED}
    for record in records:
        if record.detection is not None:
            own = record.part if config.by == "official" else UNUSED
            parts[record.record] = of_picture.get(record.image, own)
    return {r.record: parts[r.record] for r in records}


def _one_of_equal(records: Sequence[Record], hashes: Mapping[str, str]) -> list[Record]:
    """The records with one path for all pictures that are equal: the first in alphabetical order."""
    first: dict[str, str] = {}
    for image in sorted({r.image for r in records}):
        first.setdefault(hashes.get(image, image), image)
    return [replace(r, image=first[hashes.get(r.image, r.image)]) for r in records]


def _together(records: Sequence[Record]) -> list[list[Record]]:
    """Records that share a picture or a group, be it through others."""
    parent: dict[tuple[str, str], tuple[str, str]] = {}

    def root(node: tuple[str, str]) -> tuple[str, str]:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for record in records:
        if record.group:
            parent[root(("image", record.image))] = root(("group", record.group))
    units: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        units[root(("image", record.image))].append(record)
    return list(units.values())


def _by_image(records: Sequence[Record], config: SplitConfig, parts: Sequence[str]) -> dict[str, str]:
    """Divide what keeps together so that the shares hold in every category, as closely as can be.

    The rarest category goes first. Each part that still lacks it gets one of its smallest units; then the largest unit
    left goes to the part that is furthest below its share.
    """
    share = _shares(config, parts)
    units = [(unit, Counter(r.category for r in unit)) for unit in _together(records)]
    total = Counter(r.category for r in records)
    had: dict[str, Counter[str]] = {part: Counter() for part in share}
    part_of: dict[str, str] = {}

    def give(unit: tuple[list[Record], Counter[str]], part: str) -> None:
        part_of.update({r.record: part for r in unit[0]})
        had[part].update(unit[1])

    spread = Counter(category for _, counts in units for category in counts)
    for category in sorted(total, key=lambda c: (spread[c], c)):
        free = [unit for unit in units if category in unit[1] and unit[0][0].record not in part_of]
        generator(config.seed, "image", category).shuffle(free)
        free.sort(key=lambda unit: -unit[1][category])
        lacking = sorted((p for p in share if not had[p][category]), key=share.__getitem__)
        for part in lacking if len(free) >= len(lacking) else ():
            give(free.pop(), part)
        for unit in free:
            give(unit, max(share, key=lambda p: (share[p] * total[category] - had[p][category], share[p])))
    return part_of


def _shares(config: SplitConfig, parts: Sequence[str]) -> dict[str, float]:
    """The shares of those parts that have one; train takes what is left."""
    held = {part: getattr(config, part) for part in parts if part != "train"}
    if names := [part for part, share in held.items() if isinstance(share, tuple)]:
        raise ValueError(f"by {config.by}, {' and '.join(names)} must be a share, but is a list of names")
    if sum(held.values()) >= 1:
        raise ValueError(f"val and test must leave a share to train, but take {sum(held.values()):g} of all")
    shares = {"train": 1 - sum(held.values()), **held}
    return {part: share for part, share in shares.items() if share > 0}


def _official(records: Sequence[Record], config: SplitConfig) -> dict[str, str]:
    """The dataset's own parts; where it has no val, that share of train."""
    without = [r.record for r in records if r.part not in PARTS]
    if without:
        raise ValueError(
            f"an official split must state a part for every record, but {len(without)} of {len(records)} have none, "
            f"the first is {without[0]}; a source's own option or folders called train, val and test state parts, or "
            f"split by image, category or family"
        )
    parts = {r.record: r.part for r in records}
    if "val" not in parts.values():
        parts |= _by_image([r for r in records if r.part == "train"], config, ("train", "val"))
    return parts


def _held_out(records: Sequence[Record], categories: Sequence[Category], config: SplitConfig) -> dict[str, str]:
    """Whole categories or families to one part. A picture or group that shows some of a later part is kept from the
    earlier ones, so that nothing of a held-out category is ever seen in training."""
    name_of = {c.key: c.key if config.by == "category" else c.family for c in categories}
    present = sorted({name_of[r.category] for r in records})
    if "" in present:
        nameless = sorted({r.category for r in records if not name_of[r.category]})
        raise ValueError(f"by family, every category must have one, but {shortened(nameless)} has none")
    part_of_name = _held_out_names(present, _families(present, categories) if config.by == "category" else {}, config)
    parts: dict[str, str] = {}
    for unit in _together(records):
        wanted = {r.record: part_of_name[name_of[r.category]] for r in unit}
        latest = max(wanted.values(), key=PARTS.index)
        parts |= {record: part if part == latest else UNUSED for record, part in wanted.items()}
    return parts


def _families(present: Sequence[str], categories: Sequence[Category]) -> dict[str, list[str]]:
    """The categories that are present, by those families that are not called like one of them."""
    families: dict[str, list[str]] = defaultdict(list)
    for category in categories:
        if category.key in present and category.family and category.family not in present:
            families[category.family].append(category.key)
    return families


def _held_out_names(names: Sequence[str], groups: Mapping[str, Sequence[str]], config: SplitConfig) -> dict[str, str]:
    """The part of every name. The name of a group stands for those of its members."""
    part_of = dict.fromkeys(names, "train")
    given = {"test": config.test, "val": config.val}
    for part, wanted in given.items():
        for name in (n for w in wanted for n in groups.get(w, [w])) if isinstance(wanted, tuple) else ():
            if part_of.get(name) != "train":
                known = shortened([*names, *sorted(groups)])
                reason = f"is in {part_of[name]} as well" if name in part_of else f"is none of {known}"
                raise LookupError(f"{part} must hold out a {config.by} of the data, but {name!r} {reason}")
            part_of[name] = part
    free = [name for name in names if part_of[name] == "train"]
    generator(config.seed, config.by).shuffle(free)
    for part, share in given.items():
        if not isinstance(share, tuple) and share > 0:
            for _ in range(min(len(free), max(1, round(share * len(names))))):
                part_of[free.pop()] = part
    return part_of


def _beyond_few_shots(records: Sequence[Record], parts: Mapping[str, str], few_shot: int, seed: int) -> dict[str, str]:
    """The training records that are left out when each category keeps those of few images, drawn apart from the others:
    of an image that shows several categories, those records stay whose category drew it."""
    beyond: dict[str, str] = {}
    for category, images in _training_images(records, parts).items():
        kept = set(generator(seed, "few shot", category).permutation(sorted(images))[:few_shot].tolist())
        beyond |= {name: UNUSED for image, names in images.items() if image not in kept for name in names}
    return beyond


def _training_images(records: Sequence[Record], parts: Mapping[str, str]) -> dict[str, dict[str, list[str]]]:
    """Category to image to its training records."""
    images: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if parts[record.record] == "train":
            images[record.category][record.image].append(record.record)
    return images


@dataclass(frozen=True)
class Split:
    """What was written of a split."""

    part: Mapping[str, str]
    """Record to part: train, val, test or unused."""
    plan: Mapping[str, Sequence[Episode]] = field(default_factory=dict[str, Sequence[Episode]])
    """Part to its episodes; empty where the split has none."""

    def records(self, part: str) -> list[str]:
        return [record for record, of in self.part.items() if of == part]

    def episodes(self, part: str) -> list[Episode]:
        return list(self.plan.get(part, ()))


def write_split(
    folder: Path,
    split: Split,
    records: Sequence[Record],
    config: SplitConfig,
    draw: str | None = None,
    hashes: Mapping[str, str] = NO_HASHES,
) -> None:
    """Write membership.parquet, about.json and, where there are episodes, episodes.parquet.

    Args:
        draw: how the episodes were drawn, in words.
        hashes: as in ``divide``.
    """
    columns = {"record": list(split.part), "part": list(split.part.values())}
    write_table(pa.table(columns, schema=_SCHEMA), folder / "membership.parquet")
    if split.plan:
        write_episodes(split.plan, folder / "episodes.parquet")
    about = _about(split, records, config, hashes) | ({"draw": draw} if draw else {})
    about["files"] = file_hashes(folder, ("membership.parquet", "episodes.parquet"))
    write_json(about, folder / "about.json", SPLIT)


def shared_pictures(
    part: Mapping[str, str], records: Sequence[Record], hashes: Mapping[str, str]
) -> Counter[tuple[str, ...]]:
    """How many pictures, of equal bytes whatever their paths, several parts have, by those parts."""
    parts_of: dict[str, set[str]] = defaultdict(set)
    for record in records:
        parts_of[hashes.get(record.image, record.image)] |= {part[record.record]} - {UNUSED}
    return Counter(tuple(p for p in PARTS if p in of) for of in parts_of.values() if len(of) > 1)


def _about(split: Split, records: Sequence[Record], config: SplitConfig, hashes: Mapping[str, str]) -> dict[str, Any]:
    counts: dict[str, Counter[str]] = {part: Counter() for part in (*PARTS, UNUSED)}
    parts_of_image: dict[str, set[str]] = defaultdict(set)
    for record in records:
        part = split.part[record.record]
        counts[part][record.category] += 1
        parts_of_image[record.image] |= {part} - {UNUSED}
    fewer = {
        part: {e.category: len(e.queries) for e in of if config.episodes and len(e.queries) < config.episodes.queries}
        for part, of in split.plan.items()
    }
    shots = {c: len(images) for c, images in _training_images(records, split.part).items()}
    return {
        "data": config.data,
        "by": config.by,
        "seed": config.seed,
        "records": {part: dict(sorted(of.items())) for part, of in counts.items()},
        "images_in_several_parts": sum(len(parts) > 1 for parts in parts_of_image.values()),
        "equal_pictures_in_several_parts": shared_pictures(split.part, records, hashes).total(),
        "episodes": {part: len(of) for part, of in split.plan.items()},
        "fewer_queries": fewer,
        "fewer_shots": {c: n for c, n in sorted(shots.items()) if config.few_shot and n < config.few_shot},
    }


def read_split(folder: Path) -> Split:
    """Read what ``write_split`` wrote.

    Raises:
        ValueError: there is no split in that folder, or its tables are not what its description says.
    """
    membership, episodes = folder / "membership.parquet", folder / "episodes.parquet"
    if not (folder / "about.json").is_file():
        raise ValueError(f"{folder} must hold a split, but has no about.json; {SPLIT_AGAIN}")
    about = read_json(folder / "about.json", SPLIT)
    table = read_table(membership, "a table of records and their parts", _SCHEMA, SPLIT_AGAIN)
    parts = table["part"].to_pylist()
    part = dict(zip(table["record"].to_pylist(), parts, strict=True))
    if unknown := {*parts} - {*PARTS, UNUSED}:
        raise ValueError(
            f"{membership} must name the parts {', '.join(PARTS)}, but names {shortened(unknown)}; {SPLIT_AGAIN}"
        )
    described = {p: sum(of.values()) for p, of in about.get("records", {}).items()}
    _must_count(membership, "records", Counter(parts), described)
    must_be_as_written(membership, about, SPLIT_AGAIN)
    if not (os.path.lexists(episodes) or about.get("episodes")):
        return Split(part)
    plan = read_episodes(episodes)
    _must_count(episodes, "episodes", Counter({p: len(of) for p, of in plan.items()}), about.get("episodes", {}))
    _must_know(episodes, plan, part)
    must_be_as_written(episodes, about, SPLIT_AGAIN)
    return Split(part, plan)


def _must_count(path: Path, what: str, found: Counter[str], described: Mapping[str, int]) -> None:
    """Refuse a table that lacks some, or has too many, of what its description counts by part."""
    if described and found != Counter(described):  # which takes a count of 0 for none
        raise ValueError(f"{path} must hold the {what} {_counts(described)}, but holds {_counts(found)}; {SPLIT_AGAIN}")


def _counts(of: Mapping[str, int]) -> str:
    return shortened(f"{part} {number}" for part, number in sorted(of.items()) if number)


def _must_know(path: Path, plan: Mapping[str, Sequence[Episode]], part: Mapping[str, str]) -> None:
    """Refuse episodes of records that the split has not, or has in another part."""
    for where, episodes in plan.items():
        for episode in episodes:
            if strangers := [r for r in (*episode.supports, *episode.queries) if part.get(r) != where]:
                raise ValueError(
                    f"{path} must name records of the part {where!r}, but episode {episode.index} names "
                    f"{shortened(map(repr, strangers), 3)}; {SPLIT_AGAIN}"
                )
