"""The rules on their own: what each refuses, and that it refuses nothing else."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.annotations.checks import (
    Fault,
    area_faults,
    box_faults,
    inspect_pictures,
    is_names,
    keypoint_faults,
    shown,
    size_faults,
    summary,
)
from posebed.data.images import Images, PictureFacts
from posebed.data.stderr import caught_stderr
from posebed.limits import LONGEST_NAME, MOST_KEYPOINTS, SIDES_BEYOND
from posebed.records import Problem, Reason

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


def test_several_faults_of_one_list_are_all_reported() -> None:
    assert reasons(keypoint_faults([math.nan, "x", 7, 0], NAMES)) == [
        Reason.KEYPOINT_COUNT,
        Reason.NOT_A_NUMBER,
        Reason.NOT_FINITE,
        Reason.VISIBILITY,
    ]


@given(
    x=st.floats(-100, 39, exclude_max=True),
    y=st.floats(-80, 29, exclude_max=True),
    right=st.floats(0.5, 120),
    low=st.floats(0.5, 90),
)
def test_a_box_may_leave_its_image_in_part(x: float, y: float, right: float, low: float) -> None:
    assert box_faults([x, y, right - min(x, 0), low - min(y, 0)], SIZE) == []


beyond = st.floats(SIDES_BEYOND * 40 + 1, 1e37)


@given(beyond=beyond, side=st.integers(0, 3))
def test_a_box_never_reaches_further_than_an_animal_could(beyond: float, side: int) -> None:
    box = [5.0, 5.0, 20.0, 20.0]
    box[side] = beyond + 40 if side > 1 else -beyond
    box[side % 2 + 2] += beyond if side < 2 else 0
    (fault,) = box_faults(box, SIZE)
    assert fault.reason in (Reason.BOX_FAR, Reason.BOX_OUTSIDE)  # a far box may be rounded out of the image


@given(beyond=beyond, sign=st.sampled_from([-1, 1]), place=st.integers(0, 1), flag=st.sampled_from([1, 2]))
def test_a_keypoint_is_never_farther_than_a_camera_sees(beyond: float, sign: int, place: int, flag: int) -> None:
    values: list[Any] = [5, 5, flag, *SOUND[3:]]
    values[place] = sign * (beyond + 40)
    assert [fault.reason for fault in keypoint_faults(values, NAMES, size=SIZE)] == [Reason.KEYPOINT_FAR]
    values[2] = 0
    assert keypoint_faults(values, NAMES, labelled=False, size=SIZE) == []


@given(area=st.floats(0.5, 1e37))
def test_an_area_fits_into_its_image_or_is_that_of_its_box(area: float) -> None:
    fits = area <= 40 * 30
    assert (area_faults(area, SIZE) == []) == fits or 1 < area / 1200 < 1.01
    side = math.sqrt(area)
    assert area_faults(side * side, SIZE, [0, 0, side, side]) == []


def test_a_list_of_names_is_bounded() -> None:
    assert is_names([f"k{i}" for i in range(MOST_KEYPOINTS)])
    assert not is_names([f"k{i}" for i in range(MOST_KEYPOINTS + 1)])
    assert not is_names(["x" * (LONGEST_NAME + 1)])


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
    facts = PictureFacts(SIZE)
    assert size_faults(SIZE, facts, "stored") == size_faults(None, facts, "stored") == []
    assert [size_faults(stated, facts, "stored")[0].field for stated in ((40, 40), (30, 30), (30, 40))] == [
        "height",
        "width",
        "width, height",
    ]


@given(
    tag=st.integers(1, 8),
    stated=st.sampled_from([SIZE, SIZE[::-1], (7, 9)]),
    way=st.sampled_from(["stored", "displayed"]),
)
def test_a_size_that_differs_for_an_orientation_tag_names_tag_and_option(
    tag: int, stated: tuple[int, int], way: Any
) -> None:
    faults = size_faults(stated, PictureFacts(SIZE, tag), way)
    assert bool(faults) == (stated != SIZE)
    other = {"stored": "displayed", "displayed": "stored"}[way]
    named = [f for f in faults if f"orientation tag {tag}" in f.must and f"'orientation: {other}'" in f.must]
    assert bool(named) == (tag >= 5 and stated == SIZE[::-1])


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


def jpeg(seed: int, side: int = 64) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    return cv2.imencode(".jpg", noise)[1].tobytes()


def with_zeros(data: bytes, share: float) -> bytes:
    """The JPEG with zeros in so large a part of its first scan, near the middle; its end is there."""
    start = data.index(b"\xff\xda") + 14
    middle, half = (start + len(data)) // 2, int(share * (len(data) - start) / 2)
    return data[: middle - half] + bytes(2 * half) + data[middle + half :]


@given(damaged=st.sets(st.integers(0, 11), max_size=4), share=st.floats(0.1, 0.9))
def test_damaged_pictures_are_named_and_the_decoder_prints_nothing(
    tmp_path_factory: pytest.TempPathFactory, damaged: set[int], share: float
) -> None:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(12):
        (folder / f"{i}.jpg").write_bytes(with_zeros(jpeg(i), share) if i in damaged else jpeg(i))
    with caught_stderr() as printed:
        inspected = inspect_pictures(Images(folder), [f"{i}.jpg" for i in range(12)])
    assert printed == []
    faults = {path: fault for path, fault in inspected.items() if isinstance(fault, Fault)}
    assert set(faults) == {f"{i}.jpg" for i in damaged}
    for path, fault in faults.items():
        assert fault.reason == Reason.DAMAGED_IMAGE and fault.found.startswith(f"'{path}': Corrupt JPEG data")


def test_harmless_warnings_of_a_decoder_are_kept_with_the_picture(tmp_path: Path) -> None:
    """A JFIF revision that does not exist says nothing against the pixels."""
    odd = jpeg(0).replace(b"JFIF\0\x01", b"JFIF\0\x07", 1)
    for name, data in (("odd", odd), ("plain", jpeg(0))):
        (tmp_path / name).write_bytes(data)
    odd_facts, plain = inspect_pictures(Images(tmp_path), ["odd", "plain"]).values()
    assert isinstance(odd_facts, PictureFacts) and "unknown JFIF revision" in odd_facts.remark
    assert isinstance(plain, PictureFacts) and not plain.remark


def test_what_others_print_meanwhile_is_passed_on(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Talking(Images):
        def facts(self, path: str) -> PictureFacts:
            if not self.printed:
                os.write(2, b"a line of another thread\n")
                self.printed = True
            return super().facts(path)

        printed = False

    (tmp_path / "a.jpg").write_bytes(jpeg(0))
    (facts,) = inspect_pictures(Talking(tmp_path), ["a.jpg"]).values()
    assert isinstance(facts, PictureFacts) and not facts.remark
    assert capfd.readouterr().err == "a line of another thread\n"


def test_standard_error_comes_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError), caught_stderr() as lines:
        os.write(2, b"inside\n")
        print("from Python", file=sys.__stderr__)
        raise RuntimeError
    os.write(2, b"outside\n")
    assert "inside" in lines
    assert capfd.readouterr().err == "outside\n"


def test_damaged_cases_are_problems(cases: Path) -> None:
    folder = cases / "damaged-jpeg/damaged/images"
    inspected = inspect_pictures(Images(folder), sorted(path.name for path in folder.iterdir()))
    assert {f.reason for f in inspected.values() if isinstance(f, Fault)} == {Reason.DAMAGED_IMAGE}
    assert len(inspected) == 8
