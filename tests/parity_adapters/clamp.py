"""CLAMP, the published PromptPose."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from parity_adapters.case import Case, Outputs, in_default_precision
from parity_adapters.heatmap_models import gradients, watched
from posebed.contracts import Setting
from posebed.pose import Batch, Keypoints
from posebed.records import Category
from posezoo.blocks.contrast import cells
from posezoo.blocks.joint_space import ClipTransformer
from posezoo.prompt_pose import Config, PromptPose, Sight, build, released

UNCOVERED = {"train/acc_pose"}
"""A number that the reference prints in training: the share of heatmaps with their peak in place."""

BACKBONES = {
    "CLIPResNetWithAttention": (
        "clip_resnet50",
        {f"backbone.out{i}": f"backbone.trunk.layer{i + 1}" for i in range(3)},
    ),
    "CLIPVisionTransformer": (
        "clip_vit_b16",
        {f"backbone.out{i}": f"backbone.trunk.transformer.resblocks.{2 * i + 3}" for i in range(3)},
    ),
}
"""The reference's classes to our backbones, and to the layers that give its lesser maps."""
LAYERS = {
    "text_features": "text",
    "prompt_encoder": "prompt_encoder",
    "context_decoder": "context_decoder.out_proj",
    "prompt_embeddings": "context_decoder",
}


def outputs(case: Case) -> Outputs:
    backbone, maps = BACKBONES[case.constructor["backbone"]["type"]]
    config = {
        "backbone": backbone,
        "weights": "none",
        "text_weights": "none",
        "pixel_weight": case.constructor["upconv_head"]["loss_keypoint"]["loss_weight"],
        "semantic_weight": case.constructor["CL_ratio"],
        "semantic_sampling": "cell",
        "mask_unlabelled": False,
    }
    settings = Config(**config)
    width, height = case.spec["image_size"]
    model = build(settings, Setting((height, width), case.spec["K"], (_category(case),)))
    # The reference's pictures are drawn as the network sees them.
    model.register_module("normalise", torch.nn.Identity())
    mapping = partial(released, settings)
    model.load_state_dict(dict(mapping(case.state)))
    model.eval()
    weight = in_default_precision(case.draw("vis") >= case.spec["hide"])
    image = case.draw("img")
    nothing = torch.zeros(len(image), dtype=torch.int64)
    batch = Batch(image, Keypoints(case.draw("kp"), weight), nothing, nothing)
    result = _evaluated(model, batch, maps) | _targets(model, batch) | _trained(model, batch)
    if isinstance(model.backbone, ClipTransformer):
        # The reference adds the class token twice; ours is twice as large.
        grad = model.backbone.trunk.class_embedding.grad
        assert grad is not None
        grad *= 2
    return result | gradients(model, case, mapping)


def _category(case: Case) -> Category:
    names = tuple(case.constructor["class_names"])
    return Category("animal", "animal", names, flip_pairs=tuple(tuple(pair) for pair in case.spec["flip_pairs"]))


@torch.no_grad()
def _evaluated(model: PromptPose, batch: Batch, maps: dict[str, str]) -> dict[str, Tensor]:
    sights: list[Sight] = []
    result = watched(model, LAYERS | maps | {"tokens": "backbone:1"}, lambda: sights.append(model.sight(batch.image)))
    (sight,) = sights
    for name in maps:
        if result[name].ndim == 3:
            result[name] = result[name][:, 1:].mT.unflatten(2, model.backbone.grid)
    result["global_embedding"] = result["tokens"][:, 0]
    result["visual_embedding"] = result["tokens"][:, 1:].mT.unflatten(2, model.backbone.grid)
    result["text_features"] = result["text_features"][None]
    result["prompt_encoder"] = result["prompt_encoder"].expand(len(batch), -1, -1)
    result["score_map"] = sight.scores
    result["backbone.out3(with score map concatenated)"] = torch.cat([sight.origin, sight.scores], 1)
    result["heatmaps"] = model.fused(sight)
    assert model.upconv is not None
    result["upconv_score_map"] = model.upconv(sight.scores)
    result["heatmap_argmax"] = result["heatmaps"].flatten(2).argmax(2)
    heatmaps_of = model.heatmaps
    model.heatmaps = lambda image: result["heatmaps"] if image is batch.image else heatmaps_of(image)
    return result | {"flip_test_heatmaps": model(batch).heatmaps}


def _targets(model: PromptPose, batch: Batch) -> dict[str, Tensor]:
    """The heatmaps' targets, and around our choice of cells the coarse ones as the reference draws them."""
    target, weight = model.codec.encode(batch.keypoints)
    height, width = model.backbone.grid
    cell, counts = cells(batch.keypoints.xy, model.codec.size, (height, width))
    coarse = batch.keypoints.weight * counts
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    place = torch.stack([column, row])
    offset = place - cell[..., None, None]
    end = (batch.keypoints.xy * width / model.codec.size[1] + 0.5).trunc() + 2
    patch = ((offset >= -2) & (place < end[..., None, None])).all(2) & (coarse > 0)[..., None, None]
    down = torch.exp(-2 * offset.square().sum(2)) * patch
    return {
        "target": target,
        "target_weight": weight,
        "target_down": down,
        "target_down_weight": coarse,
        "coarse_cells_equal_one": (down == 1).sum((2, 3)),
    }


def _trained(model: PromptPose, batch: Batch) -> dict[str, Tensor]:
    """Losses of a model that trains without chance and with its running statistics; leaves the gradients."""
    model.train()
    for module in model.modules():
        module.training = module in (model, model.text)
    losses = model.losses(model(batch), batch)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    named: Any = {"heatmap": "mse_loss", "pixel": "spatial_loss", "semantic": "feature_loss"}
    return {f"train/{named[name]}": loss.detach() for name, loss in losses.items()} | {"train/total": total.detach()}
