"""What CapeFormer and GraphCape give for a case, apart from their backbones."""

from __future__ import annotations

import torch
from torch import Tensor

from parity_adapters.case import Case
from parity_adapters.episodes import Calls, accuracy, watched
from parity_adapters.heatmap_models import Released, gradients
from posebed.pose import EpisodeBatch
from posezoo.blocks.coordinates import moved, to_shares
from posezoo.blocks.two_stage import Located, TwoStage

LAYERS = ["input_proj", "query_proj", "encoder", "decoder", "decoder.norm", "decoder.ref_point_head"]


def evaluated(model: TwoStage, batch: EpisodeBatch) -> dict[str, Tensor]:
    found: list[Located] = []
    with torch.no_grad():
        last = f"decoder.layers.{len(model.decoder.layers) - 1}"
        calls = watched(model, [*LAYERS, last], lambda: found.append(model(batch)))
        (located,), ((_, (cells, keypoints)),) = found, calls["encoder"]
        heatmaps, weight = model.codec.encode(batch.support)
        return {
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


def _references(model: TwoStage, calls: Calls, last: str) -> Tensor:
    """Where each layer starts, and where the next one would."""
    starts = [points for (points,), _ in calls["decoder.ref_point_head"]]
    return torch.stack([*starts, moved(starts[-1], model.decoder.offsets[-1](calls[last][0][1]))])


def trained(model: TwoStage, case: Case, batch: EpisodeBatch, released: Released) -> dict[str, Tensor]:
    """Losses and gradients, batch norm keeping its running statistics."""
    prediction = model(batch)
    losses = model.losses(prediction, batch)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    target = to_shares(batch.keypoints.xy, model.size)
    names = {"heatmap": "heatmap_loss", "proposal": "proposal_loss"}
    return {
        **{f"train/{names.get(name, f'l1_loss_{name}')}": loss.detach() for name, loss in losses.items()},
        "train/total": total.detach(),
        "train/acc_pose": accuracy(prediction.points[-1].detach(), target, batch.keypoints.weight * prediction.mask),
        **gradients(model, case, released),
    }
