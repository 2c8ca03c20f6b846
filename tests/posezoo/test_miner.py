"""Few places read from many cells, and attention around a keypoint's neighbours: against plainer ways to say it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from posezoo.blocks.deformable import DeformableAttention
from posezoo.blocks.miner import StructureAttention
from posezoo.blocks.pyramid import Pyramid
from posezoo.blocks.sampling import bordered_rows, mean_of_maps, read

SIZES = ((2, 3), (4, 6), (8, 12))


def maps(samples: int, width: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(samples, width, *size, generator=draw, dtype=torch.float64) for size in SIZES]


def places(*shape: int) -> Tensor:
    """Some of them outside, some on the border, some on the centre of a cell."""
    drawn = 1.6 * torch.rand(*shape, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.3
    flat = drawn.view(-1, 2)
    flat[0], flat[1], flat[2], flat[3] = 0.0, 1.0, 0.25, 30.0
    return drawn


def test_places_are_read_as_grid_sample_reads_them() -> None:
    groups, samples, queries, points, width = 2, 3, 4, 2, 5
    levels, where = maps(samples, width), places(2, samples, queries, len(SIZES), points)
    weights = torch.rand(where.shape[:-1], dtype=torch.float64)
    total, within = read(bordered_rows(levels), SIZES, where, weights)
    assert total.shape == (groups, samples, queries, width)
    for group in range(groups):
        expected = torch.zeros(samples, width + 1, queries, dtype=torch.float64)
        for n, level in enumerate(levels):
            # A further channel of ones tells how much of a place lies on the map.
            ones = functional.pad(level, (0, 0, 0, 0, 0, 1), value=1.0)
            seen = functional.grid_sample(ones, 2 * where[group, :, :, n] - 1, align_corners=False)
            expected += (seen * weights[group, :, None, :, n]).sum(3)
        torch.testing.assert_close(total[group], expected[:, :-1].transpose(1, 2))
        torch.testing.assert_close(within[group], expected[:, -1])


def test_gradients_are_those_of_the_function() -> None:
    # Places between the cells, for on them the slope has a step.
    where = (0.11 + 0.13 * torch.arange(12, dtype=torch.float64)).view(1, 1, 2, 3, 1, 2).requires_grad_()
    weights = torch.rand(where.shape[:-1], dtype=torch.float64, requires_grad=True)
    cells = bordered_rows(maps(1, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda c, p, w: read(c, SIZES, p, w), (cells, where, weights))


def test_what_no_place_is_near_does_not_matter() -> None:
    levels, corner = maps(1, 2), torch.full((1, 1, 2), 0.1, dtype=torch.float64)
    before = mean_of_maps(bordered_rows(levels), SIZES, corner)
    for level in levels:
        level[..., -1, -1] = 100.0
    torch.testing.assert_close(mean_of_maps(bordered_rows(levels), SIZES, corner), before)


@pytest.mark.parametrize("references", [1, 3])
def test_each_reference_has_a_deformable_attention_of_its_own(references: int) -> None:
    width, heads, points, samples, queries = 8, 2, 2, 2, 5
    torch.manual_seed(0)
    attention = StructureAttention(width, heads, SIZES, points, references).double()
    single = [DeformableAttention(width, heads, len(SIZES), points).double() for _ in range(references)]
    for module in (attention, *single):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
    own = dict(attention.named_parameters())
    for name in dict(single[0].named_parameters()):
        joined = torch.cat([one.get_parameter(name).detach() for one in single])
        own[name].data.copy_(joined.view_as(own[name]))
    query = torch.randn(samples, queries, width, dtype=torch.float64)
    where, levels = places(samples, queries, references), maps(samples, width)

    seen = [one(query, where[:, :, m], levels) for m, one in enumerate(single)]
    expected = seen[0]
    if attention.projector:
        expected = expected + attention.projector(torch.cat(seen[1:], 2)).relu()
    torch.testing.assert_close(attention(query, where, bordered_rows(levels)), expected)


def test_a_width_that_heads_do_not_share_is_refused() -> None:
    with pytest.raises(ValueError, match="width must be a multiple of heads, but is 10 with 4 heads"):
        StructureAttention(10, 4, SIZES, 4, 1)


def test_coarse_maps_reach_every_finer_one_and_not_the_other_way() -> None:
    pyramid, levels = Pyramid((3, 3, 3), 4), [level.float() for level in maps(1, 3)]
    before = pyramid(levels)
    assert [tuple(level.shape) for level in before] == [(1, 4, *size) for size in SIZES]
    middle = [levels[0], levels[1] + 1, levels[2]]
    unchanged = [torch.equal(a, b) for a, b in zip(before, pyramid(middle), strict=True)]
    assert unchanged == [True, False, False]


def test_samples_that_share_cells_see_what_each_would_see_alone() -> None:
    samples, keypoints, references, width = 5, 3, 4, 8
    torch.manual_seed(0)
    attention = StructureAttention(width, heads=2, sizes=SIZES, points=2, references=references).double()
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    cells, of = bordered_rows(maps(2, width)), torch.tensor([0, 1, 0, 0, 1])
    query, around = torch.randn(samples, keypoints, width).double(), places(samples, keypoints, references)
    alone = attention(query, around, cells[of])
    torch.testing.assert_close(attention(query, around, cells, of), alone)  # many for a row: cells are projected
    few = slice(2)
    torch.testing.assert_close(attention(query[few], around[few], cells, of[few]), alone[few])
