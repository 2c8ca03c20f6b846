"""Augmentation: what is drawn, what it does to keypoints, and that both ways of warping agree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posebed.config import AugmentConfig
from posebed.data.augment import (
    Augmentation,
    Bodies,
    augmentation,
    draw,
    recolour_cv2,
    recolour_torch,
    warp_cv2,
    warp_torch,
)
from posebed.data.crop import apply_affine, compose, crop_affine
from posebed.records import Category

SIZE = (64, 48)
STRONG = AugmentConfig(scale=0.5, rotation=40, shift=0.1, flip=0.5, half_body=0.5, half_body_keypoints=3, colour=0.3)
seeds = st.integers(0, 2**32)


def drawn(config: AugmentConfig, seed: int, n: int = 32, half: int = 0) -> tuple[Augmentation, np.ndarray, np.ndarray]:
    """Augmentation of n crops with eight keypoints, of which the first ``half`` are the upper body."""
    xy = np.random.default_rng(seed + 1).uniform(5, 43, (n, 8, 2))
    halves = np.tile(np.where(np.arange(8) < half, 1, -1) if half else np.zeros(8, int), (n, 1))
    return augmentation(config, draw(np.random.default_rng(seed), n), SIZE, xy, halves), xy, halves


def smooth(n: int, size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(3).integers(0, 256, (n, *size, 3), np.uint8)
    return np.stack([np.clip(6.0 * cv2.GaussianBlur(p, (0, 0), 3) - 640, 0, 255).astype(np.uint8) for p in noise])


def linear(affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Enlargement and angle in degrees of unmirrored affines."""
    return np.hypot(affine[:, 0, 0], affine[:, 0, 1]), np.rad2deg(np.arctan2(affine[:, 0, 1], affine[:, 0, 0]))


@given(seeds)
def test_nothing_changes_with_everything_switched_off(seed: int) -> None:
    off, _, _ = drawn(AugmentConfig(), seed, half=4)
    np.testing.assert_array_equal(off.affine, np.tile(np.eye(2, 3), (32, 1, 1)))
    assert not off.flipped.any()
    assert (off.gain == 1).all()
    assert not off.offset.any()


@given(seeds, st.floats(0.01, 0.9), st.floats(0.01, 180))
def test_scale_and_rotation_stay_within_their_bounds(seed: int, scale: float, rotation: float) -> None:
    change, _, _ = drawn(AugmentConfig(scale=scale, rotation=rotation, rotation_share=1), seed)
    enlarged, _ = linear(change.affine)
    assert (1 / enlarged >= 1 - scale - 1e-9).all()
    assert (1 / enlarged <= 1 + scale + 1e-9).all()
    if rotation < 90:
        assert (abs(linear(change.affine)[1]) <= 2 * rotation + 1e-9).all()


def test_the_stated_shares_of_crops_are_turned_flipped_and_reduced() -> None:
    config = AugmentConfig(rotation=40, rotation_share=0.6, flip=0.25, half_body=0.3)
    change, _, _ = drawn(config.model_copy(update={"half_body_keypoints": 7}), 0, n=4000, half=4)
    assert change.flipped.mean() == pytest.approx(0.25, abs=0.03)
    upright = change.affine[~change.flipped]
    enlarged, angle = linear(upright)
    assert (abs(angle) > 1e-9).mean() == pytest.approx(0.6, abs=0.03)
    assert (abs(enlarged - 1) > 1e-9).mean() == pytest.approx(0.3, abs=0.03)


@given(seeds, st.floats(0.01, 0.5))
def test_the_centre_moves_by_no_more_than_the_stated_share(seed: int, shift: float) -> None:
    change, _, _ = drawn(AugmentConfig(shift=shift), seed)
    moved = abs(change.affine[..., 2]) / [48, 64]
    assert (moved <= shift + 1e-9).all()
    assert moved.max() > 0.5 * shift


def test_the_stated_share_of_crops_is_shifted() -> None:
    change, _, _ = drawn(AugmentConfig(shift=0.15, shift_share=0.3), 0, n=4000)
    assert (abs(change.affine[..., 2]) > 1e-9).any(1).mean() == pytest.approx(0.3, abs=0.03)


@given(seeds)
def test_a_slice_of_the_draws_gives_that_slice_of_the_batch(seed: int) -> None:
    whole, xy, half = drawn(STRONG, seed, half=4)
    part = slice(8, 24)
    mine = augmentation(STRONG, draw(np.random.default_rng(seed), 32)[part], SIZE, xy[part], half[part])
    np.testing.assert_array_equal(mine.affine, whole.affine[part])
    np.testing.assert_array_equal(mine.gain, whole.gain[part])


@given(seeds)
def test_a_half_body_is_shown_around_its_keypoints(seed: int) -> None:
    change, xy, _ = drawn(AugmentConfig(half_body=1, half_body_keypoints=7), seed, half=4)
    seen = apply_affine(change.affine, xy)
    upper, lower = seen[:, :4], seen[:, 4:]
    middle = np.array([24, 32])
    off_centre = np.minimum(*(np.linalg.norm(part.mean(1) - middle, axis=1) for part in (upper, lower)))
    np.testing.assert_allclose(off_centre, 0, atol=1e-6)
    enlarged, _ = linear(change.affine)
    assert (enlarged <= 4 + 1e-9).all()


def test_few_labelled_keypoints_or_no_notion_of_halves_leave_the_body_whole() -> None:
    config = AugmentConfig(half_body=1, half_body_keypoints=8)
    for half in (0, 4):
        change, _, _ = drawn(config, 0, half=half)
        np.testing.assert_array_equal(change.affine, np.tile(np.eye(2, 3), (32, 1, 1)))


def test_bodies_pad_to_the_largest_category() -> None:
    one = Category("a", "a", ("l", "r", "n", "t"), flip_pairs=((0, 1),), upper_body=(0, 1))
    two = Category("b", "b", ("x", "y"))
    bodies = Bodies.of((one, two), 5)
    assert bodies.partner.tolist() == [[1, 0, 2, 3, 4], [0, 1, 2, 3, 4]]
    assert bodies.half.tolist() == [[1, 1, -1, -1, 0], [0, 0, 0, 0, 0]]


def test_flipping_twice_is_the_identity() -> None:
    change, _, _ = drawn(AugmentConfig(flip=1), 0)
    assert change.flipped.all()
    np.testing.assert_allclose(compose(change.affine, change.affine), np.tile(np.eye(2, 3), (32, 1, 1)), atol=1e-12)
    pictures = smooth(32, SIZE)
    once = warp_cv2(pictures, change.affine, SIZE)
    assert (once == pictures[:, :, ::-1]).all()
    assert (warp_cv2(once, change.affine, SIZE) == pictures).all()


def test_both_ways_of_warping_agree() -> None:
    crops = smooth(16, (96, 80))
    rng = np.random.default_rng(1)
    centre, extent = rng.uniform(20, 70, (16, 2)), rng.uniform(30, 120, (16, 1)) * [48 / 64, 1]
    affine = crop_affine(centre, extent, SIZE, rng.uniform(-180, 180, 16))
    affine[::2] = compose(np.array([[-1, 0, 47.0], [0, 1, 0]]), affine[::2])
    by_cv2 = torch.from_numpy(warp_cv2(crops, affine, SIZE)).permute(0, 3, 1, 2)
    by_torch = warp_torch(torch.from_numpy(crops), affine, SIZE)
    difference = (by_cv2 - by_torch).abs()
    assert difference.mean() < 0.5
    assert difference.max() < 255 / 32 + 1  # cv2 counts in 1/32 of a pixel, and the black outside is a steep edge


def test_both_ways_of_recolouring_agree() -> None:
    change, _, _ = drawn(AugmentConfig(colour=0.4), 5, n=8)
    pictures = smooth(8, SIZE)
    by_torch = recolour_torch(torch.from_numpy(pictures).permute(0, 3, 1, 2).float(), change.gain, change.offset)
    recolour_cv2(pictures, change.gain, change.offset)
    difference = by_torch.permute(0, 2, 3, 1).int() - torch.from_numpy(pictures).int()
    assert difference.abs().max() <= 1
    assert by_torch.dtype == torch.uint8


@given(seeds)
def test_grey_varies_by_no_more_than_brightness_and_channel_allow(seed: int) -> None:
    change, _, _ = drawn(AugmentConfig(colour=0.2), seed)
    grey = change.gain * 127.5 + change.offset
    assert (grey >= 0.8 * 0.8 * 127.5 - 1e-9).all()
    assert (grey <= 1.2 * 1.2 * 127.5 + 1e-9).all()
