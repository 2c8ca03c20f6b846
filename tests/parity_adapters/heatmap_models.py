"""What models with one heatmap per keypoint have in common when they are set beside a reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from parity_adapters.case import Case, in_default_precision
from posebed.catalog import installed
from posebed.contracts import Setting
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks.heatmap import HeatmapModel, heatmap_loss

CATALOG = installed()


Released = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]
"""The zoo's mapping of official releases."""


def built(model: str, config: Mapping[str, Any], case: Case) -> tuple[Any, Released]:
    """A model of the zoo in eval mode with the case's weights, and the mapping by which they came in."""
    spec = CATALOG.model(model)
    pairs = tuple((i, j) for i, j in enumerate(case.spec.get("flip_indices", ())) if i < j)
    category = Category("animal", "animal", tuple(f"k{i}" for i in range(case.spec["K"])), flip_pairs=pairs)
    width, height = case.spec["image_size"]
    settings = spec.config(**config)
    network = spec.model(settings, Setting((height, width), case.spec["K"], (category,)))
    # The reference's pictures are drawn as the network sees them.
    network.normalise = nn.Identity()
    released = partial(spec.released, settings)
    network.load_state_dict(dict(released(case.state)))
    return network.eval(), released


def batch_of(case: Case) -> Batch:
    image = case.draw("img")
    points = Keypoints(case.draw("kp"), in_default_precision(case.draw("w").flatten(1) >= 0.25))
    nothing = torch.zeros(len(image), dtype=torch.int64)
    return Batch(image, points, nothing, nothing)


def watched(model: nn.Module, layers: Mapping[str, str], run: Callable[[], object]) -> dict[str, Tensor]:
    """What the named inner layers give while the model runs; ``layer:1`` is the second of a layer's outputs."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, place: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Any) -> None:
            seen[name] = (output[int(place)] if place else output).detach()

        return hook

    handles = []
    for name, layer in layers.items():
        path, _, place = layer.partition(":")
        handles.append(model.get_submodule(path).register_forward_hook(keep(name, place)))
    run()
    for handle in handles:
        handle.remove()
    return seen


def compared(
    model: HeatmapModel, case: Case, batch: Batch, released: Released, layers: Mapping[str, str]
) -> dict[str, Tensor]:
    """Inner outputs, heatmaps, both flip tests, losses and gradients, of one pass over the pictures."""
    seen: list[Tensor] = []
    result = watched(model, {**layers, "heatmaps": "head"}, lambda: seen.append(model.heatmaps(batch.image)))
    (maps,) = seen
    return result | _flip_tests(model, batch, maps.detach()) | trained(model, case, batch, released, maps)


@torch.no_grad()
def _flip_tests(model: HeatmapModel, batch: Batch, maps: Tensor) -> dict[str, Tensor]:
    """The peaks of the heatmaps, and both flip tests given the heatmaps of the pictures as they are."""
    mirrored = model.heatmaps(batch.image.flip(-1))
    model.heatmaps = lambda image: maps if image is batch.image else mirrored
    result: dict[str, Tensor] = {}
    for mode, key in (("plain", "flip_test_noshift"), ("shifted", "flip_test_shift")):
        model.flip_test.mode = mode
        result[key] = model(batch)
    result["heatmap_max"], result["heatmap_argmax"] = maps.flatten(2).max(2)
    return result


def trained(model: HeatmapModel, case: Case, batch: Batch, released: Released, maps: Tensor) -> dict[str, Tensor]:
    """Losses and gradients against a plain Gaussian, batch norm keeping its running statistics."""
    height, width = maps.shape[2:]
    x, y = (batch.keypoints.xy / 4)[..., None, None].unbind(2)
    target = torch.exp(-((torch.arange(width) - x) ** 2 + (torch.arange(height)[:, None] - y) ** 2) / 8)
    loss = heatmap_loss(maps, target, batch.keypoints.weight)
    half = heatmap_loss(maps, target, 0.5 * batch.keypoints.weight)
    loss.backward()
    losses = {"train/loss_kpt": loss.detach(), "train/loss_kpt_weights_0.5w": half.detach()}
    return losses | gradients(model, case, released)


def gradients(model: nn.Module, case: Case, released: Released) -> dict[str, Tensor]:
    """What the last backward pass left, by the reference's names, and the norm of all of it."""
    own = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    result = {"train/grad_norm_all": torch.stack([g.double().norm() for g in own.values()]).norm()}
    for name, tensor in case.state.items():
        # What a reference has in one tensor may be several of ours, one behind the other.
        places = released({name: tensor})
        if places and all(place in own for place in places):
            result[f"train/grad/{name}"] = torch.cat([own[place] for place in places]).reshape(tensor.shape)
    return result
