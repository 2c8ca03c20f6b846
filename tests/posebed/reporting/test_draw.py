from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.records import Category
from posebed.reporting.draw import LEAST, LEFT, RIGHT, UNSIDED, colours, contact_sheet, draw_pose, side, window

CAT = Category("cat", "cat", ("left_eye", "right_eye", "tail"), limbs=((0, 2), (1, 2)), flip_pairs=((0, 1),))
GREY = np.full((600, 800, 3), 128, np.uint8)
XY = np.array([[100.0, 100.0], [100.0, 200.0], [300.0, 150.0]])
ALL = np.ones(3, bool)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(2)


def test_marks_are_where_the_keypoints_are_and_nowhere_else():
    drawn = draw_pose(GREY, XY, ALL, CAT)
    assert tuple(drawn[100, 100]) == LEFT and tuple(drawn[200, 100]) == RIGHT
    rows, columns = np.nonzero(changed(GREY, drawn))
    assert rows.min() > 80 and rows.max() < 220 and columns.min() > 80 and columns.max() < 320
    assert (GREY == 128).all(), "the picture that was given is not drawn on"


def test_limbs_join_their_keypoints():
    assert changed(GREY, draw_pose(GREY, XY, ALL, CAT))[125, 200]


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_a_keypoint_that_is_not_shown_leaves_no_mark(hidden: int):
    drawn = draw_pose(GREY, XY, ALL & (np.arange(3) != hidden), CAT)
    x, y = XY[hidden].astype(int)
    assert not changed(GREY, drawn)[y - 8 : y + 9, x - 8 : x + 9].any()


def test_a_pose_without_keypoints_leaves_the_picture_as_it_is():
    assert not changed(GREY, draw_pose(GREY, XY, ~ALL, CAT, truth=XY)).any()


def test_the_truth_is_a_ring_tied_to_the_prediction():
    large, below = 2 * XY, 2 * XY + np.array([0, 80])
    plain, drawn = draw_pose(GREY, large, ALL, CAT), draw_pose(GREY, large, ALL, CAT, truth=below)
    added = changed(plain, drawn)
    assert added[240, 200], "the line from prediction to truth"
    assert added[280 + 8, 200], "the ring"
    assert not added[280 + 4, 200], "the ring is hollow"


def test_keypoints_far_outside_or_not_finite_are_no_error():
    drawn = draw_pose(GREY, np.array([[1e12, -1e12], [np.nan, 5], [300, 150]]), ALL, CAT)
    assert drawn.shape == GREY.shape


@given(height=st.integers(4, 700), width=st.integers(4, 700))
def test_small_pictures_are_brought_up_and_large_ones_stay(height: int, width: int):
    drawn = draw_pose(np.zeros((height, width, 3), np.uint8), XY, ALL, CAT)
    assert max(drawn.shape[:2]) == max(LEAST, height, width)


def test_marks_move_with_the_picture_when_it_is_scaled():
    small = np.full((60, 80, 3), 128, np.uint8)
    drawn = draw_pose(small, np.array([[19.5, 29.5], [0, 0], [0, 0]]), np.array([True, False, False]), CAT, longest=800)
    rows, columns = np.nonzero(changed(drawn, np.full_like(drawn, 128)))
    assert (columns.mean(), rows.mean()) == (pytest.approx(199.5, abs=1), pytest.approx(299.5, abs=1))


@pytest.mark.parametrize("name", ["left_eye", "L_Eye", "eyeL", "forelegL4", "ear_l", "Left Paw"])
def test_names_tell_the_left_side_and_their_mirror_the_right(name: str):
    mirrored = name.replace("left", "right").replace("Left", "Right").replace("L", "R").replace("_l", "_r")
    assert (side(name), side(mirrored)) == ("left", "right")


@pytest.mark.parametrize("name", ["nose", "tail_base", "withers", "lip", "rump", "pollen"])
def test_names_without_a_side_are_in_the_middle(name: str):
    assert side(name) == ""


def test_pairs_tell_the_sides_where_names_do_not():
    flat = Category("a", "a", ("one", "two", "three"), flip_pairs=((1, 0),))
    assert colours(flat)[:2] == [RIGHT, LEFT]


def test_without_sides_keypoints_differ_from_their_neighbours():
    chair = Category("chair", "chair", tuple(f"corner {k}" for k in range(9)))
    assert all(a != b for a, b in pairwise(colours(chair)))
    assert set(colours(chair)) == set(UNSIDED)


boxes = st.tuples(st.floats(-50, 150), st.floats(-50, 150), st.floats(1, 300), st.floats(1, 300))


@given(boxes, st.integers(10, 120), st.integers(10, 120))
def test_a_window_lies_in_the_picture_and_holds_the_box_as_far_as_both_allow(box, height: int, width: int):
    image = np.arange(height * width).reshape(height, width)
    cut, (left, top) = window(image, box)
    assert cut.size
    assert (cut == image[top : top + cut.shape[0], left : left + cut.shape[1]]).all()
    x, y, w, h = box
    if x >= 0 and y >= 0 and x + w <= width and y + h <= height:
        assert left <= x + 1 and left + cut.shape[1] >= x + w - 1
        assert top <= y + 1 and top + cut.shape[0] >= y + h - 1


def test_a_sheet_has_room_for_every_picture_title_and_keypoint():
    pictures = [GREY, GREY[:, :200], GREY[:100]]
    without = contact_sheet(pictures, ["a", "b", "a title " * 20], 2)
    sheet = contact_sheet(pictures, ["a", "b", "a title " * 20], 2, [CAT])
    assert (sheet[: len(without)] == without).all() and len(sheet) > len(without)
    assert (sheet == 128).all(2).sum() > 0.9 * sum(p.size / 3 * (360 / max(p.shape)) ** 2 for p in pictures)


def test_a_sheet_needs_a_title_for_every_picture():
    with pytest.raises(ValueError, match="1 pictures and 0 titles"):
        contact_sheet([GREY], [], 2)
