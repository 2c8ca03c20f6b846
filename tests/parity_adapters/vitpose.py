"""ViTPose of the authors' code."""

from __future__ import annotations

from parity_adapters.case import Case, Outputs
from parity_adapters.heatmap_models import batch_of, built, compared

UNCOVERED: set[str] = set()


def outputs(case: Case) -> Outputs:
    settings = case.constructor
    config = {
        "weights": "none",
        "width": settings["embed_dim"],
        "depth": settings["depth"],
        "heads": settings["heads"],
        "head": settings["decoder"],
        "drop_path": 0.0,
    }
    model, released = built("vit_pose", config, case)
    blocks = {f"block{i}": f"backbone.trunk.blocks.{i}" for i in range(settings["depth"])}
    layers = {"patch_embed": "backbone.trunk.patch_embed", "backbone": "backbone:0", **blocks}
    batch = batch_of(case)
    result = compared(model, case, batch, released, layers)
    return result | {"train/loss": result["train/loss_kpt"]}
