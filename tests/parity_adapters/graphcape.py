"""GraphCape of its authors."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from parity_adapters.case import Case, Outputs
from parity_adapters.episodes import built, episode_of, watched
from parity_adapters.two_stage import evaluated, trained
from posezoo.graph_cape import adjacency

UNCOVERED: set[str] = set()

# What an official stage gives is what timm's next one has after halving, and the last stage gives at once.
STAGES = [*(f"trunk.layers.{number}.downsample" for number in (1, 2, 3)), "trunk.layers.3"]


def outputs(case: Case) -> Outputs:
    given = case.constructor
    size = re.findall("SwinV2-([TS])", given["backbone"])[0]
    config = {
        "backbone": {"T": "swinv2_tiny_window16_256", "S": "swinv2_small_window16_256"}[size],
        "width": given["d_model"],
        "heads": given["nhead"],
        "encoder_layers": given["encoder_layers"],
        "decoder_layers": given["decoder_layers"],
        "feed_forward": given["dim_feedforward"],
        "graph": given["graph_decoder"] or "off",
    }
    model, released = built("graph_cape", config, case)
    batch = episode_of(case)
    found: list[Tensor] = []
    with torch.no_grad():
        calls = watched(model.backbone, STAGES, lambda: found.append(model.maps_of(batch.image)))
        support = model.maps_of(batch.support_image[:, 0])
        _, weight = model.codec.encode(batch.support)
    return {
        **{f"backbone.layers{i}(img_q)": calls[name][0][1].flatten(1, 2) for i, name in enumerate(STAGES)},
        "backbone_feature(img_q)": found[0],
        "support_feature(img_s0)": support,
        "adjacency": adjacency(model.linked[batch.category], weight.prod(1)),
        **evaluated(model, batch),
        **trained(model, case, batch, released),
    }
