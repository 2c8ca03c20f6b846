"""POMNet of its authors."""

from __future__ import annotations

import torch
from torch import Tensor

from parity_adapters.case import Case, Outputs
from parity_adapters.episodes import accuracy, built, episode_of, watched
from parity_adapters.heatmap_models import Released, gradients
from posebed.pose import EpisodeBatch
from posezoo.pomnet import Matched, POMNet

UNCOVERED: set[str] = set()
STAGES = [f"backbone.trunk.layer{number}" for number in range(1, 5)]
LAYERS = ["support_backbone", "interaction", "interaction.query_proj", "matching.relation", "matching.norm"]


def outputs(case: Case) -> Outputs:
    given = case.constructor
    config = {
        "slots": case.spec["K"],
        "width": given["embed_dims"],
        "heads": given["num_heads"],
        "encoder_layers": given["encoder_layers"],
        "decoder_layers": given["decoder_layers"],
        "feed_forward": given["ffn"],
    }
    model, released = built("pomnet", config, case)
    return compared(model, case, episode_of(case), released)


def compared(model: POMNet, case: Case, batch: EpisodeBatch, released: Released) -> dict[str, Tensor]:
    """Inner outputs, heatmaps, loss and gradients, of one pass over the pictures.

    The reference matches keypoints that no support shows as well: so here, beside what the model itself gives.
    """
    assert model.interaction
    layers = [f"interaction.keypoints.{number}" for number in range(len(model.interaction.keypoints))]
    predictions: list[Matched] = []
    calls = watched(model, [*STAGES, *LAYERS, *layers], lambda: predictions.append(model(batch)))
    with torch.no_grad():
        ((_, (cells, keypoints)),) = calls["interaction"]
        every = torch.ones(keypoints.shape[:2], dtype=torch.bool)
        maps = model.matching(cells, keypoints, every)
        tokens = torch.stack([model.interaction.norm(calls[layer][0][1]).transpose(0, 1) for layer in layers])
        first = torch.zeros_like(every)
        first[:, 0] = True
        ((_, relation),) = watched(model, ["matching.norm"], lambda: model.matching(cells, keypoints, first))[
            "matching.norm"
        ]
    exists = predictions[0].mask > 0
    torch.testing.assert_close(predictions[0].heatmaps[exists], maps[exists], rtol=1e-4, atol=1e-6)
    peak, place = maps.flatten(2).max(2)
    (support,) = calls["support_backbone"][0][1]
    shots = batch.support_image.shape[:2]
    return {
        **{f"query_backbone.{name.rpartition('.')[2]}": calls[name][0][1] for name in STAGES},
        "support_feature(img_s0)": support.unflatten(0, shots)[:, 0],
        "support_tokens(query_proj)": calls["interaction.query_proj"][0][1],
        "encoder_memory": cells.flatten(2).permute(2, 0, 1),
        "decoder_tokens_per_layer": tokens,
        "relation(keypoint 0)": relation.relu(),
        "mask_s": predictions[0].mask,
        "vis_q": batch.keypoints.weight,
        "heatmaps": maps,
        "heatmap_argmax": place,
        "heatmap_max": peak,
        **trained(model, case, batch, released, predictions[0]),
    }


def trained(
    model: POMNet, case: Case, batch: EpisodeBatch, released: Released, prediction: Matched
) -> dict[str, Tensor]:
    """Loss and gradients, batch norm keeping its running statistics."""
    (loss,) = model.losses(prediction, batch).values()
    loss.backward()
    target, weight = model.codec.encode(batch.keypoints)
    predicted, truth = (_peaks(maps) for maps in (prediction.heatmaps, target))
    return {
        "train/mse_loss": loss.detach(),
        "train/acc_pose": accuracy(predicted, truth, weight * prediction.mask),
        **gradients(model, case, released),
    }


def _peaks(maps: Tensor) -> Tensor:
    """(B, K, 2), shares of the map."""
    height, width = maps.shape[2:]
    place = maps.flatten(2).argmax(2)
    return torch.stack([place % width / width, place // width / height], 2)
