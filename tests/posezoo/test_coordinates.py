"""Shares of the crop, their codes, and the losses on them."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from posezoo.blocks.coordinates import (
    distance,
    grid_code,
    inverse_sigmoid,
    moved,
    offset_head,
    over_keypoints,
    sine_code,
    to_pixels,
    to_shares,
)
from posezoo.blocks.pooling import mean_over_shots


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_shares_come_back_from_pixels_and_from_before_the_sigmoid(x: float, y: float) -> None:
    point = torch.tensor([x, y])
    torch.testing.assert_close(to_shares(to_pixels(point, (48, 64)), (48, 64)), point)
    torch.testing.assert_close(inverse_sigmoid(point).sigmoid(), point)


def test_points_on_the_border_and_beyond_stay_finite() -> None:
    assert inverse_sigmoid(torch.tensor([-1.0, 0.0, 1.0, 2.0])).isfinite().all()


def test_a_new_offset_head_moves_nothing() -> None:
    points, tokens = torch.rand(2, 3, 2), torch.rand(2, 3, 8)
    torch.testing.assert_close(moved(points, offset_head(8)(tokens)), points.clamp(1e-3, 1 - 1e-3))


def test_a_code_has_y_before_x_and_sine_before_cosine() -> None:
    code = sine_code(torch.tensor([0.25, 0.5]), 4)
    torch.testing.assert_close(code[[0, 1, 4, 5]], torch.tensor([0.0, -1.0, 1.0, 0.0]), atol=1e-6, rtol=0)


def test_the_code_of_a_grid_is_that_of_its_cells_row_by_row() -> None:
    code = grid_code(2, 3, 4)
    torch.testing.assert_close(code[4], sine_code(torch.tensor([2 / 3, 1.0]), 4), atol=1e-4, rtol=0)


def test_the_loss_is_a_mean_within_each_sample_first() -> None:
    points = torch.zeros(1, 3, 4, 2)
    target = torch.tensor([1.0, 2.0, 3.0])[:, None, None].expand(3, 4, 2)
    weight = torch.tensor([[1.0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(distance(points, target, weight), torch.tensor([(2.0 + 4.0 + 0.0) / 3]))
    torch.testing.assert_close(over_keypoints(weight, weight), torch.tensor(2 / 3))


def test_a_keypoint_that_one_support_hides_has_no_looks() -> None:
    features, heatmaps = torch.rand(4, 5, 4, 4), torch.rand(2, 2, 3, 8, 8)
    weight = torch.ones(2, 2, 3)
    weight[1, 0, 2] = 0
    tokens, mask = mean_over_shots(features, heatmaps, weight)
    assert torch.equal(mask, torch.tensor([[1.0, 1, 1], [1, 1, 0]]))
    assert not tokens[1, 2].any() and tokens[0].all()
    turned, _ = mean_over_shots(features.unflatten(0, (2, 2)).flip(1), heatmaps.flip(1), weight.flip(1))
    torch.testing.assert_close(turned, tokens)
