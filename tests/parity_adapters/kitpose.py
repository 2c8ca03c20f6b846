"""KITPose of its authors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from parity_adapters.case import Case, Outputs, in_default_precision
from parity_adapters.heatmap_models import Released, built, gradients, watched
from posebed.pose import Batch, Keypoints

UNCOVERED: set[str] = set()
KEPT = 0.625
"""Of each picture in the CutMix case."""
LAYERS = {
    "hrnet.layer1": "backbone.layer1",
    **{f"hrnet.stage2.branch{i}": f"backbone.stage2:{i}" for i in range(2)},
    **{f"hrnet.stage3.branch{i}": f"backbone.stage3:{i}" for i in range(3)},
    "hrnet.stage4.branch0": "backbone.stage4:0",
    "kpt_features": "slices",
    "part_prompts": "kit.prompts.project",
    "kpt_embedding(before adding sine)": "kit.embed",
    "cluster_assignment": "groups",
    "heatmaps": "kit",
}


def outputs(case: Case) -> Outputs:
    settings = case.constructor
    config = {
        "weights": "none",
        "width": settings["hrnet_width"],
        "parts": settings["num_parts"],
        "dim": settings["dim"],
        "layers": settings["depth"],
        "ratio": settings["mlp_ratio"],
        "flip_test": "off",
        "cutmix": 0.0,
    }
    model, released = built("kitpose", config, case)
    return compared(model, case, batch_of(case), released)


def batch_of(case: Case) -> Batch:
    image = torch.stack([case.draw(f"img{seed}") for seed in case.spec["image_seeds"]])
    nothing = torch.zeros(len(image), dtype=torch.int64)
    return Batch(image, Keypoints(case.draw("kp"), in_default_precision(case.draw("wa") >= 0.2)), nothing, nothing)


def compared(model: Any, case: Case, batch: Batch, released: Released) -> dict[str, Tensor]:
    """Inner outputs, heatmaps, losses and gradients, of one pass over the pictures."""
    layers = {f"encoder_layer{i}": f"kit.layers.{i}:0" for i in range(len(model.kit.layers))}
    *early, last = layers
    seen: list[Any] = []
    result = watched(model, LAYERS | layers, lambda: seen.append(model(batch)))
    with torch.no_grad():
        result["part_maps"] = model.kit.part_maps(result[last])
    for name in early:
        # The reference adds the next layer's position in place, and so to what it stores of this one.
        result[name] = result[name].clone()
        result[name][:, model.kit.parts :] += model.kit.position
    result["pos_embedding"] = model.kit.position[None]
    result["heatmap_max"], result["heatmap_argmax"] = result["heatmaps"].flatten(2).max(2)
    return result | trained(model, case, batch, released, seen[0])


def trained(model: Any, case: Case, batch: Batch, released: Released, prediction: Any) -> dict[str, Tensor]:
    """Losses and gradients against a plain Gaussian, batch norm keeping its running statistics."""
    height, width = prediction.heatmaps.shape[2:]
    x, y = (batch.keypoints.xy / 4)[..., None, None].unbind(2)
    target = torch.exp(-((torch.arange(width) - x) ** 2 + (torch.arange(height)[:, None] - y) ** 2) / 8)
    own, other = batch.keypoints.weight, 0.5 * (case.draw("wb") >= 0.5)
    target = target * own[..., None, None]
    heatmap, sharpness = model.terms(prediction, target, own).values()
    (heatmap + sharpness).backward()
    mixed = model.terms(prediction, target, KEPT * own + (1 - KEPT) * other)["heatmap"]
    losses = {"heatmap_loss": heatmap, "ghrl": sharpness, "total": heatmap + sharpness, "cutmix_heatmap_loss": mixed}
    result = {f"train/{name}": loss.detach() for name, loss in losses.items()}
    return result | gradients(model, case, released)
