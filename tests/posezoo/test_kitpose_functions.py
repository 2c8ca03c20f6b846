"""KITPose's small functions against the reference's numbers: losses, clusters, crops, targets, decoding, CutMix."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from parity_adapters.case import allowed, different, drawn
from posebed.contracts import Setting
from posebed.data.codecs import HeatmapCodec
from posebed.data.crop import apply_affine, crop_affine, invert_affine
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks.clustering import cosine_distance, k_medoids
from posezoo.blocks.cutmix import CutMix
from posezoo.blocks.heatmap import FlipTest
from posezoo.blocks.kit_losses import adaptive_loss, ghrl, smoothed

UNCOVERED = {"part_repulsion", "accuracy"}
"""A loss that the reference never trains with, and a number that it only logs."""
DESCRIPTIVE = {"shape", "cluster_stable_samples", "points_stable_samples", "lam", "box_and_perm"}
"""What belongs to the inputs."""


@dataclass
class Functions:
    folder: Path
    spec: Mapping[str, Any]
    stored: Mapping[str, np.ndarray]
    tolerance: Mapping[str, tuple[float, float]]
    checked: set[str] = field(default_factory=set[str])

    @classmethod
    def read(cls, folder: Path) -> Functions:
        spec = json.loads((folder / "functions.json").read_text())
        tolerance = json.loads((folder / "tolerance.json").read_text())["functions.npz"]
        return cls(folder, spec, dict(np.load(folder / "functions.npz")), tolerance)

    def cases(self, kind: str) -> Iterator[str]:
        return (name for name in sorted({key.split("/")[0] for key in self.stored}) if name.startswith(kind))

    def draw(self, name: str) -> Tensor:
        return drawn(next(d for d in self.spec["draws"] if d[0] == name))

    def check(self, key: str, value: Any) -> None:
        self.checked.add(key)
        value, stored = np.asarray(value, np.float64), self.stored[key]
        if "assignment" in key:
            # Rounding alone decides for samples marked by -1.
            value = np.where(stored < 0, stored, value)
        assert not different(key, value.reshape(stored.shape), stored, allowed(*self.tolerance[key]))


@pytest.fixture
def functions(parity: Callable[[str], Path]) -> Functions:
    return Functions.read(parity("kitpose"))


def test_every_number_of_kitpose_s_functions_is_met(functions: Functions) -> None:
    for case in functions.cases("k"):
        check_losses(functions, case)
        check_clusters(functions, case)
    for case in functions.cases("g"):
        check_geometry(functions, case)
    for case in functions.cases("x"):
        check_cutmix(functions, case)
    left = {key.split("/")[1] for key in set(functions.stored) - functions.checked}
    assert left - DESCRIPTIVE == UNCOVERED


def gaussians(xy: Tensor, height: int, width: int) -> Tensor:
    x, y = xy[..., None, None].unbind(-3)
    return torch.exp(-((torch.arange(width) - x) ** 2 + (torch.arange(height)[:, None] - y) ** 2) / 8)


def prediction(functions: Functions, case: str) -> tuple[Tensor, Tensor, Tensor, int]:
    """Prediction, target, weight, and number of clusters."""
    _, _, height, width, clusters = functions.stored[f"{case}/shape"].tolist()
    weight = (functions.draw(f"{case}/w") >= 0.25).float()
    target = gaussians(functions.draw(f"{case}/kp"), height, width) * weight[..., None, None]
    return 0.3 * functions.draw(f"{case}/pred") + 0.7 * target, target, weight, clusters


def check_losses(functions: Functions, case: str) -> None:
    maps, target, weight, _ = prediction(functions, case)
    maps.requires_grad_()
    losses = {f"adaptive_weight_beta{beta}": adaptive_loss(maps, target, weight, beta) for beta in (1, 2)}
    losses |= {f"ghrl_{side}x{side}": ghrl(maps, target, kernel=side) for side in (3, 5, 7)}
    losses["mse"] = adaptive_loss(maps, target, weight, 0) / 2
    for name, loss in losses.items():
        (slope,) = torch.autograd.grad(loss, maps, retain_graph=True)
        functions.check(f"{case}/{name}", loss.detach())
        functions.check(f"{case}/{name}.grad_slice", slope.flatten()[::97])
    functions.check(f"{case}/ghrl_smooth_target_slice", smoothed(target, 4.0).flatten()[::97])


def check_clusters(functions: Functions, case: str) -> None:
    maps, _, _, count = prediction(functions, case)
    group, _ = by_cosine(maps.flatten(2) * 1e-4, count)
    functions.check(f"{case}/cluster_assignment", group)
    points, centres = functions.draw(f"{case}/points"), functions.draw(f"{case}/centres")
    points = points + 3 * centres[:, torch.arange(points.shape[1]) % count]
    group, medoids = by_cosine(points * 1e-3, count)
    functions.check(f"{case}/points_assignment", group)
    certain = functions.stored[f"{case}/points_stable_samples"]
    stored = functions.stored[f"{case}/points_medoids"]
    functions.check(f"{case}/points_medoids", np.where(certain[:, None], medoids, stored))
    group, medoids = k_medoids(torch.cdist(points, points), points.norm(dim=2).argmax(1), count)
    functions.check(f"{case}/points_assignment_euclid", group)
    functions.check(f"{case}/points_medoids_euclid", medoids)


def by_cosine(points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    directions = functional.normalize(points, dim=2)
    return k_medoids(cosine_distance(directions), points.norm(dim=2).argmax(1), count)


def check_geometry(functions: Functions, case: str) -> None:
    codec = HeatmapCodec((256, 192), (64, 48), 2.0, "aligned")
    centre = functions.draw(f"{case}/c").double().numpy()
    extent = 200.0 * functions.draw(f"{case}/s").double().numpy()
    check_affines(functions, case, centre, extent)
    at = torch.stack([functions.draw(f"{case}/{name}") for name in ("cx", "cy")], -1)
    maps = 0.02 * functions.draw(f"{case}/z") + functions.draw(f"{case}/a")[..., None, None] * gaussians(at, 64, 48)
    points = codec.decode(maps)
    crops = crop_affine(centre, extent, codec.size, convention="aligned")
    functions.check(f"{case}/decode_dark", apply_affine(invert_affine(crops), points.xy.double().numpy()))
    functions.check(f"{case}/decode_scores", points.weight)
    stride, corner = 191 / 47, np.array([0, 127.5 - 31.5 * 191 / 47])
    functions.check(f"{case}/decode_dark_heatmap_units", (points.xy.double().numpy() - corner) / stride)
    functions.check(f"{case}/flip_back_slice", flipped_back(maps).flatten()[::37])
    cells = functions.draw(f"{case}/j").double().numpy()
    seen = (functions.draw(f"{case}/jv") >= 0.2).float()
    truth = Keypoints(torch.from_numpy(cells * stride + corner)[None].float(), seen[None])
    target, weight = codec.encode(truth)
    functions.check(f"{case}/target#slice", target.flatten()[::7])
    functions.check(f"{case}/target#stat", [target.double().mean(), target.double().std(correction=0)])
    functions.check(f"{case}/target_weight", weight)
    functions.check(f"{case}/target_max", target.flatten(2).amax(2))


def check_affines(functions: Functions, case: str, centre: np.ndarray, extent: np.ndarray) -> None:
    angles = functions.draw(f"{case}/r").double().numpy()
    angles[0] = 0
    for name, side in (("affine", 256), ("affine_to_heatmap", 64)):
        ours = [
            crop_affine(centre[i % 2], extent[i % 2], (side, side if i < 3 else 3 * side // 4), angle, "aligned")
            for i, angle in enumerate(angles)
        ]
        functions.check(f"{case}/{name}", ours)


def flipped_back(maps: Tensor) -> Tensor:
    """What the flip test makes of maps of a mirrored picture."""
    names = tuple("abcdefg")[: maps.shape[1]]
    setting = Setting((256, 192), len(names), (Category("c", "c", names, flip_pairs=((0, 1), (3, 5))),))
    nothing = torch.zeros(len(maps), dtype=torch.int64)
    batch = Batch(maps, Keypoints(maps, maps), nothing, nothing)
    return 2 * FlipTest("plain", setting)(lambda image: maps, batch) - maps


def check_cutmix(functions: Functions, case: str) -> None:
    top, left, bottom, right, *other = functions.stored[f"{case}/box_and_perm"].tolist()
    mix = CutMix(torch.tensor(other), torch.tensor([top, bottom]) // 4, torch.tensor([left, right]) // 4)
    functions.check(f"{case}/mix_image_slice", mix.mixed(functions.draw(f"{case}/im"), 4).flatten()[::37])
    target = gaussians(functions.draw(f"{case}/kp"), 16, 16)
    weight = (functions.draw(f"{case}/w")[..., 0] >= 0.2).float()
    mixed, both = mix.targets(target, weight, None)
    functions.check(f"{case}/mix_target", mixed)
    share = float(functions.stored[f"{case}/lam"])
    own, others = functions.stored[f"{case}/weight_a"], functions.stored[f"{case}/weight_b"]
    np.testing.assert_allclose(both, share * own + (1 - share) * others, atol=1e-6)
    functions.checked |= {f"{case}/weight_a", f"{case}/weight_b"}
