"""ViTPose's heads of mmpose, on a map that is given."""

from __future__ import annotations

import torch

from parity_adapters.case import Case, Outputs
from posezoo.blocks.deconv import enlarging_head, heatmap_head

UNCOVERED: set[str] = set()


@torch.no_grad()
def outputs(case: Case) -> Outputs:
    channels, keypoints = case.constructor["in_channels"], case.constructor["num_keypoints"]
    classic = case.constructor["style"] == "classic"
    head = heatmap_head(channels, 256, 2, keypoints) if classic else enlarging_head(channels, keypoints)
    head.load_state_dict(dict(case.state))
    heatmaps = head.eval()(case.draw("feat"))
    return {"heatmaps": heatmaps, "heatmap_argmax": heatmaps.flatten(2).argmax(2)}
