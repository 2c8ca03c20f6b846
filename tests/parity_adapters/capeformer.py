"""CapeFormer of its authors."""

from __future__ import annotations

from parity_adapters.case import Case, Outputs
from parity_adapters.episodes import built, episode_of
from parity_adapters.two_stage import compared

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
    layers = [f"backbone.trunk.layer{number}" for number in range(1, 5)]
    result, calls = compared(model, case, batch, released, layers)
    return result | {f"{name.replace('trunk.', '')}(img_q)": calls[name][-1][1] for name in layers}
