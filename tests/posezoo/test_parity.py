"""Do our models compute what the published implementations compute? Numbers come from ``--parity DIR``.

A folder of reference numbers is joined to the zoo by an entry of ``ADAPTERS``: a function from a case to everything
that our model gives for it, by the reference's names. ``UNCOVERED`` says which numbers stay unchecked.
"""

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
from torch import Tensor, nn

from posebed import catalog
from posebed.contracts import Setting
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks.heatmap import HeatmapModel, heatmap_loss

Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Case:
    name: str
    spec: Mapping[str, Any]
    state: Mapping[str, Tensor]
    """The state dictionary, by the reference's names."""

    def draw(self, name: str) -> Tensor:
        """An input by the last part of its name."""
        full, kind, shape, *limits = next(d for d in self.spec["draws"] if d[0] == f"{self.name}/{name}")
        generator = _generator(f"input:{full}")
        if kind == "normal":
            return torch.from_numpy(generator.standard_normal(shape).astype(np.float32))
        low, high = limits
        return torch.from_numpy((low + (high - low) * generator.random(shape)).astype(np.float32))


def _generator(name: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(crc32(name.encode())))


def _tensor(name: str, shape: list[int]) -> Tensor:
    """The weight that every implementation gives to a tensor of this name and shape."""
    z = _generator(name).standard_normal(shape)
    if name.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    if name.endswith("running_var"):
        z = 1 + 0.1 * np.abs(z)
    elif len(shape) == 1:
        z = 1 + 0.1 * z if name.endswith(".weight") else 0.02 * z
    else:
        z = z / np.sqrt(np.prod(shape[1:]))
    return torch.from_numpy(np.asarray(z, np.float32))


def _cases(folder: Path) -> list[Case]:
    spec = json.loads((folder / "spec.json").read_text())
    states = {
        name: {n: _tensor(n, shape) for n, shape, _ in variant["state_dict"]}
        for name, variant in spec["variants"].items()
    }
    return [Case(name, case, states[case["variant"]]) for name, case in spec["cases"].items()]


def _heatmap_model(
    model: str, config: Mapping[str, Any], renamed: Callable[[str], str], layers: Mapping[str, str]
) -> Callable[[Case], Outputs]:
    """An adapter of models with one heatmap per keypoint.

    Args:
        config: overrides of the model's config per variant.
        renamed: the reference's name of a tensor to ours.
        layers: the reference's names of inner outputs to our layers, the place in a list behind a colon.
    """

    def outputs(case: Case) -> Outputs:
        found = _built(model, config[case.spec["variant"]], case, renamed)
        batch = _batch(case)
        with torch.no_grad():
            result = _watched(found, {**layers, "heatmaps": "head"}, lambda: found.heatmaps(batch.image))
            for mode, key in (("plain", "flip_test_noshift"), ("shifted", "flip_test_shift")):
                found.flip_test.mode = mode
                result[key] = found(batch)
        result["heatmap_max"], result["heatmap_argmax"] = result["heatmaps"].flatten(2).max(2)
        return result | _training(found, case, batch, renamed)

    return outputs


def _built(model: str, config: Mapping[str, Any], case: Case, renamed: Callable[[str], str]) -> HeatmapModel:
    spec = catalog.load("posezoo", model)
    pairs = tuple((i, j) for i, j in enumerate(case.spec["flip_indices"]) if i < j)
    category = Category("animal", "animal", tuple(f"k{i}" for i in range(case.spec["K"])), flip_pairs=pairs)
    width, height = case.spec["image_size"]
    found = spec.model(spec.config(weights="none", **config), Setting((height, width), case.spec["K"], (category,)))
    # The reference's pictures are drawn as the network sees them.
    found.normalise = nn.Identity()
    found.load_state_dict({renamed(n): t for n, t in case.state.items()})
    return found.eval()


def _batch(case: Case) -> Batch:
    image = case.draw("img")
    points = Keypoints(case.draw("kp"), (case.draw("w") >= 0.25).float())
    nothing = torch.zeros(len(image), dtype=torch.int64)
    return Batch(image, points, nothing, nothing)


def _watched(model: nn.Module, layers: Mapping[str, str], run: Callable[[], object]) -> dict[str, Tensor]:
    """What the named inner layers give while the model runs."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, place: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            seen[name] = output[int(place)] if place else output

        return hook

    handles = []
    for name, layer in layers.items():
        path, _, place = layer.partition(":")
        handles.append(model.get_submodule(path).register_forward_hook(keep(name, place)))
    run()
    for handle in handles:
        handle.remove()
    return seen


def _training(model: HeatmapModel, case: Case, batch: Batch, renamed: Callable[[str], str]) -> dict[str, Tensor]:
    """Losses and gradients against a plain Gaussian, batch norm keeping its running statistics."""
    maps = model.heatmaps(batch.image)
    width, height = case.spec["heatmap_size"]
    x, y = (batch.keypoints.xy / 4)[..., None, None].unbind(2)
    target = torch.exp(-((torch.arange(width) - x) ** 2 + (torch.arange(height)[:, None] - y) ** 2) / 8)
    loss = heatmap_loss(maps, target, batch.keypoints.weight)
    half = heatmap_loss(maps, target, 0.5 * batch.keypoints.weight)
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    norm = torch.stack([g.double().norm() for g in gradients.values()]).norm()
    result = {"train/loss_kpt": loss, "train/loss_kpt_weights_0.5w": half, "train/grad_norm_all": norm}
    result |= {f"train/grad/{n}": gradients[renamed(n)] for n in case.state if renamed(n) in gradients}
    return {name: value.detach() for name, value in result.items()}


ADAPTERS: dict[str, Callable[[Case], Outputs]] = {
    "hrnet": _heatmap_model(
        "hrnet",
        {"hrnet_w32_k17": {"width": 32}, "hrnet_w48_k17": {"width": 48}},
        lambda name: name,
        {
            "layer1": "backbone.layer1",
            **{f"stage2.branch{i}": f"backbone.stage2:{i}" for i in range(2)},
            **{f"stage3.branch{i}": f"backbone.stage3:{i}" for i in range(3)},
            "stage4.branch0": "backbone.stage4:0",
        },
    ),
    "simplebaseline": _heatmap_model(
        "simple_baseline",
        {"res50_k17": {"backbone": "resnet50"}},
        lambda name: name.replace("backbone.", "backbone.trunk."),
        {**{f"layer{i}": f"backbone.trunk.layer{i}" for i in range(1, 5)}, "deconv": "head.deconv_layers"},
    ),
}
UNCOVERED: dict[str, set[str]] = {"hrnet": set(), "simplebaseline": set()}
"""Per folder the names, CASE/OUTPUT, that are known to be left unchecked."""


def _differences(case: Case, ours: Outputs, folder: Path) -> tuple[list[str], set[str]]:
    """One line per number that is off, and the names that we have no number for."""
    stored = np.load(folder / "outputs.npz")
    tolerance = json.loads((folder / "tolerance.json").read_text())["outputs.npz"]
    wrong, uncovered = [], set()
    for key in (k for k in stored if k.startswith(f"{case.name}/")):
        name, _, part = key.removeprefix(f"{case.name}/").partition("#")
        if name not in ours:
            uncovered.add(f"{case.name}/{name}")
            continue
        value = _summarised(ours[name], part, case.spec["outputs"][name].get("step", 1))
        deviation, scale = tolerance[key]
        limit = max(1e-4 * scale, 10 * deviation)
        off = np.abs(value - stored[key]).max()
        if value.shape != stored[key].shape or not off <= limit:
            wrong.append(f"{key}: {value.shape}, off by {off:.3g}, allowed {limit:.3g} at scale {scale:.3g}")
    return wrong, uncovered


def _summarised(tensor: Tensor, part: str, step: int) -> np.ndarray:
    value = tensor.double().numpy()
    if part == "slice":
        return value.ravel()[::step]
    return np.array([value.mean(), value.std()]) if part == "stat" else value


@pytest.mark.parametrize("model", ADAPTERS)
def test_every_reference_number_is_met(model: str, parity: Path) -> None:
    folder = parity / model
    wrong: list[str] = []
    uncovered: set[str] = set()
    for case in _cases(folder):
        off, left = _differences(case, ADAPTERS[model](case), folder)
        wrong += off
        uncovered |= left
    assert not wrong, "\n".join(wrong)
    assert uncovered == UNCOVERED[model]


def test_generated_numbers_have_the_reference_s_anchors() -> None:
    weights, picture, points = _generator("conv1.weight"), _generator("input:img"), _generator("input:kp")
    np.testing.assert_allclose(weights.standard_normal(3), [0.126900529, 0.543823942, -1.782461302], rtol=1e-8)
    np.testing.assert_allclose(picture.standard_normal(2), [0.685801533, -0.300577780], rtol=1e-8)
    np.testing.assert_allclose(points.random(2), [0.673850775, 0.211579055], rtol=1e-8)
