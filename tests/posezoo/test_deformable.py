"""Deformable attention against a loop that says the same point by point."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from posezoo.blocks.deformable import DeformableAttention, attend, compass, locations

SIZES = ((4, 4), (5, 8), (9, 7))


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def bilinear(value: Tensor, x: float, y: float) -> Tensor:
    """(c, h, w) read at a share of it, 0 beyond the border."""
    height, width = value.shape[1:]
    x, y = x * width - 0.5, y * height - 0.5
    total = torch.zeros(len(value), dtype=value.dtype)
    for i in range(height):
        for j in range(width):
            total += max(0, 1 - abs(x - j)) * max(0, 1 - abs(y - i)) * value[:, i, j]
    return total


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("per_head", [False, True])
def test_the_attention_equals_a_loop_over_heads_levels_and_points(levels: int, per_head: bool) -> None:
    batch, queries, heads, points, width = 2, 3, 2, 2, 4
    torch.manual_seed(0)
    attention = DeformableAttention(width, heads, levels, points).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    maps = [drawn(1, batch, width, *size) for size in SIZES[:levels]]
    query, factor = drawn(2, batch, queries, width), drawn(3, batch, queries)
    references = drawn(4, batch, queries, *([heads] if per_head else []), 2)

    offsets = attention.sampling_offsets(query).view(batch, queries, heads, levels, points, 2)
    weights = attention.attention_weights(query).view(batch, queries, heads, -1).softmax(3).view(offsets.shape[:-1])
    expected = torch.zeros(batch, queries, heads, width // heads, dtype=torch.float64)
    for b, q, m, level, p in torch.cartesian_prod(*map(torch.arange, offsets.shape[:-1])).tolist():
        projected = functional.linear(
            maps[level][b].permute(1, 2, 0), attention.value_proj.weight, attention.value_proj.bias
        ).permute(2, 0, 1)
        head = projected.view(heads, -1, *SIZES[level])[m]
        reference = references[b, q, m] if per_head else references[b, q]
        x, y = (reference + factor[b, q] * offsets[b, q, m, level, p] / torch.tensor(SIZES[level][::-1])).tolist()
        expected[b, q, m] += weights[b, q, m, level, p] * bilinear(head, x, y)

    actual = attention(query, references, maps, factor[..., None, None, None, None])
    torch.testing.assert_close(actual, attention.output_proj(expected.flatten(2)))


def test_gradients_are_those_of_the_function() -> None:
    values = [drawn(i, 1, 2, 2, *size).requires_grad_() for i, size in enumerate(SIZES[:2])]
    references = (0.2 + 0.6 * drawn(5, 1, 2, 2)).requires_grad_()
    offsets = drawn(6, 1, 2, 2, 2, 3, 2).requires_grad_()
    weights = drawn(7, 1, 2, 2, 2, 3).requires_grad_()

    def run(references: Tensor, offsets: Tensor, weights: Tensor, *values: Tensor) -> Tensor:
        return attend(values, locations(references, offsets, values), weights)

    assert torch.autograd.gradcheck(run, (references, offsets, weights, *values))


def test_places_beyond_the_map_give_nothing() -> None:
    places = torch.tensor([[-0.5, 0.5], [0.5, 1.5]]).view(1, 2, 1, 1, 1, 2)
    assert not attend([torch.ones(1, 1, 3, 4, 4)], places, torch.ones(1, 2, 1, 1, 1)).any()


def test_at_first_every_head_looks_in_its_own_direction_and_further_with_each_point() -> None:
    steps = compass(8, 2, 4)
    assert steps.shape == (8, 2, 4, 2)
    torch.testing.assert_close(steps[1, 1, 2], torch.tensor([3.0, 3.0]))
    torch.testing.assert_close(steps[4, 0, 0], torch.tensor([-1.0, 0.0]))


def test_half_precision_keeps_places_exact() -> None:
    torch.manual_seed(0)
    attention = DeformableAttention(16, 4, 1, 2)
    maps, query, references = [torch.rand(2, 16, 8, 8)], torch.rand(2, 3, 16), torch.rand(2, 3, 2)
    with torch.autocast("cpu", torch.bfloat16):
        actual = attention(query, references, maps)
    torch.testing.assert_close(actual.float(), attention(query, references, maps), rtol=0.03, atol=0.03)


def test_the_width_is_shared_out_among_the_heads() -> None:
    with pytest.raises(ValueError, match="multiple of heads, but is 10 with 4"):
        DeformableAttention(10, 4)
