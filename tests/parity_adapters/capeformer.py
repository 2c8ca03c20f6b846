"""CapeFormer of its authors."""

from __future__ import annotations

import torch

from parity_adapters.case import Case, Outputs
from parity_adapters.episodes import built, episode_of, watched
from parity_adapters.two_stage import evaluated, trained

UNCOVERED: set[str] = set()


def outputs(case: Case) -> Outputs:
    given = case.constructor
    config = {
        "backbone": given["backbone"].partition(",")[0].lower().replace("-", ""),
        "slots": case.spec["K"],
        "width": given["d_model"],
        "heads": given["nhead"],
        "encoder_layers": given["num_encoder_layers"],
        "decoder_layers": given["num_decoder_layers"],
        "feed_forward": given["dim_feedforward"],
        "heatmap_weight": given["heatmap_loss_weight"],
    }
    model, released = built("cape_former", config, case)
    batch = episode_of(case)
    layers = [f"trunk.layer{number}" for number in range(1, 5)]
    with torch.no_grad():
        calls = watched(model.backbone, layers, lambda: model.backbone(batch.image))
        (support,) = model.backbone(batch.support_image[:, 0])
    return {
        **{f"backbone.{name.removeprefix('trunk.')}(img_q)": output for name, ((_, output),) in calls.items()},
        "support_feature(img_s0)": support,
        **evaluated(model, batch),
        **trained(model, case, batch, released),
    }
