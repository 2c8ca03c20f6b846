"""Splits: nothing that belongs together parts, what is held out is never trained on, and the seed decides."""

from __future__ import annotations

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from posebed.config import EpisodesConfig, SplitConfig
from posebed.data.splits import PARTS, UNUSED, Split, divide, read_split, write_split
from posebed.data.test_episodes import draw_test_episodes
from posebed.records import Category, Record

FAMILIES = {"lion": "cats", "tiger": "cats", "wolf": "dogs", "fox": "dogs", "cow": "cattle", "bison": "cattle"}
CATEGORIES = [Category(name, name, ("nose",), family) for name, family in FAMILIES.items()]


def record(name: object, category: str = "lion", image: object = None, group: str = "", part: str = "") -> Record:
    image = name if image is None else image
    box = (0.0, 0.0, 5.0, 5.0)
    return Record(str(name), str(image), 9, 9, category, box, 25.0, np.ones((1, 3), np.float32), group, part)


@st.composite
def tables(draw: st.DrawFn) -> list[Record]:
    """Records whose images and groups overlap in every way."""
    number = draw(st.integers(12, 60))
    return [
        record(
            i,
            draw(st.sampled_from(sorted(FAMILIES))),
            draw(st.integers(0, number)),
            draw(st.sampled_from(["", "", "", *map(str, range(number // 4))])),
        )
        for i in range(number)
    ]


def config(**given: Any) -> SplitConfig:
    return SplitConfig(data="d", **given)


def divided(records: Sequence[Record], split: SplitConfig) -> dict[str, str]:
    """The parts; a table that cannot be split so is no example."""
    try:
        return divide(records, CATEGORIES, split)
    except ValueError as error:
        assume("must have records" not in str(error))
        raise


any_split = st.builds(
    config,
    by=st.sampled_from(["image", "category", "family"]),
    val=st.floats(0.1, 0.4),
    test=st.floats(0.1, 0.4),
    seed=st.integers(0, 6),
)


@given(records=tables(), split=any_split)
def test_no_image_and_no_group_is_in_two_parts(records: list[Record], split: SplitConfig) -> None:
    part = divided(records, split)
    parts_of: dict[tuple[str, str], set[str]] = defaultdict(set)
    for r in records:
        parts_of["image", r.image] |= {part[r.record]} - {UNUSED}
        if r.group:
            parts_of["group", r.group] |= {part[r.record]} - {UNUSED}
    assert list(part) == [r.record for r in records]
    assert max(map(len, parts_of.values())) == 1


@given(records=tables(), split=any_split)
def test_every_part_has_records(records: list[Record], split: SplitConfig) -> None:
    assert set(divided(records, split).values()) >= set(PARTS)


@given(records=tables(), split=any_split)
def test_a_held_out_category_is_never_seen_in_training(records: list[Record], split: SplitConfig) -> None:
    assume(split.by != "image")
    part = divided(records, split)
    name = {r.record: r.category if split.by == "category" else FAMILIES[r.category] for r in records}
    names = {p: {name[r.record] for r in records if part[r.record] == p} for p in PARTS}
    assert not names["train"] & names["val"] and not (names["train"] | names["val"]) & names["test"]
    trained_images = {r.image for r in records if part[r.record] == "train"}
    assert not trained_images & {r.image for r in records if name[r.record] in names["val"] | names["test"]}


@given(records=tables(), split=any_split, order=st.randoms(use_true_random=False))
def test_the_seed_decides_and_not_the_order_of_the_records(
    records: list[Record], split: SplitConfig, order: Any
) -> None:
    shuffled = records.copy()
    order.shuffle(shuffled)
    assert divided(records, split) == divide(shuffled, CATEGORIES, split)


def test_another_seed_gives_another_split() -> None:
    records = [record(i) for i in range(100)]
    assert len({tuple(divide(records, CATEGORIES, config(seed=seed)).items()) for seed in range(5)}) == 5


@given(
    sizes=st.dictionaries(st.sampled_from(sorted(FAMILIES)), st.integers(3, 40), min_size=1),
    run=st.integers(1, 4),
    val=st.floats(0.1, 0.3),
    test=st.floats(0.1, 0.3),
)
def test_shares_hold_in_every_category_to_the_size_of_a_group(
    sizes: dict[str, int], run: int, val: float, test: float
) -> None:
    records = [record(f"{c}{i}", c, group=f"{c}{i // run}") for c, size in sizes.items() for i in range(size * run)]
    part = divide(records, CATEGORIES, config(val=val, test=test))
    for category, size in sizes.items():
        counts = Counter(part[r.record] for r in records if r.category == category)
        shares = {"train": 1 - val - test, "val": val, "test": test}
        assert all(abs(counts[p] - share * size * run) <= 2 * run for p, share in shares.items())
        assert all(counts[p] >= run for p in PARTS)


def test_a_new_category_moves_no_record_of_another() -> None:
    lions = [record(i) for i in range(30)]
    wolves = [record(f"w{i}", "wolf") for i in range(30)]
    both = divide([*lions, *wolves], CATEGORIES, config())
    assert divide(lions, CATEGORIES, config()).items() <= both.items()


def test_named_categories_are_held_out() -> None:
    records = [record(f"{c}{i}", c) for c in FAMILIES for i in range(3)]
    part = divide(records, CATEGORIES, config(by="category", val=("cow",), test=("lion", "fox")))
    assert {r.category for r in records if part[r.record] == "test"} == {"lion", "fox"}
    assert {r.category for r in records if part[r.record] == "val"} == {"cow"}
    part = divide(records, CATEGORIES, config(by="family", val=("cats",), test=0.34))
    assert {r.category for r in records if part[r.record] == "val"} == {"lion", "tiger"}
    assert len({r.category for r in records if part[r.record] == "test"}) == 2


@pytest.mark.parametrize("test", [("cats",), ("lion", "tiger")])
def test_a_family_is_held_out_of_categories_by_its_name(test: tuple[str, ...]) -> None:
    records = [record(f"{c}{i}", c) for c in FAMILIES for i in range(3)]
    part = divide(records, CATEGORIES, config(by="category", val=0.2, test=test))
    shown = {p: {r.category for r in records if part[r.record] == p} for p in PARTS}
    assert shown["test"] == {"lion", "tiger"}
    assert len(shown["val"]) == 1 and len(shown["train"]) == 3, "single categories of the other families validate"


def test_a_category_goes_before_a_family_of_its_name() -> None:
    categories = [Category("face", "face", ("nose",), "head"), *(Category(c, c, ("nose",), "face") for c in "abc")]
    records = [record(f"{c.key}{i}", c.key) for c in categories for i in range(3)]
    part = divide(records, categories, config(by="category", test=("face",)))
    assert {r.category for r in records if part[r.record] == "test"} == {"face"}


def test_a_picture_that_shows_a_held_out_category_is_kept_from_training() -> None:
    records = [record(i, c, image=i // 2) for i, c in enumerate(["lion", "cow", "tiger", "cow", "wolf", "wolf"])]
    part = divide(records, CATEGORIES, config(by="category", val=("tiger",), test=("lion",)))
    assert list(part.values()) == ["test", UNUSED, "val", UNUSED, "train", "train"]


def test_the_official_parts_are_taken_as_they_are() -> None:
    records = [record(i, part=PARTS[i % 3], image="one") for i in range(9)]
    assert divide(records, CATEGORIES, config(by="official")) == {r.record: r.part for r in records}


def test_an_official_split_without_val_takes_it_from_train() -> None:
    records = [record(i, part="train" if i < 40 else "test", group=str(i // 4)) for i in range(60)]
    part = divide(records, CATEGORIES, config(by="official", val=0.2))
    assert Counter(part.values()) == {"train": 32, "val": 8, "test": 20}
    assert {part[str(i)] for i in range(40, 60)} == {"test"}


@given(shots=st.integers(1, 5), seed=st.integers(0, 3))
def test_few_shots_leave_so_many_of_each_category(shots: int, seed: int) -> None:
    records = [record(f"{c}{i}", c) for c in ("lion", "wolf") for i in range(20)]
    whole = divide(records, CATEGORIES, config(seed=seed))
    few = divide(records, CATEGORIES, config(seed=seed, few_shot=shots))
    assert Counter(r.category for r in records if few[r.record] == "train") == {"lion": shots, "wolf": shots}
    assert all(few[name] == whole[name] or (few[name], whole[name]) == (UNUSED, "train") for name in whole)


@given(records=tables(), split=any_split, shots=st.integers(1, 4))
def test_few_shots_are_images_of_each_category(records: list[Record], split: SplitConfig, shots: int) -> None:
    whole = divided(records, split)
    few = divide(records, CATEGORIES, split.model_copy(update={"few_shot": shots}))

    def images(parts: dict[str, str]) -> dict[str, set[str]]:
        return {c: {r.image for r in records if (r.category, parts[r.record]) == (c, "train")} for c in FAMILIES}

    before, after = images(whole), images(few)
    assert {c: len(of) for c, of in after.items()} == {c: min(shots, len(of)) for c, of in before.items()}
    for r in records:
        kept = whole[r.record] != "train" or r.image in after[r.category]
        assert few[r.record] == (whole[r.record] if kept else UNUSED)


def test_a_category_with_fewer_images_keeps_all_and_is_reported(tmp_path: Path) -> None:
    records = [record(f"{c}{i}", c) for c in ("lion", "wolf") for i in range(40 if c == "lion" else 5)]
    split = config(few_shot=8)
    write_split(tmp_path, Split(divide(records, CATEGORIES, split)), records, split)
    about = json.loads((tmp_path / "about.json").read_text())
    assert about["records"]["train"]["lion"] == 8
    assert about["fewer_shots"] == {"wolf": about["records"]["train"]["wolf"]}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"val": 0}, "none in val"),
        ({"val": 0.6, "test": 0.5}, "leave a share to train"),
        ({"test": ("lion",)}, "test must be a share"),
        ({"by": "category", "test": ("dragon",)}, "'dragon' is none of bison, cow"),
        ({"by": "category", "test": ("dragon",)}, "wolf, cats, cattle, dogs"),
        ({"by": "category", "val": ("lion",), "test": ("lion",)}, "'lion' is in test as well"),
        ({"by": "category", "val": ("lion",), "test": ("cats",)}, "'lion' is in test as well"),
        ({"by": "category", "val": 0.9, "test": 0.9}, "none in train"),
        ({"by": "official"}, "18 of 18 have none"),
    ],
    ids=str,
)
def test_a_split_that_cannot_be_made_is_refused(given: dict[str, Any], says: str) -> None:
    records = [record(f"{c}{i}", c) for c in FAMILIES for i in range(3)]
    with pytest.raises((ValueError, LookupError), match=says):
        divide(records, CATEGORIES, config(**given))


def test_families_cannot_be_held_out_where_there_are_none() -> None:
    with pytest.raises(ValueError, match="axolotl has none"):
        divide([record(1, "axolotl")], [Category("axolotl", "axolotl", ("nose",))], config(by="family"))


def test_a_single_group_cannot_be_split() -> None:
    with pytest.raises(ValueError, match=r"none in val, test .* of 1 groups"):
        divide([record(i, group="film") for i in range(50)], CATEGORIES, config())


@settings(max_examples=30, deadline=None)
@given(split=any_split, shots=st.integers(1, 2))
def test_the_same_seed_writes_the_same_bytes(split: SplitConfig, shots: int) -> None:
    records = [record(f"{c}{i}", c) for c in FAMILIES for i in range(30)]
    episodes = EpisodesConfig(shots=shots, queries=2, episodes=2, val_episodes=1)
    split = split.model_copy(update={"episodes": episodes})
    with tempfile.TemporaryDirectory() as folder:
        for name in ("one", "two"):
            part = divide(records, CATEGORIES, split)
            chosen = {p: [r for r in records if part[r.record] == p] for p in ("val", "test")}
            plan = {p: draw_test_episodes(of, p, episodes, split.seed) for p, of in chosen.items()}
            write_split(Path(folder, name), Split(part, plan), records, split)
            assert read_split(Path(folder, name)) == Split(part, plan)
        one, two = ({f.name: f.read_bytes() for f in Path(folder, name).iterdir()} for name in ("one", "two"))
        assert one == two
        assert set(one) == {"membership.parquet", "episodes.parquet", "about.json"}


@given(records=tables(), split=any_split)
def test_a_detectors_box_goes_with_its_picture_and_changes_nothing_else(
    records: list[Record], split: SplitConfig
) -> None:
    detected = [replace(r, record=f"found {r.record}", group="", detection=0.5) for r in records]
    alone = replace(detected[0], record="alone", image="nothing annotated")
    parts, before = divided([*detected, *records, alone], split), divided(records, split)
    assert {name: parts[name] for name in before} == before
    for box in detected:
        annotated = {parts[r.record] for r in records if r.image == box.image}
        assert parts[box.record] in annotated
        assert parts[box.record] != UNUSED or annotated == {UNUSED}
    assert parts["alone"] == UNUSED


def test_a_detectors_box_in_a_picture_without_records_has_an_official_part() -> None:
    records = [record(i, part=part) for i, part in enumerate(PARTS)]
    alone = replace(record("alone", part="test"), detection=0.5)
    assert divide([*records, alone], CATEGORIES, config(by="official"))["alone"] == "test"


def test_the_records_of_a_part_keep_their_order() -> None:
    split = Split({"b": "train", "c": "val", "a": "train"})
    assert split.records("train") == ["b", "a"]
    assert split.episodes("test") == []


def test_what_is_written_says_what_it_holds(tmp_path: Path) -> None:
    records = [record(i, part=PARTS[i % 3], image=i // 2) for i in range(12)]
    episodes = EpisodesConfig(shots=1, queries=9, episodes=4)
    split = config(by="official", episodes=episodes)
    part = divide(records, CATEGORIES, split)
    plan = {"test": draw_test_episodes([r for r in records if r.part == "test"], "test", episodes, 0)}
    write_split(tmp_path / "split", Split(part, plan), records, split)
    about = json.loads((tmp_path / "split" / "about.json").read_text())
    assert about["records"]["val"] == {"lion": 4}
    assert about["images_in_several_parts"] == 6
    assert about["fewer_queries"] == {"test": {"lion": 3}}
    assert about["episodes"] == {"test": 4}


def test_a_folder_without_a_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no about\.json; `dvc repro split` makes it again"):
        read_split(tmp_path)


def written(folder: Path) -> Path:
    """A split with episodes of its test part."""
    records = [record(i, part=PARTS[i % 3], image=i) for i in range(30)]
    episodes = EpisodesConfig(shots=1, queries=2, episodes=4)
    split = config(by="official", episodes=episodes)
    part = divide(records, CATEGORIES, split)
    plan = {"test": draw_test_episodes([r for r in records if r.part == "test"], "test", episodes, 0)}
    write_split(folder, Split(part, plan), records, split)
    return folder


def rewritten(path: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist(change(table.to_pylist()), schema=table.schema), path)


@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("membership", lambda rows: rows[:15], "must hold the records test 10, train 10, val 10, but holds test 5"),
        ("membership", lambda rows: rows * 2, "must hold the records test 10, .* but holds test 20"),
        ("membership", lambda rows: [{**rows[0], "part": "exam"}, *rows[1:]], "must name the parts train, val, test"),
        ("episodes", lambda rows: rows[:3], "must hold the episodes test 4, but holds test 2"),
        (
            "episodes",
            lambda rows: [{**rows[0], "query": "nobody"}, *rows[1:]],
            "must name records .* but episode 0 names 'nobody'",
        ),
        ("episodes", lambda rows: [{**r, "supports": ["0"]} for r in rows], "must name records of the part 'test'"),
    ],
)
def test_tables_that_are_not_what_the_split_says_are_refused(
    tmp_path: Path, file: str, change: Any, says: str, described: bool
) -> None:
    folder = written(tmp_path / "split")
    if not described:  # as former versions were, which held no hashes
        about = json.loads((folder / "about.json").read_text())
        del about["files"]
        (folder / "about.json").write_text(json.dumps(about | {"schema": 1}))
        read_split(folder)
    rewritten(folder / f"{file}.parquet", change)
    with pytest.raises(ValueError, match=rf"{file}\.parquet {says}.*; `dvc repro split` makes it again"):
        read_split(folder)


def test_another_membership_of_as_many_records_is_refused_by_its_hash(tmp_path: Path) -> None:
    folder = written(tmp_path / "split")
    (folder / "episodes.parquet").unlink()
    with pytest.raises(ValueError, match=r"episodes\.parquet must be a table of episodes, but there is no such file"):
        read_split(folder)
    folder = written(tmp_path / "another")
    rewritten(folder / "membership.parquet", lambda rows: rows[::-1])
    with pytest.raises(ValueError, match=r"membership\.parquet must be as it was written"):
        read_split(folder)
