"""The rules on their own: what each refuses, and that it refuses nothing else."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.data.checks import Reason, area_faults, box_faults, keypoint_faults, shown, size_faults, summary
from posebed.records import Problem

NAMES = ("nose", "tail")
SOUND = [1.5, 2, 2, 0, 0, 0]
SIZE = (40, 30)

number = st.floats(-1e6, 1e6) | st.integers(-(10**6), 10**6)
flag = st.sampled_from([0, 1, 2, 0.0, 1.0, 2.0])
nothing_of_the_kind = st.none() | st.booleans() | st.text() | st.lists(st.integers()) | st.just({})


def reasons(faults: list[Any]) -> list[Reason]:
    return [fault.reason for fault in faults]


@given(points=st.lists(st.tuples(number, number, flag), min_size=1, max_size=20))
def test_sound_keypoints_have_no_fault_but_that_none_is_labelled(points: list[tuple[float, float, float]]) -> None:
    names = [str(i) for i in range(len(points))]
    labelled = any(v > 0 for _, _, v in points)
    faults = keypoint_faults([value for point in points for value in point], names)
    assert reasons(faults) == ([] if labelled else [Reason.NO_KEYPOINT])


@given(place=st.integers(0, 5), value=nothing_of_the_kind)
def test_a_keypoint_value_must_be_a_number(place: int, value: object) -> None:
    values: list[Any] = [*SOUND]
    values[place] = value
    assert Reason.NOT_A_NUMBER in reasons(keypoint_faults(values, NAMES))


@given(place=st.sampled_from([0, 1, 3, 4]), value=st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 10**400]))
def test_a_coordinate_must_be_finite_in_the_precision_in_which_it_is_kept(place: int, value: float) -> None:
    values: list[Any] = [*SOUND]
    values[place] = value
    (fault,) = keypoint_faults(values, NAMES)
    assert fault.reason == Reason.NOT_FINITE
    assert fault.found.startswith(f"{'xyv'[place % 3]} of {NAMES[place // 3]} is ")


@given(value=(st.floats() | st.integers()).filter(lambda v: not any(abs(v - flag) < 1e-6 for flag in (0, 1, 2))))
def test_a_visibility_must_be_0_1_or_2(value: float) -> None:
    assert Reason.VISIBILITY in reasons(keypoint_faults([*SOUND[:5], value], NAMES))


@given(values=st.lists(st.just(1), max_size=12).filter(lambda values: len(values) != 6))
def test_every_keypoint_must_have_its_three_values(values: list[int]) -> None:
    (fault,) = keypoint_faults(values, NAMES)
    assert (fault.reason, fault.found) == (Reason.KEYPOINT_COUNT, f"{len(values)} values")


def test_several_faults_of_one_list_are_all_told() -> None:
    assert reasons(keypoint_faults([math.nan, "x", 7, 0], NAMES)) == [
        Reason.KEYPOINT_COUNT,
        Reason.NOT_A_NUMBER,
        Reason.NOT_FINITE,
        Reason.VISIBILITY,
    ]


@given(
    x=st.floats(-100, 39, exclude_max=True),
    y=st.floats(-100, 29, exclude_max=True),
    right=st.floats(0.5, 200),
    low=st.floats(0.5, 200),
)
def test_a_box_may_leave_its_image_in_part(x: float, y: float, right: float, low: float) -> None:
    assert box_faults([x, y, right - min(x, 0), low - min(y, 0)], SIZE) == []


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        (None, Reason.MISSING_FIELD),
        ("box", Reason.WRONG_TYPE),
        ([1, 2, 3], Reason.WRONG_TYPE),
        ([1, 2, 3, "4"], Reason.NOT_A_NUMBER),
        ([1, 2, 3, True], Reason.NOT_A_NUMBER),
        ([1, 2, 3, math.nan], Reason.NOT_FINITE),
        ([1, 2, 0, 4], Reason.BOX_EXTENT),
        ([30, 20, -5, -4], Reason.BOX_EXTENT),
        ([40, 0, 5, 5], Reason.BOX_OUTSIDE),
        ([0, 30, 5, 5], Reason.BOX_OUTSIDE),
        ([-5, 0, 5, 5], Reason.BOX_OUTSIDE),
        ([0, -9, 5, 5], Reason.BOX_OUTSIDE),
    ],
    ids=str,
)
def test_a_box_must_have_an_extent_and_lie_on_its_image(box: object, reason: Reason) -> None:
    assert reasons(box_faults(box, SIZE)) == [reason]


@given(area=st.floats() | st.integers() | nothing_of_the_kind)
def test_an_area_is_absent_or_positive_and_finite(area: Any) -> None:
    is_number = isinstance(area, float | int) and not isinstance(area, bool)
    with np.errstate(over="ignore"):
        sound = area is None or (is_number and 0 < np.float32(area) < np.inf)
    assert (area_faults(area) == []) == sound


def test_a_stated_size_that_differs_names_the_sides_that_do() -> None:
    assert size_faults(SIZE, SIZE) == size_faults(None, SIZE) == []
    assert [size_faults(stated, SIZE)[0].field for stated in ((40, 40), (30, 30), (30, 40))] == [
        "height",
        "width",
        "width, height",
    ]


@given(value=st.recursive(st.none() | st.floats() | st.text(st.characters()), st.lists))
def test_any_value_is_shown_as_a_short_text_that_can_be_written(value: object) -> None:
    assert len(shown(value)) <= 100
    assert shown(value).isascii()


def test_a_summary_counts_every_problem_and_tells_the_first_in_full(tmp_path: Path) -> None:
    problems = [Problem("a.json", str(i), "cat", "bbox", Reason.BOX_EXTENT, "[1, 2, 0, 0]", "more") for i in range(30)]
    text = summary(problems, most=2)
    assert "30 box without extent" in text
    assert "a.json, record 1, cat: bbox: box without extent: found [1, 2, 0, 0]; must be more" in text
    assert text.endswith("... and 28 more")
