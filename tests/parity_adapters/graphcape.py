"""GraphCape of its authors."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from parity_adapters.case import Case, Outputs, must_be_known
from parity_adapters.episodes import Calls, built, episode_of
from parity_adapters.two_stage import compared
from posezoo.graph_cape import adjacency

UNCOVERED: set[str] = set()

# What an official stage gives is what timm's next one has after halving, and the last stage gives at once.
STAGES = [*(f"backbone.trunk.layers.{number}.downsample" for number in (1, 2, 3)), "backbone.trunk.layers.3"]


def outputs(case: Case) -> Outputs:
    model, released = built("graph_cape", config_of(case), case)
    batch = episode_of(case)
    result, calls = compared(model, case, batch, released, STAGES)
    _, weight = model.codec.encode(batch.support)
    return {
        **result,
        **stages_of(calls),
        "backbone_feature(img_q)": calls["input_proj"][0][0][0],
        "adjacency": adjacency(model.linked[batch.category], weight.prod(1)),
    }


KNOWN = {
    *("backbone", "depths", "d_model", "nhead", "encoder_layers", "decoder_layers", "dim_feedforward"),
    "graph_decoder",
    # CapeX
    *("heatmap_loss_weight", "text_encoder", "text_width"),
}


def config_of(case: Case) -> dict[str, Any]:
    given = case.constructor
    must_be_known(given, KNOWN)
    size = re.findall("SwinV2-([TS])", given["backbone"])[0]
    return {
        "backbone": {"T": "swinv2_tiny_window16_256", "S": "swinv2_small_window16_256"}[size],
        "width": given["d_model"],
        "heads": given["nhead"],
        "encoder_layers": given["encoder_layers"],
        "decoder_layers": given["decoder_layers"],
        "feed_forward": given["dim_feedforward"],
        "graph": given["graph_decoder"] or "off",
    }


def stages_of(calls: Calls) -> dict[str, Tensor]:
    """What the stages of the backbone give for the query."""
    return {f"backbone.layers{i}(img_q)": calls[name][-1][1].flatten(1, 2) for i, name in enumerate(STAGES)}
