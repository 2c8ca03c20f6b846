"""What CapeFormer and its descendants give for a case, apart from their backbones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from parity_adapters.case import Case
from parity_adapters.episodes import Calls, accuracy, watched
from parity_adapters.heatmap_models import Released, gradients
from posebed.pose import EpisodeBatch
from posezoo.blocks.coordinates import moved, to_shares
from posezoo.blocks.two_stage import Located, TwoStage

LAYERS = ["input_proj", "query_proj", "encoder", "decoder", "decoder.norm", "decoder.ref_point_head"]


def compared(
    model: TwoStage, case: Case, batch: EpisodeBatch, released: Released, stages: Sequence[str]
) -> tuple[dict[str, Tensor], Calls]:
    """Inner outputs, points, losses and gradients, of one pass over the pictures, and the calls of ``stages``."""
    result, calls, located = evaluated(model, batch, stages)
    return result | trained(model, case, batch, released, located), calls


def evaluated(model: TwoStage, batch: EpisodeBatch, stages: Sequence[str]) -> tuple[dict[str, Tensor], Calls, Located]:
    """Inner outputs and points, the calls of ``stages``, and the prediction."""
    predictions: list[Located] = []
    maps: list[Tensor] = []
    maps_of = model.maps_of

    def kept(image: Tensor) -> Tensor:
        maps.append(maps_of(image))
        return maps[-1]

    model.maps_of = kept
    last = f"decoder.layers.{len(model.decoder.layers) - 1}"
    calls = watched(model, [*stages, *LAYERS, last], lambda: predictions.append(model(batch)))
    (located,), ((_, (cells, keypoints)),) = predictions, calls["encoder"]
    heatmaps, weight = model.codec.encode(batch.support)
    with torch.no_grad():
        result = {
            **_support_feature(maps, batch),
            "target_s0": heatmaps[:, 0],
            "mask_s": weight.prod(1),
            "vis_q": batch.keypoints.weight,
            "input_proj(query)": calls["input_proj"][0][1],
            "support_tokens(query_proj)": calls["query_proj"][0][1],
            "encoder_memory": cells.transpose(0, 1),
            "encoder_refined_tokens": keypoints.transpose(0, 1),
            "proposal_for_loss": located.proposal,
            "similarity_map": located.similarity,
            "proposal_local": calls["decoder"][0][0][5],
            "decoder_tokens": torch.stack([tokens.transpose(0, 1) for _, tokens in calls["decoder.norm"]]),
            "decoder_reference_points": _references(model, calls, last),
            "coords_per_layer": located.points,
            "coords": located.points[-1],
        }
    return result, calls, located


def _support_feature(maps: Sequence[Tensor], batch: EpisodeBatch) -> dict[str, Tensor]:
    """Of the first support; nothing where the query's picture alone was looked at."""
    if len(maps) == 1:
        return {}
    return {"support_feature(img_s0)": maps[0].unflatten(0, batch.support_image.shape[:2])[:, 0]}


def _references(model: TwoStage, calls: Calls, last: str) -> Tensor:
    """Where each layer starts, and where the next one would."""
    starts = [points for (points,), _ in calls["decoder.ref_point_head"]]
    return torch.stack([*starts, moved(starts[-1], model.decoder.offsets[-1](calls[last][0][1]))])


def trained(
    model: TwoStage, case: Case, batch: EpisodeBatch, released: Released, prediction: Located
) -> dict[str, Tensor]:
    """Losses and gradients, batch norm keeping its running statistics."""
    losses = model.losses(prediction, batch)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    target = to_shares(batch.keypoints.xy, model.size)
    names = {"heatmap": "heatmap_loss", "proposal": "proposal_loss", "reconstruction": "adj_reconstruct_loss"}
    return {
        **{f"train/{names.get(name, f'l1_loss_{name}')}": loss.detach() for name, loss in losses.items()},
        "train/total": total.detach(),
        "train/acc_pose": accuracy(prediction.points[-1].detach(), target, batch.keypoints.weight * prediction.mask),
        **gradients(model, case, released),
    }
