"""Crops, targets and decoding against numbers of the published implementations; see README.md of the reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import torch

from posebed.data.codecs import HeatmapCodec, Kind
from posebed.data.crop import apply_affine, centre_and_extent, crop_affine, invert_affine
from posebed.pose import Keypoints

EMPTY = 2
"""The keypoint whose map is all zero in every case of ``codecs``; the reference decodes it to NaN for udp."""


@dataclass(frozen=True)
class Reference:
    spec: Mapping[str, Any]
    outputs: Mapping[str, np.ndarray]
    tolerance: Mapping[str, tuple[float, float]]

    @classmethod
    def read(cls, folder: Path) -> Reference:
        outputs = dict(np.load(folder / "outputs.npz", allow_pickle=False))
        tolerance = json.loads((folder / "tolerance.json").read_text())["outputs.npz"]
        return cls(json.loads((folder / "spec.json").read_text()), outputs, tolerance)

    def drawn(self, case: str) -> dict[str, np.ndarray]:
        """Every draw of a case, by its name within the case."""
        drawn: dict[str, np.ndarray] = {}
        for name, kind, shape, *bounds in self.spec["cases"][case]["draws"]:
            rng = np.random.Generator(np.random.PCG64(crc32(f"input:{name}".encode())))
            if kind == "normal":
                values = rng.standard_normal(shape)
            else:
                values = bounds[0] + (bounds[1] - bounds[0]) * rng.random(shape)
            drawn[name.removeprefix(f"{case}/")] = values.astype(np.float32)
        return drawn

    def check(self, key: str, ours: Any, where: Any = ...) -> None:
        deviation, scale = self.tolerance[key]
        allowed = max(1e-4 * scale, 10 * deviation)
        np.testing.assert_allclose(
            np.asarray(ours, np.float64)[where], self.outputs[key][where], rtol=0, atol=allowed, err_msg=key
        )


@pytest.fixture
def codecs(parity: Callable[[str], Path]) -> Reference:
    return Reference.read(parity("codecs"))


def codec_of(settings: Mapping[str, Any], kind: Kind) -> HeatmapCodec:
    width, height = settings["input_size"]
    w, h = settings["heatmap_size"]
    return HeatmapCodec((height, width), (h, w), settings["sigma"], kind)


@pytest.mark.parametrize(("kind", "name"), [("msra", "msra"), ("dark", "msra_unbiased"), ("udp", "udp")])
@pytest.mark.parametrize("case", ["p0", "p1", "p2"])
def test_targets_and_weights_are_the_references(codecs: Reference, case: str, kind: Kind, name: str) -> None:
    truth = (torch.from_numpy(codecs.outputs[f"{case}/{key}"]) for key in ("keypoints", "visible"))
    heatmaps, weights = codec_of(codecs.spec["cases"][case], kind).encode(Keypoints(*truth))
    codecs.check(f"{case}/{name}.weights", weights)
    key = f"{case}/{name}.heatmaps"
    if key in codecs.outputs:
        codecs.check(key, heatmaps[0])
    else:
        step = codecs.spec["cases"][case]["summaries"][key]["step"]
        codecs.check(f"{key}#slice", heatmaps.flatten()[::step])
        codecs.check(f"{key}#stat", [heatmaps.double().mean(), heatmaps.double().std(correction=0)])


@pytest.mark.parametrize("kind", ["msra", "dark", "udp"])
@pytest.mark.parametrize("case", ["p0", "p1", "p2"])
def test_decoded_points_are_the_references(codecs: Reference, case: str, kind: Kind) -> None:
    codec = codec_of(codecs.spec["cases"][case], kind)
    h, w = codec.heatmap_size
    drawn = codecs.drawn(case)
    cx, cy = drawn["cx"].copy(), drawn["cy"].copy()
    cx[:2], cy[:2] = (0, w - 1), (0, h - 1)
    maps = peaks(cx, cy, codec.heatmap_size, codec.sigma) * drawn["a"][:, None, None] + 0.02 * drawn["z"]
    maps[EMPTY] = 0
    points = codec.decode(torch.from_numpy(maps.astype(np.float32))[None])
    xy = points.xy.numpy()
    assert np.isfinite(xy).all()
    if kind == "udp":
        # The reference encodes in pixels of the crop, but decodes to shares of its side, times the side.
        span = np.array([codec.size[1], codec.size[0]])
        xy = xy * span / (span - 1)
    present = [k for k in range(xy.shape[1]) if k != EMPTY]
    codecs.check(f"{case}/dec_{kind}", xy, np.s_[:, present])
    codecs.check(f"{case}/dec_{kind}_scores", points.weight)


@pytest.mark.parametrize("case", ["l0", "l1"])
@pytest.mark.parametrize(("kind", "mode"), [("msra", "default"), ("dark", "unbiased"), ("udp", "udp")])
def test_points_in_the_image_are_those_of_the_older_reference(
    parity: Callable[[str], Path], case: str, kind: Kind, mode: str
) -> None:
    legacy = Reference.read(parity("codecs_legacy"))
    drawn = legacy.drawn(case)
    peak = peaks(drawn["cx"], drawn["cy"], (64, 48), 2)
    maps = 0.02 * drawn["z"] + drawn["a"][..., None, None] * peak
    codec = HeatmapCodec((256, 192), (64, 48), 2.0, kind)
    points = codec.decode(torch.from_numpy(maps.astype(np.float32)))
    # 0.x measures the crop by its heatmap: the extent spans 48 x 64 cells, or 47 x 63 between centres for udp.
    cells = points.xy.double().numpy() / ([191 / 47, 255 / 63] if kind == "udp" else 4)
    span = np.array([48, 64]) - (kind == "udp")
    extent = 200.0 * drawn["s"][:, None]
    image = drawn["c"][:, None] + (cells / span - 0.5) * extent
    # Near the border 0.x shifts by a quarter under other conditions, and blurs for udp as if mirrored there.
    legacy.check(f"{case}/decode_{mode}", image, peaks_inside(maps, 6 if kind == "udp" else 2))
    legacy.check(f"{case}/scores_{mode}", points.weight[..., None])


def peaks(cx: np.ndarray, cy: np.ndarray, heatmap_size: tuple[int, int], sigma: float) -> np.ndarray:
    y, x = np.mgrid[: heatmap_size[0], : heatmap_size[1]]
    return np.exp(-((x - cx[..., None, None]) ** 2 + (y - cy[..., None, None]) ** 2) / (2 * sigma**2))


def peaks_inside(maps: np.ndarray, cells: int) -> np.ndarray:
    """Which maps have their largest value so many cells from the border."""
    height, width = maps.shape[-2:]
    y, x = np.divmod(maps.reshape(*maps.shape[:-2], -1).argmax(-1), width)
    return (x >= cells) & (x < width - cells) & (y >= cells) & (y < height - cells)


@pytest.mark.parametrize("case", ["a0", "a1"])
def test_crops_are_the_references(parity: Callable[[str], Path], case: str) -> None:
    reference = Reference.read(parity("warps_flip"))
    box, angle = reference.outputs[f"{case}/bbox_xywh"], reference.outputs[f"{case}/rotation_deg"]
    sizes = [(int(h), int(w)) for w, h in reference.outputs[f"{case}/output_sizes_wh"]]
    frames = [centre_and_extent(b, sizes[i % 4]) for i, b in enumerate(box)]
    plain = np.stack([crop_affine(*f, sizes[i % 4], angle[i]) for i, f in enumerate(frames)])
    udp = np.stack([crop_affine(*f, sizes[i % 4], -angle[i], "udp") for i, f in enumerate(frames)])
    reference.check(f"{case}/scale_fixed_aspect", np.stack([extent for _, extent in frames]))
    reference.check(f"{case}/warp", plain)
    reference.check(f"{case}/warp_inverse", invert_affine(plain))
    reference.check(f"{case}/warp_udp", udp)  # whose angles turn the other way


@pytest.mark.parametrize("case", ["l0", "l1"])
def test_crops_are_those_of_the_older_reference(parity: Callable[[str], Path], case: str) -> None:
    legacy = Reference.read(parity("codecs_legacy"))
    drawn = legacy.drawn(case)
    ours = []
    for i, angle in enumerate([0, *drawn["r"][1:]]):
        size = (256, 256) if i < 3 else (256, 192)
        width = 200.0 * drawn["s"][i % 2, 0]
        ours.append(crop_affine(drawn["c"][i % 2], width * np.array([1, size[0] / size[1]]), size, angle))
    legacy.check(f"{case}/affine", ours)
    legacy.check(f"{case}/affine_inverse", invert_affine(np.stack(ours)))
    corners = np.array([[0.0, 0.0], [300, 200]])
    there = apply_affine(np.stack(ours), corners)
    np.testing.assert_allclose(
        apply_affine(legacy.outputs[f"{case}/affine_inverse"], there), np.tile(corners, (6, 1, 1)), atol=0.05
    )
