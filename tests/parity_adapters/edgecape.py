"""EdgeCape of its authors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from parity_adapters.case import Case, Outputs
from parity_adapters.episodes import built, episode_of
from parity_adapters.heatmap_models import Released
from parity_adapters.two_stage import evaluated, trained
from posebed.pose import EpisodeBatch
from posezoo.blocks.edges import similarity, walks
from posezoo.blocks.graph import with_loops
from posezoo.blocks.patch_tokens import resized
from posezoo.edge_cape import EdgeCape, Reconstructed, kept_keypoints

UNCOVERED: set[str] = set()


def outputs(case: Case) -> Outputs:
    model, released = built("edge_cape", config_of(case), case)
    batch = episode_of(case)
    depth, layers = len(model.backbone.trunk.blocks), len(model.decoder.layers)
    blocks = {f"backbone.block{i}(img_q)": f"backbone.trunk.blocks.{i}" for i in range(depth)}
    biases = {f"markov_bias_layer{i}": f"decoder.layers.{i}.self_attn.structural" for i in range(layers)}
    predictor = ["edge_predictor.layers.0", "edge_predictor.weights"] if model.edge_predictor else []
    used = list(biases.values()) if model.config.uses_bias else []
    result, calls, _ = evaluated(model, batch, [*blocks.values(), *used, *predictor])
    result |= {name: calls[place][-1][1] for name, place in blocks.items()}
    result |= {name: calls[place][0][1] for name, place in biases.items() if place in used}
    result["backbone_feature(img_q)"] = calls["input_proj"][0][0][0]
    result["backbone.position_code"] = resized(model.backbone.trunk.pos_embed, model.grid)
    return result | _edges(model, batch, calls, case) | _training(model, case, batch, released)


def config_of(case: Case) -> dict[str, Any]:
    """Our settings; those of the reference that we have not are refused by name."""
    given = dict(case.constructor)
    size = {"ViT-S/14": "small", "ViT-B/14": "base", "ViT-L/14": "large"}[given.pop("backbone").removeprefix("DINOv2 ")]
    edges, bias, masked = (given.pop(name) for name in ("learn_skeleton", "markov_bias", "masked_supervision"))
    frozen, weight, share = given.pop("frozen"), given.pop("skeleton_loss_weight"), case.spec.get("mask_ratio")
    assert frozen in (None, "skeleton"), f"frozen must be skeleton or null, but is {frozen}"
    own = {
        "d_model": "width",
        "nhead": "heads",
        "encoder_layers": "encoder_layers",
        "decoder_layers": "decoder_layers",
        "dim_feedforward": "feed_forward",
        "similarity_proj_dim": "similarity_channels",
        "dynamic_proj_dim": "weighting_channels",
        "skeleton_layers": "edge_layers",
        "skeleton_dim_feedforward": "edge_feed_forward",
        "max_hops": "hops",
    }
    heatmap_weight = given.pop("heatmap_loss_weight") or 0.0
    assert given.keys() <= own.keys(), f"no settings of ours are {', '.join(given.keys() - own.keys())}"
    return {
        "backbone": f"vit_{size}_patch14_dinov2",
        "heatmap_weight": heatmap_weight,
        "stage": "bias" if frozen else "joint" if edges or bias or masked else "base",
        "predicted_edges": edges,
        "structural_bias": bias,
        "edge_slots": case.spec["K"],
        "reconstruction_weight": weight if masked and share is not None else 0.0,
        "mask_share": share or 0.0,
        **{own[name]: value for name, value in given.items()},
    }


def _edges(model: EdgeCape, batch: EpisodeBatch, calls: Any, case: Case) -> dict[str, Tensor]:
    support = model.encode_support(batch)
    links = with_loops(support.edges, support.mask)
    result = {"adjacency": links, "markov_powers": walks(links[:, 1], model.config.hops)}
    if model.edge_predictor:
        shots = batch.support.weight.shape[:2]
        keypoints, cells = (part.unflatten(0, shots)[:, 0] for part in calls["edge_predictor.layers.0"][0][1])
        (tokens, _, _), weights = calls["edge_predictor.weights"][0]
        result |= {
            "skeleton.image_tokens_layer0(img_s0)": cells.transpose(0, 1),
            "skeleton.keypoint_tokens_layer0(img_s0)": keypoints.transpose(0, 1),
            "skeleton.tokens": tokens,
            "skeleton.similarity": similarity(tokens),
            "skeleton.weights": weights,
        }
    return result


def _training(model: EdgeCape, case: Case, batch: EpisodeBatch, released: Released) -> dict[str, Tensor]:
    """Losses and gradients of a training's pass, in which nothing but the masked keypoints is drawn."""
    model.train()
    result: dict[str, Tensor] = {}
    if model.config.reconstructs:
        draws = case.draw("mask")
        model.mask_draws = lambda like: draws
        result["train/keep_mask"] = kept_keypoints(batch.support.weight.prod(1), draws, model.config.mask_share)
    prediction = model(batch)
    result |= trained(model, case, batch, released, prediction)
    if isinstance(prediction, Reconstructed):
        result["train/reconstructed_keypoints"] = prediction.reconstructed.detach()
    with_gradient = sum(name.startswith("train/grad/") for name in result)
    assert with_gradient == case.spec["parameters_with_gradient"], with_gradient
    return result
