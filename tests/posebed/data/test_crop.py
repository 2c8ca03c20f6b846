"""Boxes to crops and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import Convention
from posebed.data.crop import (
    apply_affine,
    centre_and_extent,
    clip_box,
    compose,
    crop_affine,
    invert_affine,
    translation,
    warp,
)

coordinate = st.floats(-2000, 2000)
side = st.floats(2, 3000)
boxes = st.tuples(coordinate, coordinate, side, side)
sizes = st.tuples(st.integers(8, 512), st.integers(8, 512))
points = st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=8).map(np.array)
angles = st.floats(-180, 180)
conventions = st.sampled_from(["plain", "udp", "aligned"])


@given(boxes, sizes, angles, conventions, points)
def test_points_come_back_from_the_crop_where_they_were(
    box: tuple[float, ...], size: tuple[int, int], angle: float, convention: Convention, xy: np.ndarray
) -> None:
    affine = crop_affine(*centre_and_extent(box, size), size, angle, convention)
    back = apply_affine(invert_affine(affine), apply_affine(affine, xy))
    np.testing.assert_allclose(back, xy, atol=1e-6)


@given(boxes, sizes, st.floats(1, 2))
def test_a_frame_has_the_crops_aspect_ratio_and_holds_the_padded_box(
    box: tuple[float, ...], size: tuple[int, int], padding: float
) -> None:
    centre, extent = centre_and_extent(box, size, padding)
    assert extent[0] / extent[1] == pytest.approx(size[1] / size[0])
    assert (extent >= padding * np.array(box[2:]) - 1e-9).all()
    np.testing.assert_allclose(centre, np.array(box[:2]) + np.array(box[2:]) / 2)


@given(boxes, sizes, angles)
def test_the_frames_centre_lands_in_the_middle_of_the_crop(
    box: tuple[float, ...], size: tuple[int, int], angle: float
) -> None:
    centre, extent = centre_and_extent(box, size)
    middle = np.array([size[1], size[0]])
    plain = crop_affine(centre, extent, size, angle)
    np.testing.assert_allclose(apply_affine(plain, centre[None])[0], middle / 2, atol=1e-6)
    for convention in ("udp", "aligned"):
        affine = crop_affine(centre, extent, size, angle, convention)
        np.testing.assert_allclose(apply_affine(affine, centre[None])[0], (middle - 1) / 2, atol=1e-6)


def test_aligned_boxes_and_crops_span_from_their_first_pixel_to_their_last() -> None:
    affine = crop_affine(np.array([50.0, 40.0]), np.array([61.0, 81.0]), (128, 96), convention="aligned")
    across = apply_affine(affine, np.array([[20.0, 40.0], [80.0, 40.0]]))
    np.testing.assert_allclose(across, [[0, 63.5], [95, 63.5]], atol=1e-9)
    assert affine[0, 0] == affine[1, 1]


@given(boxes, sizes, angles, points)
def test_composing_is_applying_one_after_the_other(
    box: tuple[float, ...], size: tuple[int, int], angle: float, xy: np.ndarray
) -> None:
    inner, outer = crop_affine(*centre_and_extent(box, size), size, angle), translation(3.5, -2)
    both = apply_affine(compose(outer, inner), xy)
    np.testing.assert_allclose(both, apply_affine(outer, apply_affine(inner, xy)), atol=1e-6)


def test_many_boxes_at_once_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(0)
    box, angle = rng.uniform(10, 200, (5, 4)), rng.uniform(-90, 90, 5)
    together = crop_affine(*centre_and_extent(box, (64, 48)), (64, 48), angle)
    alone = [crop_affine(*centre_and_extent(b, (64, 48)), (64, 48), a) for b, a in zip(box, angle, strict=True)]
    np.testing.assert_allclose(together, alone)


@given(boxes, st.integers(1, 1000), st.integers(1, 1000))
def test_a_clipped_box_stays_in_the_image(box: tuple[float, ...], width: int, height: int) -> None:
    x, y, w, h = clip_box(box, width, height)
    assert 0 <= x <= x + w <= width
    assert 0 <= y <= y + h <= height
    assert w <= box[2] + 1e-9
    assert h <= box[3] + 1e-9


def test_a_box_within_the_image_is_not_clipped() -> None:
    np.testing.assert_allclose(clip_box((3, 4, 10, 20), 50, 60), (3, 4, 10, 20))


@pytest.mark.parametrize("angle", [0, 30, -75])
def test_pixels_land_where_the_affine_sends_their_centres(angle: float) -> None:
    image = np.zeros((80, 100, 3), np.uint8)
    image[30:33, 40:43] = 255
    affine = crop_affine(*centre_and_extent((20, 10, 60, 50), (96, 96)), (96, 96), angle)
    crop = warp(image, affine, (96, 96))[..., 0].astype(float)
    y, x = np.mgrid[:96, :96]
    actual = np.array([(crop * x).sum(), (crop * y).sum()]) / crop.sum()
    np.testing.assert_allclose(actual, apply_affine(affine, np.array([[41.0, 31.0]]))[0], atol=0.1)


def test_a_positive_angle_turns_the_picture_counter_clockwise() -> None:
    affine = crop_affine(np.array([50.0, 50.0]), np.array([64.0, 64.0]), (64, 64), 90)
    right_of_centre = apply_affine(affine, np.array([[60.0, 50.0]]))[0]
    np.testing.assert_allclose(right_of_centre, (32, 22), atol=1e-9)


def test_what_lies_outside_the_image_is_black() -> None:
    image = np.full((20, 20, 3), 200, np.uint8)
    crop = warp(image, translation(10, 5), (40, 40))
    assert (crop[5:25, 10:30] == 200).all()
    assert crop.sum() == 200 * 3 * 20 * 20
