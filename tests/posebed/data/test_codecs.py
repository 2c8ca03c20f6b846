"""Keypoints to heatmaps and back, within a stated part of a heatmap cell."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from posebed.data.codecs import HeatmapCodec, Kind
from posebed.pose import Keypoints

KINDS: list[Kind] = ["msra", "dark", "aligned", "udp"]
sizes = st.sampled_from([(256, 256), (256, 192), (384, 288)])
share = st.floats(0.2, 0.8)


def codec(kind: Kind, size: tuple[int, int] = (256, 192), sigma: float = 2.0) -> HeatmapCodec:
    return HeatmapCodec(size, (size[0] // 4, size[1] // 4), sigma, kind)


def at(*xy: tuple[float, float], weight: float = 1.0) -> Keypoints:
    return Keypoints(torch.tensor([xy]), torch.full((1, len(xy)), weight))


def returned(codec: HeatmapCodec, xy: tuple[float, float]) -> float:
    """Largest error along an axis, in heatmap cells, of a point sent there and back."""
    there, _ = codec.encode(at(xy))
    back = codec.decode(there)
    stride = codec.size[0] / codec.heatmap_size[0]
    return float((back.xy[0, 0] - torch.tensor(xy)).abs().max()) / stride


@given(sizes, share, share)
def test_msra_returns_points_within_half_a_cell(size: tuple[int, int], x: float, y: float) -> None:
    """A rounded peak is symmetric, so that the quarter shift cannot help: half a cell is what rounding costs."""
    assert returned(codec("msra", size), (x * size[1], y * size[0])) <= 0.5 + 1e-4


@given(sizes, share, share)
def test_msra_decodes_a_continuous_peak_within_a_quarter_cell(size: tuple[int, int], x: float, y: float) -> None:
    """Where the map tells more than its arg-max, as that of a model does, the shift halves the error."""
    xy = (x * size[1], y * size[0])
    continuous, _ = codec("dark", size).encode(at(xy))
    error = (codec("msra", size).decode(continuous).xy[0, 0] - torch.tensor(xy)).abs().max() / 4
    assert error <= 0.25 + 1e-4


@pytest.mark.parametrize("kind", ["dark", "aligned", "udp"])
@given(size=sizes, x=share, y=share)
def test_continuous_peaks_return_points_within_a_hundredth_of_a_cell(
    kind: Kind, size: tuple[int, int], x: float, y: float
) -> None:
    assert returned(codec(kind, size), (x * size[1], y * size[0])) < 0.01


@pytest.mark.parametrize(("kind", "cells"), [("msra", 0.75), ("dark", 0.75), ("aligned", 0.75), ("udp", 1.1)])
@given(x=st.floats(0, 191), y=st.floats(0, 255))
def test_points_at_the_border_come_back_within_about_a_cell(kind: Kind, cells: float, x: float, y: float) -> None:
    """The last pixels lie 0.75 beyond the last cell's centre; udp refines there too, on a map that the blur darkens."""
    assert returned(codec(kind), (x, y)) <= cells + 1e-3


def test_udp_puts_the_last_pixel_on_the_last_cell() -> None:
    heatmaps, _ = codec("udp").encode(at((191.0, 255.0)))
    assert heatmaps[0, 0, 63, 47] == 1


def test_aligned_cells_have_one_side_and_the_crop_s_middle() -> None:
    """The width's last pixel falls on its last cell; the height, measured alike, is laid middle on middle."""
    last, middle = codec("aligned").encode(at((191.0, 127.5), (95.5, 127.5)))[0][0]
    assert last[31].argmax() == last[32].argmax() == 47
    torch.testing.assert_close(middle, middle.flip(0))
    torch.testing.assert_close(middle, middle.flip(1))


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_what_its_samples_are_alone(kind: Kind) -> None:
    xy = torch.rand(5, 7, 2, generator=torch.Generator().manual_seed(0)) * 300 - 50
    weight = (torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) > 0.3).float()
    heatmaps, weights = codec(kind).encode(Keypoints(xy, weight))
    points = codec(kind).decode(heatmaps)
    for one in range(5):
        alone, alone_weight = codec(kind).encode(Keypoints(xy[one : one + 1], weight[one : one + 1]))
        torch.testing.assert_close(heatmaps[one], alone[0])
        torch.testing.assert_close(weights[one], alone_weight[0])
        torch.testing.assert_close(points.xy[one], codec(kind).decode(alone).xy[0])


@pytest.mark.parametrize("kind", KINDS)
def test_unlabelled_keypoints_have_empty_maps_and_no_weight(kind: Kind) -> None:
    heatmaps, weight = codec(kind).encode(at((50.0, 60.0), weight=0.0))
    assert not heatmaps.any()
    assert not weight.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("xy", [(-60.0, 50.0), (250.0, 50.0), (50.0, -60.0), (50.0, 320.0)])
def test_points_further_out_than_three_sigma_have_no_weight(kind: Kind, xy: tuple[float, float]) -> None:
    heatmaps, weight = codec(kind).encode(at(xy, (50.0, 50.0)))
    assert weight.tolist() == [[0, 1]]
    assert not heatmaps[0, 0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_just_outside_still_teaches_the_border(kind: Kind) -> None:
    heatmaps, weight = codec(kind).encode(at((-8.0, 50.0)))
    assert weight.item() == 1
    assert heatmaps.max() > 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-30])
def test_flat_maps_decode_to_finite_points(kind: Kind, value: float) -> None:
    points = codec(kind).decode(torch.full((2, 3, 64, 48), value))
    assert points.xy.isfinite().all()
    assert (points.weight == value).all()


@pytest.mark.parametrize("kind", KINDS)
@given(seed=st.integers(0, 2**32))
def test_noise_decodes_to_points_near_its_largest_cell(kind: Kind, seed: int) -> None:
    maps = torch.randn(1, 4, 16, 12, generator=torch.Generator().manual_seed(seed))
    xy = HeatmapCodec((64, 48), (16, 12), 2.0, kind).decode(maps).xy
    index = maps.flatten(2).argmax(2)
    peak = torch.stack([index % 12, index // 12], -1) * 4
    assert ((xy - peak).abs() <= 5 * 4.5 + 4).all()


@pytest.mark.parametrize("kind", KINDS)
def test_heatmaps_of_half_precision_decode_in_full(kind: Kind) -> None:
    heatmaps, _ = codec(kind).encode(at((77.0, 123.0)))
    points = codec(kind).decode(heatmaps.bfloat16())
    assert points.xy.dtype == torch.float32
    torch.testing.assert_close(points.xy, torch.tensor([[[77.0, 123.0]]]), atol=2.1, rtol=0)
