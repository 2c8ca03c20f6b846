"""Notes on what looks wrong: each appears exactly where it should, and none on ordinary data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from menagerie import MenagerieConfig, draw_folder
from posebed.annotations.plausible import bits_of, implausible, picture_notes
from posebed.data.images import PictureFacts
from posebed.datasets.coco_folder import check_path
from posebed.records import Record

KINDS = (
    "at exactly 0, 0",
    "Keypoints that look like shares",
    "Boxes that look like shares",
    "x1, y1",
    "outside their box",
    "within a fifth",
)


@st.composite
def sound_records(draw: st.DrawFn) -> list[Record]:
    """Boxes that their labelled keypoints span, on pictures of several sizes; hidden and unlabelled ones too."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    records: list[Record] = []
    for number in range(draw(st.integers(3, 12))):
        width, height = (int(side) for side in rng.integers(60, 400, 2))
        w, h = rng.uniform(20, width - 10), rng.uniform(20, height - 10)
        x, y = rng.uniform(4, width - w - 3), rng.uniform(4, height - h - 3)
        places = rng.uniform(0, 1, (draw(st.integers(2, 9)), 2))
        places[0], places[1] = (0.02, 0.03), (0.98, 0.97)
        points = np.column_stack([(x, y) + places * (w, h), rng.integers(1, 3, len(places))])
        points = np.vstack([points, [0, 0, 0]]).astype(np.float32)
        records.append(Record(f"r{number}", f"{number}.jpg", width, height, "c", (x, y, w, h), w * h, points))
    return records


def kinds(records: list[Record]) -> list[str]:
    notes = list(implausible(records))
    actual = [kind for kind in KINDS if any(kind in note for note in notes)]
    assert len(actual) == len(notes)
    return actual


def moved(record: Record, change: float) -> Record:
    points = record.keypoints.copy()
    points[points[:, 2] > 0, :2] += change
    return replace(record, keypoints=points)


def scaled(record: Record, points: bool, box: bool) -> Record:
    size = np.array([record.width, record.height])
    keypoints = record.keypoints / [*size, 1] if points else record.keypoints
    x, y, w, h = np.array(record.box) / np.tile(size, 2) if box else record.box
    return replace(record, keypoints=keypoints.astype(np.float32), box=(x, y, w, h))


def as_corners(record: Record) -> Record:
    x, y, w, h = record.box
    return replace(record, box=(x, y, x + w, y + h))


@given(records=sound_records())
def test_sound_records_give_no_note(records: list[Record]) -> None:
    assert kinds(records) == []
    assert kinds([]) == []


@given(records=sound_records(), share=st.floats(0, 0.05))
def test_a_few_points_slightly_outside_their_box_are_ordinary(records: list[Record], share: float) -> None:
    assert kinds([moved(r, share * max(r.box[2:])) for r in records]) == []


@given(records=sound_records(), which=st.data())
def test_a_labelled_keypoint_at_the_corner_is_counted(records: list[Record], which: st.DataObject) -> None:
    at = which.draw(st.integers(0, len(records) - 1))
    points = records[at].keypoints.copy()
    points[-1, 2] = which.draw(st.sampled_from([1, 2]))
    records[at] = replace(records[at], keypoints=points)
    assert kinds(records) == [KINDS[0]]
    assert next(implausible(records)).endswith(f"1 in 1 records, the first is r{at}.")


@given(records=sound_records(), points=st.booleans(), box=st.booleans(), count=st.integers(1, 12))
def test_shares_are_counted(records: list[Record], points: bool, box: bool, count: int) -> None:
    changed = [scaled(r, points, box) if i < count else r for i, r in enumerate(records)]
    actual = kinds(changed)
    assert (KINDS[1] in actual, KINDS[2] in actual) == (points, box)
    number = min(count, len(records))
    assert all(f": {number} records, the first is r0." in note for note in implausible(changed))


@given(records=sound_records(), at=st.integers(0, 2))
def test_records_with_most_points_outside_their_box_are_counted(records: list[Record], at: int) -> None:
    records[at] = moved(records[at], 1.2 * max(records[at].box[2:]) + 1)
    assert kinds(records) == [KINDS[4]]
    assert next(implausible(records)).endswith(f"1 records, the first is r{at}.")


@given(records=sound_records(), at=st.integers(0, 2))
def test_keypoints_that_are_lost_in_their_box_are_counted(records: list[Record], at: int) -> None:
    """Any pose among them would be right by PCK@0.2; of two nothing can be said."""
    one, rng = records[at], np.random.default_rng(at)
    reach = 0.1 * max(one.width, one.height)
    points = np.full((4, 3), 2, np.float32)
    points[:, :2] = np.array([one.width, one.height]) / 2 + rng.uniform(-reach, reach, (4, 2))
    records[at] = replace(one, box=(0, 0, one.width, one.height), keypoints=points)
    assert kinds(records) == ["within a fifth"]
    records[at] = replace(records[at], keypoints=points[:2])
    assert kinds(records) == []


@given(records=sound_records())
def test_corners_are_reported_where_they_differ_from_the_extent(records: list[Record]) -> None:
    clear = [r for r in records if r.box[0] > 0.35 * (r.box[0] + r.box[2]) or r.box[1] > 0.35 * (r.box[1] + r.box[3])]
    actual = kinds([as_corners(r) for r in clear])
    assert (KINDS[3] in actual) == (len(clear) >= 3)


@given(
    tags=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    bits=st.lists(st.none() | st.sampled_from([8, 10, 12, 14, 16]), min_size=6, max_size=6),
    way=st.sampled_from(["stored", "displayed"]),
)
def test_tags_and_depths_are_reported_with_their_number(tags: list[int], bits: list[int | None], way: str) -> None:
    pictures = {f"{i}.png": PictureFacts((9, 9), tag, bits[i]) for i, tag in enumerate(tags)}
    notes = list(picture_notes(pictures, way))  # pyright: ignore[reportArgumentType]
    tagged, deep = [t for t in tags if t != 1], [b for b in bits[: len(tags)] if b]
    assert [f": {len(tagged)}, " in n for n in notes if "orientation tag" in n] == [True] * bool(tagged)
    assert [f" {max(deep)} bits" in n for n in notes if "more than 8 bits" in n] == ([True] if deep else [])
    assert len(notes) == bool(tagged) + bool(deep)
    assert bits_of(pictures.values()) == max(deep, default=None)


@pytest.mark.parametrize(("case", "kind"), [("kpoutbox", 4), ("xyxy", 3), ("kpnorm", 1), ("corner", 0)])
def test_cases_are_reported(cases: Path, case: str, kind: int) -> None:
    dataset = check_path(cases / "box-and-points" / case)
    (note,) = [n for n in dataset.notes if any(k in n for k in KINDS)]
    assert KINDS[kind] in note and "8 records, the first is" in note
    assert len(dataset.records) == 8


def test_real_photographs_give_no_note(real_data: Path) -> None:
    for folder in real_data.iterdir():
        if (folder / "annotations.json").is_file():
            notes = check_path(folder).notes
            assert not [n for n in notes if not n.startswith(("Source", "Licence"))], folder


@pytest.mark.parametrize("kinds_of", ["quadrupeds", "mixed"])
def test_built_in_pictures_give_no_note(tmp_path: Path, kinds_of: str) -> None:
    config = MenagerieConfig.model_validate({"set": kinds_of, "images": 40, "side": 64})
    draw_folder(config, tmp_path / "set", 1, lambda done: None)
    assert list(implausible(check_path(tmp_path / "set").records)) == []
